"""Intervals, calibration and thresholds: by hand, against scikit-learn, and by simulation."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from caddm_hf.metrics.statistics import (
    bootstrap_interval,
    fit_platt_scaling,
    threshold_at_false_positive_rate,
    wilson_interval,
)
from caddm_hf.metrics.video_metrics.video_scores import (
    OneClassError,
    area_under_roc,
    average_precision,
    equal_error_rate,
)


def tied_samples(seed, count=40, levels=6):
    rng = np.random.default_rng(seed)
    labels = np.concatenate(([0, 1], rng.integers(0, 2, count - 2)))
    return np.round(rng.uniform(0, 1, count) * levels + labels) / (levels + 1), labels


@pytest.mark.parametrize("seed", range(10))
def test_ranking_metrics_agree_with_scikit_learn(seed):
    scores, labels = tied_samples(seed)
    assert area_under_roc(scores, labels) == roc_auc_score(labels, scores)
    assert average_precision(scores, labels) == average_precision_score(labels, scores)
    assert equal_error_rate(scores, labels) == pytest.approx(
        1 - equal_error_rate(-scores, labels), abs=1e-12
    )


@pytest.mark.parametrize(
    ("metric", "name"),
    [(area_under_roc, "AUC"), (average_precision, "average pr"), (equal_error_rate, "EER")],
)
@pytest.mark.parametrize(("label", "kind"), [(0, "genuine"), (1, "fake")])
def test_one_class_is_an_error_that_says_so(metric, name, label, kind):
    with pytest.raises(OneClassError, match=f"only {kind} scores were given; {name}.* both class"):
        metric([0.1, 0.9], [label, label])


def auc_one_by_one(scores, labels):
    return area_under_roc(scores, labels)


@pytest.mark.parametrize("seed", range(4))
def test_bootstrap_at_once_equals_one_by_one(seed):
    scores, labels = tied_samples(seed)
    at_once, one_by_one = (
        bootstrap_interval(metric, scores, labels, np.random.default_rng(seed), 50)
        for metric in (area_under_roc, auc_one_by_one)
    )
    assert at_once.low == pytest.approx(one_by_one.low, abs=1e-12)
    assert at_once.high == pytest.approx(one_by_one.high, abs=1e-12)
    assert at_once.redrawn == one_by_one.redrawn
    assert at_once.estimate == roc_auc_score(labels, scores)
    assert at_once.low < at_once.estimate < at_once.high


def test_bootstrap_chunks_do_not_lose_resamples(monkeypatch):
    monkeypatch.setattr("caddm_hf.metrics.statistics.CHUNK_COUNTS", 3 * 40)
    scores, labels = tied_samples(0)
    seen = []

    def record(resampled, _labels):
        seen.append(len(resampled))
        return float(len(seen))

    interval = bootstrap_interval(record, scores, labels, np.random.default_rng(0), 50, level=0.5)
    assert seen == [40] * 51  # the estimate first, then 50 resamples of full size
    assert (interval.estimate, interval.samples) == (1.0, 50)
    assert interval.low == pytest.approx(np.quantile(np.arange(2, 52), 0.25))
    assert interval.high == pytest.approx(np.quantile(np.arange(2, 52), 0.75))


def test_bootstrap_keeps_groups_whole():
    labels = np.array([0, 1] * 5)
    groups = [f"source {index}" for index in range(5) for _ in range(2)]
    scores = np.repeat(np.arange(5.0), 2)  # the score names the group

    def check(resampled, resampled_labels):
        genuine = np.sort(resampled[resampled_labels == 0])
        assert np.array_equal(genuine, np.sort(resampled[resampled_labels == 1]))
        return resampled.mean()

    interval = bootstrap_interval(check, scores, labels, np.random.default_rng(0), 40, 0.9, groups)
    assert interval.low < 2 < interval.high


def test_bootstrap_widens_when_repeated_frames_are_grouped():
    """32 copies of each video hold no more knowledge than one: grouping has to notice."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 20)
    scores = rng.normal(labels, 1.0)
    frames = {"scores": np.repeat(scores, 32), "labels": np.repeat(labels, 32)}
    videos = np.repeat(np.arange(40), 32)

    def width(**arguments):
        interval = bootstrap_interval(area_under_roc, rng=np.random.default_rng(1), **arguments)
        return interval.high - interval.low

    by_video = width(scores=scores, labels=labels)
    assert width(**frames, groups=videos) == pytest.approx(by_video)
    assert width(**frames) < by_video / 3


