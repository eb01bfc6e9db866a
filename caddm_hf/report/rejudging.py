"""A report seen otherwise, without scoring anything again: other thresholds, one person only.

Verdicts follow from the scores a report holds by the rules of `verdicts`, so whoever wants to be
stricter, or to know about the main person alone, need not check the video twice.
"""

from collections.abc import Sequence
from dataclasses import replace

from .verdicts import Judgement, JudgingRules, Thresholds, judge_person, judge_video
from .video_report import PersonReport, VideoReport
from .warnings import face_warnings


def rejudge(report: VideoReport, thresholds: Thresholds, rules: JudgingRules) -> VideoReport:
    """The report as it would be at other thresholds.

    Args:
        report: of a check under `rules`.
        thresholds: to judge by.
        rules: what makes a face count.
    """
    is_image = report.duration_s == 0
    needed = 1 if is_image else min(rules.least_frames, max(1, report.frames_sampled))
    people = [
        replace(
            person,
            judgement=judge_person(
                [face.uncalibrated_probability for face in person.faces],
                [face.size_px for face in person.faces],
                thresholds,
                rules.least_face_px,
                needed,
                scaling=report.scaling,
            ),
        )
        for person in report.people
    ]
    return replace(
        report,
        people=people,
        thresholds=thresholds,
        judgement=_judge(people, report.frames_sampled),
    )


def main_person_only(report: VideoReport) -> VideoReport:
    """The report on whoever is seen most: the largest sum of face areas."""
    person = report.main_person
    if person is None or len(report.people) == 1:
        return report
    kind = "image" if report.duration_s == 0 else "video"
    about_others = set(face_warnings(report.people, kind))
    left_out = len(report.people) - 1
    others = "1 other person was" if left_out == 1 else f"{left_out} other people were"
    return replace(
        report,
        people=[person],
        judgement=person.judgement,
        warnings=[
            *(warning for warning in report.warnings if warning not in about_others),
            *face_warnings([person], kind),
            f"{others} left out, as asked.",
        ],
    )


def _judge(people: Sequence[PersonReport], frames_sampled: int) -> Judgement:
    return judge_video([person.judgement for person in people], frames_sampled)
