import pytest

from caddm_hf.verdicts import (
    Judgement,
    Reason,
    Thresholds,
    Verdict,
    judge_person,
    judge_probability,
    judge_video,
)

THRESHOLDS = Thresholds(real_below=0.3, fake_above=0.7)


def person(probabilities, sizes=None, least_frames=3) -> Judgement:
    sizes = sizes or [100.0] * len(probabilities)
    return judge_person(probabilities, sizes, THRESHOLDS, 48.0, least_frames)


@pytest.mark.parametrize(
    ("probability", "verdict", "reason"),
    [
        (0.0, Verdict.REAL, None),
        (0.299, Verdict.REAL, None),
        (0.3, Verdict.CANNOT_TELL, Reason.TOO_CLOSE),
        (0.5, Verdict.CANNOT_TELL, Reason.TOO_CLOSE),
        (0.7, Verdict.CANNOT_TELL, Reason.TOO_CLOSE),
        (0.701, Verdict.FAKE, None),
        (1.0, Verdict.FAKE, None),
    ],
)
def test_thresholds(probability, verdict, reason):
    judgement = judge_probability(probability, THRESHOLDS)
    assert judgement.verdict is verdict
    assert judgement.reason is reason
    assert judgement.fake_probability == probability
    assert (judgement.explanation is None) == (reason is None)


def test_person_is_judged_by_the_mean():
    judgement = person([1.0, 0.5, 0.9])
    assert judgement.verdict is Verdict.FAKE
    assert judgement.fake_probability == pytest.approx(0.8)


def test_small_faces_do_not_count():
    """Three small forged-looking faces must not outvote three large genuine ones."""
    judgement = person([1.0, 1.0, 1.0, 0.1, 0.1, 0.1], [20, 20, 20, 90, 90, 90])
    assert judgement.verdict is Verdict.REAL
    assert judgement.fake_probability == pytest.approx(0.1)


def test_reasons_for_no_verdict_on_a_person():
    small = person([0.9] * 5, [30.0] * 5)
    assert (small.verdict, small.reason) == (Verdict.CANNOT_TELL, Reason.FACES_TOO_SMALL)
    assert small.fake_probability is None
    assert "30 pixels" in small.explanation
    few = person([0.9, 0.9])
    assert (few.verdict, few.reason) == (Verdict.CANNOT_TELL, Reason.TOO_FEW_FRAMES)
    assert few.fake_probability is None
    assert "2, 3 are needed" in few.explanation


def test_one_forged_person_makes_a_forged_video():
    video = judge_video([person([0.1] * 5), person([0.9] * 5), person([0.5] * 5)], 32)
    assert video.verdict is Verdict.FAKE
    assert video.fake_probability == pytest.approx(0.9)


def test_an_undecided_person_keeps_a_video_from_being_called_real():
    video = judge_video([person([0.1] * 5), person([0.5] * 5)], 32)
    assert (video.verdict, video.reason) == (Verdict.CANNOT_TELL, Reason.TOO_CLOSE)


def test_persons_without_verdict_do_not_hide_those_with_one():
    video = judge_video([person([0.99]), person([0.1] * 5)], 32)
    assert video.verdict is Verdict.REAL


def test_reasons_for_no_verdict_on_a_video():
    nobody = judge_video([], 32)
    assert (nobody.verdict, nobody.reason) == (Verdict.CANNOT_TELL, Reason.NO_FACE)
    assert nobody.fake_probability is None
    assert "32 frames" in nobody.explanation
    small, few = person([0.9] * 5, [30.0] * 5), person([0.9])
    assert judge_video([small], 32).reason is Reason.FACES_TOO_SMALL
    assert judge_video([small, few], 32).reason is Reason.TOO_FEW_FRAMES
