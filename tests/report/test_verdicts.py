import math
from itertools import product

import numpy as np
import pytest

from caddm_hf.faces.counting import FaceDoubt, JudgingRules
from caddm_hf.report.verdicts import (
    JudgedFace,
    Judgement,
    LogitScaling,
    Reason,
    Thresholds,
    Verdict,
    judge_person,
    judge_probability,
    judge_video,
)

THRESHOLDS = Thresholds(real_below=0.3, fake_above=0.7)


def person(probabilities, sizes=None, least_frames=3, scaling=LogitScaling()) -> Judgement:
    sizes = sizes or [100.0] * len(probabilities)
    faces = [
        JudgedFace(probability, size, FaceDoubt.TOO_SMALL if size < 48 else None)
        for probability, size in zip(probabilities, sizes, strict=True)
    ]
    return judge_person(faces, THRESHOLDS, JudgingRules(least_frames=least_frames), scaling=scaling)


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


@pytest.mark.parametrize("bias", [-2.0, 0.0, 0.7])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_calibrated_shifts_and_divides_the_logit(temperature, bias):
    scaling = LogitScaling(temperature, bias)
    for logit in (-30.0, -2.0, -1e-3, 0.0, 0.7, 9.0):
        probability = 1 / (1 + math.exp(-logit))
        assert scaling.calibrated(probability) == pytest.approx(
            1 / (1 + math.exp(-(logit + bias) / temperature)), rel=1e-3
        )


@pytest.mark.parametrize("bias", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_certainty_and_ties_survive_calibration(temperature, bias):
    scaling = LogitScaling(temperature, bias)
    probabilities = [0.0, 1e-60, 1e-9, 0.3, 0.3, 0.5, 0.9, 1.0]
    served = [scaling.calibrated(probability) for probability in probabilities]
    assert all(0 <= probability <= 1 for probability in served)
    assert np.sign(np.diff(served)).tolist() == np.sign(np.diff(probabilities)).tolist()
    assert (scaling.calibrated(0.5) > 0.5, scaling.calibrated(0.5) < 0.5) == (bias > 0, bias < 0)


def test_certainty_is_softened_in_order():
    last = math.nextafter(1.0, 0.0)
    soft = LogitScaling(4.0)
    assert 0.5 < soft.calibrated(last) < soft.calibrated(1.0) < 1
    assert 0 < soft.calibrated(0.0) < 0.5


def test_without_calibration_the_probability_is_untouched():
    for probability in np.random.default_rng(0).random(100).tolist():
        assert LogitScaling().calibrated(probability) == probability
    assert LogitScaling().is_identity
    assert not LogitScaling(1.0, 0.1).is_identity
    assert not LogitScaling(2.0, 0.0).is_identity


def test_a_person_is_judged_by_the_calibrated_mean():
    """Averaging calibrated probabilities would give another number than calibrating the mean."""
    scaling = LogitScaling(2.0, 0.3)
    probabilities = [0.999, 0.999, 0.1, 0.3, 0.9]
    mean = sum(probabilities) / 5
    judgement = person(probabilities, scaling=scaling)
    odds = math.sqrt(mean / (1 - mean) * math.exp(0.3))
    assert judgement.fake_probability == pytest.approx(odds / (1 + odds))
    averaged = np.mean([scaling.calibrated(probability) for probability in probabilities])
    assert abs(averaged - judgement.fake_probability) > 0.02


def test_no_calibration_changes_who_is_more_suspicious():
    rng = np.random.default_rng(0)
    people = [
        (1 / (1 + np.exp(-rng.normal(0, 6, rng.integers(3, 12))))).tolist() for _ in range(500)
    ]

    def ranking(scaling: LogitScaling) -> list[int]:
        served = [person(person_, scaling=scaling).fake_probability for person_ in people]
        assert len(set(served)) > 400
        return np.argsort(served, kind="stable").tolist()

    plain = ranking(LogitScaling())
    for temperature, bias in product((0.3, 1.0, 4.0), (-2.0, 0.0, 2.0)):
        assert ranking(LogitScaling(temperature, bias)) == plain


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