def test_bootstrap_redraws_are_counted():
    scores, labels = np.array([0.1, 0.3, 0.2, 0.6]), np.array([0, 0, 0, 1])
    pooled = bootstrap_interval(area_under_roc, scores, labels, np.random.default_rng(0), 2000)
    # One of 4 is missing from a resample with chance p = (3/4)^4, all are that one with (1/4)^4.
    one_class = 0.75**4 + 0.25**4
    expected = 2000 * one_class / (1 - one_class)
    assert pooled.redrawn == pytest.approx(expected, rel=0.15)


def test_bootstrap_of_one_class_works_where_the_metric_does():
    scores = np.linspace(0, 1, 50)

    def share_above_half(resampled, _labels):
        return float(np.mean(resampled > 0.5))

    interval = bootstrap_interval(
        share_above_half, scores, np.zeros(50), np.random.default_rng(0), 300
    )
    assert interval.redrawn == 0
    assert interval.low < 0.5 < interval.high
    with pytest.raises(OneClassError):
        bootstrap_interval(area_under_roc, scores, np.zeros(50), np.random.default_rng(0))


def test_bootstrap_repeats_with_its_generator_and_no_other():
    scores, labels = tied_samples(0)
    first, second, other = (
        bootstrap_interval(area_under_roc, scores, labels, np.random.default_rng(seed), 100)
        for seed in (5, 5, 6)
    )
    assert first == second
    assert first != other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 1}, "at least 2 resamples, got 1"),
        ({"level": 95}, "between 0 and 1, for example 0.95, got 95"),
        ({"groups": ["a", "a"]}, "at least 2 videos"),
        ({"groups": ["a"]}, "2 scores need as many groups, got 1"),
        ({"groups": ["a", "a"] * 2, "scores": [0, 1, 2, 3], "labels": [0, 0, 1, 1]}, "at least 2"),
    ],
)
def test_bootstrap_errors(changes, message):
    arguments = {"scores": [0.1, 0.9], "labels": [0, 1], **changes}
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(area_under_roc, rng=np.random.default_rng(0), **arguments)


def coverage(repetitions, samples, per_class=50, shift=1.0):
    """Share of nominal 90% intervals that hold the true AUC of two unit normals."""
    truth = norm.cdf(shift / math.sqrt(2))
    labels = np.repeat([0, 1], per_class)
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(repetitions):
        scores = rng.normal(shift * labels, 1.0)
        interval = bootstrap_interval(area_under_roc, scores, labels, rng, samples, 0.9)
        hits += interval.low <= truth <= interval.high
    return hits / repetitions


def test_bootstrap_coverage():
    # Three standard errors of 1,000 repetitions, and half a point for the percentile method's bias.
    assert coverage(1000, 200) == pytest.approx(0.9, abs=0.034)


@pytest.mark.slow
def test_bootstrap_coverage_closely():
    assert coverage(4000, 500) == pytest.approx(0.9, abs=0.025)


