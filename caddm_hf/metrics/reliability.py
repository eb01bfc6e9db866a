"""Calibration of probabilities: reliability curve, its error, and the part due to chance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from .video_metrics import (
    check_labels,
    check_probabilities,
    check_scores,
    require_both_classes,
)

# With more bins, a few hundred videos leave so few per bin that chance dominates the error.
BINS = 10
DRAWS = 500
LARGEST_LOGIT = 700.0  # its exponential is still finite


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Predicted and observed share of fakes in the M bins that are not empty.

    Attributes:
        bin_edges: (M, 2) lower (exclusive except 0) and upper (inclusive) bound of each bin.
        mean_probabilities: (M,) mean predicted probability of fake.
        fake_shares: (M,) share of samples that are fake.
        counts: (M,) int64, number of samples.
        weights: (M,) sum of the samples' weights.
    """

    bin_edges: np.ndarray
    mean_probabilities: np.ndarray
    fake_shares: np.ndarray
    counts: np.ndarray
    weights: np.ndarray


def class_weights(labels: ArrayLike, prior: float | None) -> np.ndarray:
    """Return (N,) weights with mean 1 that give fakes a share `prior` of the total weight.

    Args:
        labels: (N,) 0 genuine, 1 fake, both present.
        prior: the share, in (0, 1); None gives every sample weight 1.
    """
    checked = check_labels(labels, len(np.asarray(labels)))
    require_both_classes(checked, "weights of classes need")
    if prior is None:
        return np.ones(len(checked))
    if not 0 < prior < 1:
        raise ValueError(f"the share of fakes must lie between 0 and 1, got {prior}")
    return len(checked) * np.where(checked == 1, prior, 1 - prior) / np.bincount(checked)[checked]


def reliability_curve(
    probabilities: ArrayLike,
    labels: ArrayLike,
    bins: int = BINS,
    weights: ArrayLike | None = None,
) -> ReliabilityCurve:
    """Group samples by predicted probability of fake and count the fakes in each group.

    Args:
        probabilities: (N,) probability of fake, in [0, 1].
        labels: (N,) 0 genuine, 1 fake.
        bins: number of bins of equal width over [0, 1], closed above; empty ones are left out.
        weights: (N,) positive, of each sample in means and shares; 1 by default.
    """
    checked = check_probabilities(probabilities)
    weight = np.ones(len(checked)) if weights is None else check_scores(weights)
    checked_labels = check_labels(labels, len(checked))
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    edges = np.linspace(0, 1, bins + 1)
    index = np.searchsorted(edges[1:-1], checked)
    counts = np.bincount(index, minlength=bins)
    kept = np.flatnonzero(counts)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, weights=values * weight, minlength=bins)[kept]

    all_weights = total(np.ones(len(checked)))
    return ReliabilityCurve(
        bin_edges=np.stack([edges[kept], edges[kept + 1]], axis=1),
        mean_probabilities=total(checked) / all_weights,
        fake_shares=total(checked_labels) / all_weights,
        counts=counts[kept],
        weights=all_weights,
    )


def expected_calibration_error(
    probabilities: ArrayLike,
    labels: ArrayLike,
    bins: int = BINS,
    weights: ArrayLike | None = None,
) -> float:
    """Return the mean gap between predicted and observed share of fakes, weighted by bin.

    The binned estimator of Guo et al. 2017 (arXiv 1706.04599) with bins of equal width, applied
    to the probability of fake instead of the confidence of the winning class. Arguments as in
    `reliability_curve`; the result is in [0, 1], 0 if calibrated. On small sets the estimate is
    too high; `error_if_calibrated` estimates by how much.
    """
    curve = reliability_curve(probabilities, labels, bins, weights)
    gaps = np.abs(curve.mean_probabilities - curve.fake_shares)
    return float(np.average(gaps, weights=curve.weights))


def error_if_calibrated(
    probabilities: ArrayLike, labels: ArrayLike, prior: float | None = None, seed: int = 0
) -> float:
    """Return the expected calibration error that perfectly calibrated probabilities would show.

    This is the mean over labels drawn from the probabilities themselves. The binned estimator adds
    up absolute gaps, which chance opens in every bin. A measured error near this value cannot be
    distinguished from 0.

    Args:
        probabilities: (N,) probability of fake, in [0, 1].
        labels: (N,) 0 genuine, 1 fake, both present; only their numbers are used.
        prior: the share of fakes that the probabilities assume; None for that of `labels`.
        seed: of the draws.
    """
    checked = check_probabilities(probabilities)
    weights = class_weights(labels, prior)
    is_fake = np.asarray(labels) == 1
    found = is_fake.mean()
    # With the observed share of fakes the odds are those under the prior times a constant.
    shift = 0.0 if prior is None else logit(found) - logit(prior)
    with np.errstate(divide="ignore"):
        logits = np.clip(logit(checked), -LARGEST_LOGIT, LARGEST_LOGIT)
    own = expit(logits + shift)
    of_genuine, of_fakes = weights[~is_fake][0], weights[is_fake][0]
    rng = np.random.default_rng(seed)
    errors = []
    for _ in range(DRAWS):
        drawn = (rng.random(len(own)) < own).astype(np.int64)
        drawn_weights = np.where(drawn, of_fakes, of_genuine)
        errors.append(expected_calibration_error(checked, drawn, weights=drawn_weights))
    return float(np.mean(errors))


def calibration_figures(
    probabilities: ArrayLike, labels: ArrayLike, prior: float | None = None
) -> dict[str, float]:
    """Return the expected calibration error, and that of calibrated probabilities by chance.

    Args:
        probabilities, labels, prior: as in `error_if_calibrated`.
    """
    weights = class_weights(labels, prior)
    return {
        "expected_calibration_error": expected_calibration_error(
            probabilities, labels, weights=weights
        ),
        "error_if_calibrated": error_if_calibrated(probabilities, labels, prior),
    }
