"""Judge a report again without scoring: at other thresholds, or for one person only.

Verdicts follow from the scores in a report by the rules of `verdicts`, so stricter thresholds, or
the main person alone, need no second check of the video.
"""

from dataclasses import replace

from .verdicts import JudgingRules, Thresholds, judge_person, judge_video
from .video_report import VideoReport
from .warnings import face_warnings


def rejudge(report: VideoReport, thresholds: Thresholds, rules: JudgingRules) -> VideoReport:
    """The report as it would be at other thresholds.

    Args:
        report: of a check under `rules`.
        thresholds: to judge by.
        rules: what makes a face count.
    """
    few = 1 if report.kind == "picture" else rules.least_frames
    needed = min(few, max(1, report.frames_sampled))
    people = [
        replace(
            person,
            **vars(
                judge_person(
                    [face.uncalibrated_probability for face in person.faces],
                    [face.size_px for face in person.faces],
                    thresholds,
                    rules.least_face_px,
                    needed,
                    scaling=report.scaling,
                )
            ),
        )
        for person in report.people
    ]
    return replace(
        report,
        people=people,
        thresholds=thresholds,
        **vars(judge_video([person.judgement for person in people], report.frames_sampled)),
    )


def main_person_only(report: VideoReport) -> VideoReport:
    """The report on the person seen most: the largest sum of face areas."""
    person = report.main_person
    if person is None or len(report.people) == 1:
        return report
    about_others = set(face_warnings(report.people, report.kind))
    left_out = len(report.people) - 1
    others = "1 other person was" if left_out == 1 else f"{left_out} other people were"
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
