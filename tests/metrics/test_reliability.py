"""Reliability and its error, against definitions, scikit-learn and simulation."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve

from caddm_hf.metrics.reliability import (
    class_weights,
    error_if_calibrated,
    expected_calibration_error,
    reliability_curve,
)
from caddm_hf.metrics.video_metrics import OneClassError


def test_reliability_by_hand():
    curve = reliability_curve([0.0, 0.1, 0.25, 0.3, 0.9, 1.0], [0, 1, 0, 1, 1, 1], bins=4)
    assert curve.bin_edges.tolist() == [[0, 0.25], [0.25, 0.5], [0.75, 1]]
    assert curve.counts.tolist() == [3, 1, 2]
    assert curve.mean_probabilities == pytest.approx([0.35 / 3, 0.3, 0.95])
    assert curve.fake_shares == pytest.approx([1 / 3, 1, 1])
    gap = (3 * abs(0.35 / 3 - 1 / 3) + 0.7 + 2 * 0.05) / 6
    assert expected_calibration_error(
        [0.0, 0.1, 0.25, 0.3, 0.9, 1.0], [0, 1, 0, 1, 1, 1], bins=4
    ) == pytest.approx(gap)


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_reliability_agrees_with_scikit_learn(bins):
    rng = np.random.default_rng(bins)
    probabilities = np.round(rng.beta(0.5, 0.5, 500), 2)
    labels = rng.integers(0, 2, 500)
    shares, means = calibration_curve(labels, probabilities, n_bins=bins, strategy="uniform")
    curve = reliability_curve(probabilities, labels, bins)
    assert curve.fake_shares == pytest.approx(shares)
    assert curve.mean_probabilities == pytest.approx(means)
    assert curve.counts.sum() == 500


def test_calibration_error_tells_calibrated_from_overconfident():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = rng.uniform(size=20_000) < expit(logits)
    assert expected_calibration_error(expit(logits), labels) < 0.02
    assert expected_calibration_error(expit(4 * logits), labels) > 0.08
    assert expected_calibration_error([1.0, 0.0], [0, 1]) == 1.0
    assert expected_calibration_error([1.0, 0.0], [1, 0]) == 0.0


def test_calibration_wants_probabilities():
    with pytest.raises(ValueError, match=r"score 0 is 3.2, outside \[0, 1\]"):
        expected_calibration_error([3.2, 0.1], [1, 0])
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        reliability_curve([0.3], [1], bins=0)


def test_weights_count_as_repetitions():
    rng = np.random.default_rng(3)
    probabilities = rng.random(80)
    labels = (rng.random(80) < probabilities).astype(int)
    weights = rng.integers(1, 4, 80)
    repeated = np.repeat(np.arange(80), weights)
    weighted = expected_calibration_error(probabilities, labels, 5, weights)
    assert weighted == pytest.approx(
        expected_calibration_error(probabilities[repeated], labels[repeated], 5)
    )
    assert weighted != pytest.approx(expected_calibration_error(probabilities, labels, 5))


def test_weights_of_classes():
    assert class_weights([1, 0, 1, 1], 0.5).tolist() == pytest.approx([2 / 3, 2, 2 / 3, 2 / 3])
    assert class_weights([1, 0, 1, 1], 0.1).tolist() == pytest.approx(
        [0.4 / 3, 3.6, 0.4 / 3, 0.4 / 3]
    )
    assert class_weights([1, 0, 1, 1], None).tolist() == [1, 1, 1, 1]
    with pytest.raises(OneClassError):
        class_weights([1, 1], None)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        class_weights([1, 0], 1)


@pytest.mark.parametrize("prior", [None, 0.5, 0.2])
def test_what_chance_alone_shows(prior):
    """The error of calibrated probabilities, with labels drawn anew: its mean, not more."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0.6, 2, 700)  # as among 60% of fakes

    def served(labels):
        shift = 0 if prior is None else logit(prior) - logit(labels.mean())
        return expit(logits + shift)

    errors = []
    for _ in range(200):
        labels = (rng.random(700) < expit(logits)).astype(int)
        weights = class_weights(labels, prior)
        errors.append(expected_calibration_error(served(labels), labels, weights=weights))
    found = error_if_calibrated(served(labels), labels, prior)
    assert found == pytest.approx(np.mean(errors), rel=0.15)
    wrong = expected_calibration_error(served(labels) ** 2, labels, weights=weights)
    assert wrong > 2 * found


def test_chance_shrinks_with_the_number():
    rng = np.random.default_rng(0)
    probabilities = rng.random(3200)
    labels = (rng.random(3200) < probabilities).astype(int)
    few, many = (error_if_calibrated(probabilities[:n], labels[:n]) for n in (200, 3200))
    assert 3 < few / many < 5  # as the square root of 16
    assert error_if_calibrated([0.0, 1.0], [0, 1], 0.3) == 0
