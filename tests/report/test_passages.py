"""caddm_hf.report.passages: stretches of time that stand out from the rest of a clip."""

import numpy as np
import pytest

from caddm_hf.report.leaning import Leaning
from caddm_hf.report.passages import Passage, find_passages, judge_passages
from caddm_hf.report.verdicts import Reason, Thresholds, Verdict, judge_probability

THRESHOLDS = Thresholds(0.3, 0.9)


def probabilities(log_odds: np.ndarray) -> list[float]:
    return (1 / (1 + np.exp(-log_odds))).tolist()


def a_minute(forged: tuple[float, float] | None, height: float = 4.0, seed: int = 0):
    """Times, probabilities and spread flags: 2 s apart, and 4 a second around the forgery."""
    spread = np.linspace(0, 60, 32)
    around = np.arange(forged[0] - 4, forged[1] + 4, 0.25) if forged else np.arange(10, 18, 0.25)
    times = np.concatenate([spread, around])
    order = np.argsort(times, kind="stable")
    noise = np.random.default_rng(seed).normal(-2, 0.8, len(times))
    if forged:
        noise[(times >= forged[0]) & (times <= forged[1])] += height
    return times[order].tolist(), probabilities(noise[order]), (order < len(spread)).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_four_forged_seconds_are_named_within_a_second(seed):
    start = 7.0 + 5.3 * seed
    times, scores, spread = a_minute((start, start + 4), 5.0, seed)
    (passage,) = find_passages(times, scores, spread)
    assert passage.start_s == pytest.approx(start, abs=1)
    assert passage.end_s == pytest.approx(start + 4, abs=1)
    assert passage.frames >= 12


@pytest.mark.parametrize("seed", range(40))
def test_a_genuine_minute_has_no_passage(seed):
    assert find_passages(*a_minute(None, seed=seed)) == []


def test_a_clip_that_is_high_throughout_has_no_passage():
    times = np.arange(0, 10, 0.3)
    scores = probabilities(np.random.default_rng(0).normal(5, 0.8, len(times)))
    assert find_passages(times, scores, [True] * len(times)) == []


def test_single_frames_and_frames_far_apart_make_no_passage():
    times, scores, spread = a_minute(None)
    scores[20] = 0.999
    assert find_passages(times, scores, spread) == []
    far = np.arange(0, 60, 2.0)
    high = np.where((far > 20) & (far < 40), 5.0, -2.0)
    assert find_passages(far, probabilities(high), [True] * len(far)) == []


def test_nobody_has_no_passage():
    assert find_passages([], [], []) == []


def passage(probability: float, length_s: float = 4.0) -> Passage:
    return Passage(5.2, 5.2 + length_s, probability, int(4 * length_s) + 1)


def test_a_person_with_a_passage_is_never_real():
    real = judge_probability(0.1, THRESHOLDS)
    seen = judge_passages(real, [passage(0.8)], THRESHOLDS)
    assert (seen.verdict, seen.reason) == (Verdict.CANNOT_TELL, Reason.PASSAGE)
    assert seen.explanation.startswith("5.2 s to 9.2 s looks forged")
    assert seen.fake_probability == 0.1
    assert seen.leans_towards is Leaning.FAKE
    assert judge_passages(real, [], THRESHOLDS) == real


def test_a_strong_long_passage_is_enough_for_fake():
    real = judge_probability(0.1, THRESHOLDS)
    assert judge_passages(real, [passage(0.95)], THRESHOLDS).verdict is Verdict.FAKE
    short = judge_passages(real, [passage(0.95, 1.5)], THRESHOLDS)
    assert short.verdict is Verdict.CANNOT_TELL


def test_the_probability_is_what_three_in_four_frames_reach():
    times = np.arange(0, 8, 0.25)
    odds = np.where((times >= 2) & (times <= 5), 3.0, -2.0)
    odds[9] = 9.0
    (found,) = find_passages(times, probabilities(odds), [True] * len(times))
    assert found.fake_probability == pytest.approx(1 / (1 + np.exp(-3)))
