"""Judge people by their probabilities and passages, in a new report or again without scoring.

Verdicts follow from the scores in a report by the rules of `verdicts`, `passages` and `leaning`,
so judging at other thresholds, or only the main person, needs no new scores.
"""

from collections.abc import Sequence
from dataclasses import replace

from .leaning import Help, ShownFace, what_would_help
from .passages import judge_passages
from .verdicts import (
    Bystander,
    Judgement,
    Reason,
    Thresholds,
    Verdict,
    judge_probability,
    judge_video,
    look_at,
)
from .video_report import MediaKind, PersonReport, VideoReport, sorting_key
from .warnings import face_warnings

# A better copy does not help if a person has to look, or if there is no face.
NO_ADVICE = (Reason.PASSAGE, Reason.LOOK_AT_PERSON, Reason.NOT_A_FACE)


def rejudge(report: VideoReport, thresholds: Thresholds) -> VideoReport:
    """Return the report as judged at other thresholds.

    The faces that count do not depend on the thresholds, so each person's probability stays.

    Args:
        report: from the detector or a report file.
        thresholds: the thresholds to judge by.
    """
    people = [judged_again(person, thresholds, report.kind) for person in report.people]
    people, judgement = judged_people(people, thresholds, report.frames_sampled)
    return replace(report, people=people, thresholds=thresholds, **vars(judgement))


def main_person_only(report: VideoReport) -> VideoReport:
    """The report on the person seen most: the largest sum of face areas."""
    person = report.main_person
    if person is None or len(report.people) == 1:
        return report
    about_others = set(face_warnings(report.people, report.kind))
    left_out = len(report.people) - 1
    others = "1 other person was" if left_out == 1 else f"{left_out} other people were"
    # The selected person is not a bystander.
    person = judged_again(replace(person, main=True), report.thresholds, report.kind)
    return replace(
        report,
        people=[person],
        **vars(person.judgement),
        warnings=[
            *(warning for warning in report.warnings if warning not in about_others),
            *face_warnings([person], report.kind),
            f"{others} left out, as asked.",
        ],
    )


def judged_again(person: PersonReport, thresholds: Thresholds, kind: MediaKind) -> PersonReport:
    """Judge a person by probability and passages; without a probability, keep the judgement."""
    if person.fake_probability is None:
        return person
    judgement = judge_passages(
        judge_probability(person.fake_probability, thresholds), person.passages, thresholds
    )
    return replace(person, **vars(advised(judgement, person, kind)))


def advised(judgement: Judgement, person: PersonReport, kind: MediaKind) -> Judgement:
    """Add what may help to a judgement on a person without a verdict."""
    found: list[Help] = []
    if judgement.verdict is Verdict.CANNOT_TELL and judgement.reason not in NO_ADVICE:
        faces = [ShownFace(f.size_px, f.sharpness, f.doubt) for f in person.spread_faces]
        found = what_would_help(faces, kind == "video")
    return replace(judgement, would_help=found)


def judged_people(
    people: Sequence[PersonReport], thresholds: Thresholds, frames_sampled: int
) -> tuple[list[PersonReport], Judgement]:
    """People in order, and the judgement on their video.

    Bystanders above the threshold get the judgement of `look_at`.

    Args:
        people: people who were judged one by one.
        thresholds: the thresholds of these judgements.
        frames_sampled: number of sampled frames.
    """
    ordered = sorted(people, key=sorting_key)
    suspicious = [
        _bystander(person)
        for person in ordered
        if not person.main
        and person.fake_probability is not None
        and person.fake_probability > thresholds.fake_above
    ]
    looked_at = {bystander.number: look_at(bystander) for bystander in suspicious}
    ordered = [
        replace(person, **vars(looked_at.get(person.id, person.judgement))) for person in ordered
    ]
    ordered.sort(key=sorting_key)
    main = [person.judgement for person in ordered if person.main]
    return ordered, judge_video(main, frames_sampled, suspicious)


def _bystander(person: PersonReport) -> Bystander:
    times = [face.time_s for face in person.faces]
    return Bystander(person.id, person.fake_probability, times[0], times[-1])
