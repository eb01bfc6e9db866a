"""caddm_hf.report.rejudging: the same scores at other thresholds, or of one person."""

import pytest

from caddm_hf.report.rejudging import main_person_only, rejudge
from caddm_hf.report.verdicts import Reason, Thresholds, Verdict
from support.made_reports import THRESHOLDS, made_person, made_report

FORGED = [(float(t), 0.7) for t in range(8)]
STEADY = [(float(t), 0.1) for t in range(8)]


def test_the_own_thresholds_change_nothing():
    report = made_report(
        [made_person(1, FORGED), made_person(2, STEADY), made_person(3, FORGED[:2])]
    )
    assert rejudge(report, THRESHOLDS) == report


@pytest.mark.parametrize(("above", "verdict"), [(0.9, Verdict.CANNOT_TELL), (0.65, Verdict.FAKE)])
def test_verdicts_follow_the_thresholds(above, verdict):
    report = made_report([made_person(1, FORGED), made_person(2, STEADY)])
    seen = rejudge(report, Thresholds(0.4, above))
    assert seen.judgement.verdict is seen.people[0].judgement.verdict is verdict
    assert seen.judgement.fake_probability == report.judgement.fake_probability
    assert seen.people[1].judgement.verdict is Verdict.REAL
    assert seen.thresholds.fake_above == above


def test_a_picture_is_judged_by_its_one_frame():
    report = made_report([made_person(1, FORGED[:1])], duration_s=0, kind="picture")
    assert rejudge(report, Thresholds(0.4, 0.6)).judgement.verdict is Verdict.FAKE


def test_a_video_without_times_asks_for_as_many_frames_as_any_video():
    """Such a video lasts 0 seconds, which does not make it a picture."""
    report = made_report([made_person(1, FORGED[:2])], duration_s=0)
    assert rejudge(report, THRESHOLDS) == report
    assert rejudge(report, THRESHOLDS).judgement.reason is Reason.TOO_FEW_FRAMES


def test_too_few_frames_stay_too_few():
    report = made_report([made_person(1, FORGED[:2])])
    seen = rejudge(report, Thresholds(0.1, 0.2))
    assert seen.judgement.reason is Reason.TOO_FEW_FRAMES


def test_the_main_person_is_who_is_seen_most():
    small = "The face is small (60 pixels): traces of a forgery may be lost in it."
    report = made_report(
        [made_person(1, FORGED, size_px=60), made_person(2, STEADY * 3, size_px=200)],
        warnings=("The file is cut off.", small),
    )
    seen = main_person_only(report)
    assert [person.id for person in seen.people] == [2]
    assert seen.judgement.verdict is Verdict.REAL
    # What was said of the other one goes, what was said of the file stays.
    assert seen.warnings == ["The file is cut off.", "1 other person was left out, as asked."]


def test_nobody_and_one_person_stay_as_they_are():
    for people in ([], [made_person(1, FORGED)]):
        report = made_report(people)
        assert main_person_only(report) is report