@pytest.mark.parametrize("bias", [-2.0, 0.0, 0.5])
@pytest.mark.parametrize("temperature", [0.05, 1.0, 200.0])
def test_a_made_up_temperature_and_bias_are_found(temperature, bias):
    rng = np.random.default_rng(2)
    true_logits = rng.normal(0.1, 2, 40_000)
    labels = rng.uniform(size=40_000) < expit(true_logits)
    found = fit_platt_scaling(temperature * (true_logits - bias), labels)
    assert found[0] == pytest.approx(temperature, rel=0.05)
    assert found[1] == pytest.approx(temperature * bias, abs=0.05 * temperature)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_temperature_and_bias_fit_better(seed):
    """At the optimum the weighted residuals balance, alone and multiplied by the logits."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], (150, 50)))
    logits = rng.normal(2 * labels - 7, rng.uniform(0.5, 4))
    weights = rng.uniform(0.1, 3, 200)
    temperature, bias = fit_platt_scaling(logits, labels, weights)
    residuals = weights * (labels - expit((logits + bias) / temperature))
    assert abs(residuals.sum()) < 1e-9
    assert abs(residuals @ logits) < 1e-8
    scaled = (logits + bias) / temperature
    assert area_under_roc(scaled, labels) == area_under_roc(logits, labels)


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        ([-2, -1, 1, 2], [0, 0, 1, 1], ValueError, "would be 0; .* more, or harder, videos"),
        ([5, 6, 7, 7], [0, 0, 1, 1], ValueError, "would be 0"),
        ([-1, 0, 0, 1], [0, 0, 1, 1], ValueError, "would be 0"),
        ([2, 1, -1, -2], [0, 0, 1, 1], ValueError, "do not score higher"),
        ([1, 2, 1, 2], [0, 0, 1, 1], ValueError, "do not score higher"),
        ([0.1, 0.1, 0.1], [0, 1, 1], ValueError, "do not score higher"),
        ([-1, 1], [1, 1], OneClassError, "only fake scores .* temperature and bias needs both"),
        ([math.nan, 1], [0, 1], ValueError, "score 0 is nan"),
    ],
)
def test_no_scaling_where_none_is_best(logits, labels, error, message):
    with pytest.raises(error, match=message):
        fit_platt_scaling(logits, labels)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0, 0.9), (0.09, 0.9), (0.1, 0.6), (0.2, 0.6), (0.3, 0.6), (0.4, 0.5), (0.99, 0.1)],
)
def test_threshold_by_hand(rate, expected):
    scores = [0.5, 0.1, 0.6, 0.2, 0.9, 0.6, 0.3, 0.6, 0.4, 0.2]
    assert threshold_at_false_positive_rate(scores, rate) == expected


def test_threshold_counts_in_whole_samples_despite_rounding():
    assert 0.29 * 100 < 29
    assert threshold_at_false_positive_rate(np.arange(100), 0.29) == 70


@pytest.mark.parametrize("seed", range(30))
def test_threshold_is_the_smallest_that_keeps_the_rate(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, rng.integers(1, 60)) / 12
    rate = rng.uniform(0, 0.99)
    threshold = threshold_at_false_positive_rate(scores, rate)
    assert np.mean(scores > threshold) <= rate
    assert np.mean(scores >= threshold) > rate


def test_threshold_and_rate_errors():
    for rate in (-0.1, 1, 5, math.nan):
        with pytest.raises(ValueError, match=r"rate must be in \[0, 1\)"):
            threshold_at_false_positive_rate([0.1], rate)
    with pytest.raises(ValueError, match="no scores were given"):
        threshold_at_false_positive_rate([], 0.1)


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (3, 20), (20, 20), (1, 1), (450, 1000)])
def test_wilson_interval_solves_its_equation(successes, trials, level):
    """Its ends are the p for which |share - p| = z sqrt(p (1 - p) / n)."""
    z = norm.ppf((1 + level) / 2)
    share = successes / trials
    low, high = wilson_interval(successes, trials, level)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        assert abs(share - end) == pytest.approx(z * math.sqrt(end * (1 - end) / trials), abs=1e-9)


def test_wilson_interval_errors():
    for successes, trials in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="cannot make a proportion"):
            wilson_interval(successes, trials)


def test_statistics_do_not_load_the_metric_library():
    """Importing `evaluate` takes seconds; calibrating a threshold must not pay for it."""
    code = "import sys, caddm_hf.metrics.statistics; print('evaluate' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout == "False\n"


def test_weights_count_as_repetitions():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, 80)
    labels = (rng.random(80) < expit(logits / 1.5)).astype(int)
    weights = rng.integers(1, 4, 80)
    repeated = np.repeat(np.arange(80), weights)
    assert fit_platt_scaling(logits, labels, weights) == pytest.approx(
        fit_platt_scaling(logits[repeated], labels[repeated])
    )
