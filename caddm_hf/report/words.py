"""What is said about a result, in the same words on the page and in the evidence."""

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
    "How strongly the detector reacts to each part of the face, on the same scale in every "
    "picture; boxes are around places where it reacts most. These are not probabilities: a face "
    "can look forged as a whole while no place in it stands out."
)
UNTRAINED = "The model was not trained: its scores mean nothing."
LIMITS = (
    "The score is the probability of “fake”, averaged over the frames in which a person's face is "
    "large enough, then calibrated. Between the model's two thresholds the answer is “cannot "
    "tell”.",
    "The detector looks for the local traces that swapping or re-enacting a face leaves inside it. "
    "It knows nothing of sound, of wholly generated scenes, or of a true video with a false story.",
    "It errs in both directions. Forgeries of a kind it was not trained on, strong compression, "
    "small or blurred faces and filters mislead it; detectors of this kind do much worse in the "
    "wild than in the laboratory.",
    "Only some frames were looked at, evenly spread over the clip. What happens between them was "
    "not seen.",
    "People are told apart by their looks and places within this clip. Nobody was recognised, and "
    "after a cut one person may be counted twice.",
    "The heatmap shows what the detector's 168 overlapping windows say about their part of the "
    "face: where it sees traces, not who left them.",
)


def verdict_meaning(report: VideoReport) -> str:
    """What the verdict says, in one or two sentences."""
    judgement, noun = report.judgement, report.kind
    if judgement.verdict is Verdict.CANNOT_TELL:
        return judgement.explanation or ""
    judged = [p for p in report.people if p.judgement.fake_probability is not None]
    if judgement.verdict is Verdict.FAKE:
        return (
            f"The detector sees traces of a forged face in this {noun}, most of all in person "
            f"{judged[0].id}. One forged face makes a forged {noun}."
        )
    whom = "the person" if len(judged) == 1 else f"any of the {len(judged)} people"
    return (
        f"The detector sees no traces of a forged face in {whom} it could judge. Forgeries of a "
        "kind it does not know can go unseen."
    )


def probability_meaning(report: VideoReport) -> str | None:
    """What the probability behind the verdict stands for; `None` where there is none."""
    probability = report.judgement.fake_probability
    if probability is None:
        return None
    if report.provenance is not None and not report.provenance.model_trained:
        return UNTRAINED
    if report.scaling.is_identity:
        return (
            "The model was not calibrated: its probability ranks videos, but is not the share of "
            "fakes among them."
        )
    share = min(99, max(1, round(100 * probability)))
    return (
        "The probability is calibrated: among test videos, with fakes as frequent as its "
        f"calibration presumes, about {share} in 100 with such a score are fake. Where forgeries "
        "are rarer, or of another kind, the share is another."
    )


def shown_model_name(name: str, revision: str | None = None) -> str:
    """What visitors and readers of reports are told: of a folder only the last part.

    Where a folder lies tells of the machine and whoever runs it.

    Args:
        name: folder, Hub id or description.
        revision: the Hub commit it came from; a folder has none.
    """
    path = Path(name)
    if revision is None and (path.is_absolute() or path.is_dir()):
        return path.resolve().name or name
    return name


def show_time(seconds: float) -> str:
    """A moment of a video: `4.2 s`, from one minute on `3:07.5`, from one hour on `1:02:07`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes == 0:
        return f"{tenths / 10:.1f} s"
    if minutes < 60:
        return f"{minutes}:{rest / 10:04.1f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"


def show_percent(probability: float) -> str:
    """A probability in [0, 1] in whole percent; never 0% or 100%, which no detector can know."""
    if probability < 0.01:
        return "under 1%"
    if probability > 0.99:
        return "over 99%"
    return f"{probability:.0%}"
