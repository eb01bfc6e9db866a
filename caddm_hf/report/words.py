"""The sentences about a result, the same on the page and in the evidence."""

from pathlib import Path

from .verdicts import Verdict
from .video_report import VideoReport

VERDICT_WORDS = {
    Verdict.FAKE: "Looks fake",
    Verdict.REAL: "No sign of forgery found",
    Verdict.CANNOT_TELL: "Cannot tell",
}
EVIDENCE_NOT_PROOF = (
    "A score is evidence, not proof: weigh it with where the file comes from and what else is "
    "known."
)
HEATMAP_MEANING = (
    "The heatmap shows how strongly the detector reacts to each part of the face, on one scale for "
    "all pictures. Boxes mark the places with the strongest reaction. The values are not "
    "probabilities: a face can look forged as a whole while no single place stands out."
)
UNTRAINED = "The model was not trained: its scores mean nothing."
LIMITS = (
    "The score is the calibrated probability of “fake”, averaged over the frames in which a "
    "person's face is large and clear enough. The model has two thresholds; between them the "
    "answer is “cannot tell”.",
    "Only the main people decide. A small or briefly seen face in the background can be pointed "
    "out, but never makes a video fake.",
    "The detector looks for the local traces that swapping or re-enacting a face leaves inside it. "
    "It does not examine sound, and it cannot detect wholly generated scenes or a real video with "
    "a false story.",
    "The detector makes errors in both directions. New kinds of forgery, strong compression, small "
    "or blurred faces and filters make them more likely. Detectors of this kind do much worse in "
    "the wild than in the laboratory.",
    "The detector looked at some frames only: evenly spread over the clip, and more around moments "
    "that stand out. A forgery between them is not seen.",
    "People are distinguished by their looks and their places within this clip. Nobody was "
    "recognised, and after a cut one person may be counted twice.",
    "The heatmap combines the detector's 168 overlapping windows, each of which reacts to its part "
    "of the face. It shows where traces are, not what caused them.",
)


def verdict_meaning(report: VideoReport) -> str:
    """The meaning of the verdict, in one or two sentences."""
    judgement, noun = report.judgement, report.kind
    if judgement.verdict is Verdict.CANNOT_TELL:
        return judgement.explanation or ""
    judged = [p for p in report.people if p.judgement.fake_probability is not None]
    if judgement.verdict is Verdict.FAKE:
        person = judged[0]
        if person.passages and person.fake_probability <= report.thresholds.fake_above:
            when = ", ".join(passage.words for passage in person.passages)
            return (
                f"Person {person.id} looks forged from {when}, unlike in the rest of this {noun}: "
                "the probability is that of the whole."
            )
        return (
            f"The detector found traces of a forged face in this {noun}, most of all in person "
            f"{judged[0].id}. A {noun} counts as fake if one of its faces does."
        )
    judged = [person for person in judged if person.main]
    people = "the judged person" if len(judged) == 1 else f"any of the {len(judged)} judged people"
    return (
        f"The detector found no traces of a forged face in {people}. It can miss kinds of forgery "
        "that it was not trained on."
    )


def probability_meaning(report: VideoReport) -> str | None:
    """The meaning of the probability behind the verdict; `None` if there is none."""
    probability = report.judgement.fake_probability
    if probability is None:
        return None
    if report.provenance is not None and not report.provenance.model_trained:
        return UNTRAINED
    if report.scaling.is_identity:
        return (
            "The model was not calibrated: its probability ranks videos, but is not the share of "
            "fakes among videos with such a score."
        )
    share = min(99, max(1, round(100 * probability)))
    return (
        f"The probability is calibrated: about {share} in 100 videos with such a score are fake, "
        "if fakes are as common as in the calibration of the model. Where fakes are rarer, or of "
        "another kind, the share differs."
    )


def shown_model_name(name: str, revision: str | None = None) -> str:
    """The name of a model for visitors and readers of reports; only the last part of a folder.

    The full path would reveal facts about the machine and its users.

    Args:
        name: folder, Hub id or description.
        revision: the Hub commit it came from; a folder has none.
    """
    path = Path(name)
    if revision is None and (path.is_absolute() or path.is_dir()):
        return path.resolve().name or name
    return name
