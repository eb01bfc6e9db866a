"""Statistics on detector scores: intervals, Platt scaling, thresholds.

Higher scores mean more likely fake; label 1 is fake, 0 genuine. A sample is *called fake*
if its score is strictly above the threshold. Ties count as genuine, as with `argmax` over
(genuine, fake) logits at 0.5.

Aggregation and the ranking metrics are defined beside the `evaluate` metric, which must be
self-contained. They are re-exported here.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from .video_metrics import (
    OneClassError,
    VideoScores,
    aggregate_by_video,
    area_under_roc,
    average_precision,
    check_labels,
    check_scores,
    equal_error_rate,
    require_both_classes,
)

__all__ = [
    "BootstrapInterval",
    "OneClassError",
    "VideoScores",
    "aggregate_by_video",
    "area_under_roc",
    "average_precision",
    "bootstrap_interval",
    "equal_error_rate",
    "fit_platt_scaling",
    "threshold_at_false_positive_rate",
    "wilson_interval",
]

Metric = Callable[[np.ndarray, np.ndarray], float]
# Resamples are drawn in chunks of about this many counts (8 bytes each), to limit memory.
CHUNK_COUNTS = 2_000_000
# Class means closer than this (in standard deviations) count as equal.
LEAST_LEAN = 1e-9


@dataclass(frozen=True)
class BootstrapInterval:
    """A metric with its bootstrap interval.

    Attributes:
        estimate: the metric on the samples as given.
        low: lower end of the interval.
        high: upper end of the interval.
        level: nominal coverage, in (0, 1).
        samples: number of resamples used.
        redrawn: number of resamples that lacked a class and were replaced. If this is not small
            compared with `samples`, a class has too few videos for an interval.
    """

    estimate: float
    low: float
    high: float
    level: float
    samples: int
    redrawn: int


def bootstrap_interval(
    metric: Metric,
    scores: ArrayLike,
    labels: ArrayLike,
    rng: np.random.Generator,
    samples: int = 1000,
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> BootstrapInterval:
    """Return the percentile bootstrap interval of a metric (Efron & Tibshirani 1993, chapter 13).

    Pass one score per video: frames of a video are not independent. If videos are related too (a
    fake and its source, or several videos of a person), pass `groups`; these are then resampled
    whole. With `area_under_roc` all resamples are computed at once.

    Limits: on small sets the interval is slightly too narrow (measured for AUC with 50 videos per
    class: a nominal 90% interval covered the truth in 88 to 89%). For a perfect ranking it has
    zero width, although uncertainty remains.

    Args:
        metric: function of (scores, labels) giving a number.
        scores: (N,) finite scores.
        labels: (N,) 0 genuine, 1 fake.
        rng: source of randomness.
        samples: number of resamples, at least 2.
        level: nominal coverage, in (0, 1).
        groups: N hashable names; samples with one name stay together. Default: all separate.

    Groups are drawn regardless of class. Resamples that lack a class of the samples are redrawn
    and counted.

    Raises:
        ValueError: on unusable input, or fewer than two groups.
        OneClassError: from the metric, if it needs both classes and one is missing.
    """
    checked_scores = check_scores(scores)
    checked_labels = check_labels(labels, len(checked_scores))
    if samples < 2:
        raise ValueError(f"the bootstrap needs at least 2 resamples, got {samples}")
    _check_level(level)
    group_index = _number_groups(groups, len(checked_scores))
    n_groups = int(group_index.max()) + 1
    if n_groups < 2:
        raise ValueError("the bootstrap needs at least 2 videos (or groups of videos)")
    # (2, G): which groups have a genuine sample, and which have a fake.
    holds_class = np.stack(
        [np.bincount(group_index[checked_labels == c], minlength=n_groups) > 0 for c in (0, 1)]
    )
    required = holds_class[holds_class.any(axis=1)]

    estimate = float(metric(checked_scores, checked_labels))
    values = np.empty(samples)
    redrawn = 0
    chunk = max(1, CHUNK_COUNTS // len(checked_scores))
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        counts, again = _draw_counts(rng, size, required)
        redrawn += again
        sample_counts = counts[:, group_index]
        if metric is area_under_roc:
            values[start : start + size] = _weighted_auc(
                checked_scores, checked_labels, sample_counts
            )
        else:
            for row, repeats in enumerate(sample_counts, start):
                values[row] = metric(
                    np.repeat(checked_scores, repeats), np.repeat(checked_labels, repeats)
                )
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return BootstrapInterval(estimate, float(low), float(high), level, samples, redrawn)


def _number_groups(groups: Sequence[Hashable] | None, count: int) -> np.ndarray:
    if groups is None:
        return np.arange(count)
    names = list(groups)
    if len(names) != count:
        raise ValueError(f"{count} scores need as many groups, got {len(names)}")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names])


def _draw_counts(
    rng: np.random.Generator, size: int, required: np.ndarray
) -> tuple[np.ndarray, int]:
    """Draw `size` resamples. Returns (size, G) counts of each group, and the number of redraws."""
    groups = required.shape[1]
    counts = np.zeros((size, groups), dtype=np.int64)
    pending = np.arange(size)
    redrawn = 0
    while True:
        drawn = rng.integers(groups, size=(len(pending), groups))
        flat = (drawn + groups * np.arange(len(pending))[:, None]).ravel()
        counts[pending] = np.bincount(flat, minlength=drawn.size).reshape(drawn.shape)
        missing = ((counts[pending] @ required.T.astype(np.int64)) == 0).any(axis=1)
        pending = pending[missing]
        if not len(pending):
            return counts, redrawn
        redrawn += len(pending)


def _weighted_auc(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the (R,) AUC of each resample from the (R, N) counts of its samples."""
    order = np.argsort(scores, kind="stable")
    ties = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    sorted_counts = counts[:, order]
    fakes = np.add.reduceat(sorted_counts * labels[order], ties, axis=1)
    genuine = np.add.reduceat(sorted_counts * (1 - labels[order]), ties, axis=1)
    genuine_below = np.cumsum(genuine, axis=1) - genuine
    won = (fakes * (2 * genuine_below + genuine)).sum(axis=1)
    return won / (2 * fakes.sum(axis=1) * genuine.sum(axis=1))


def fit_platt_scaling(
    logit_differences: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """Find T > 0 and b so that sigmoid((z + b) / T) is the best-fitting probability of fake.

    This is Platt scaling (Platt 1999, without smoothed targets). It minimises the negative log
    likelihood and keeps the ranking.

    Args:
        logit_differences: (N,) fake logit minus genuine logit; for a probability p, log(p/(1-p)).
        labels: (N,) 0 genuine, 1 fake, both present.
        weights: (N,) positive, of each sample; 1 by default.

    Returns:
        (T, b): T > 1 if the model was overconfident, b > 0 if it was biased towards "genuine".

    Raises:
        OneClassError: if one class is missing.
        ValueError: on unusable input, or if no T > 0 is best: fakes do not score higher on
            average, or every fake scores above every genuine sample (T would be 0).
    """
    differences = check_scores(logit_differences)
    fake = check_labels(labels, len(differences)) == 1
    require_both_classes(fake, "a fit of temperature and bias needs")
    weight = np.ones(len(fake)) if weights is None else check_scores(weights)
    # T and b scale with the logits: fit them at mean 0 and spread 1, then scale back.
    middle, spread = np.average(differences, weights=weight), np.std(differences)
    logits = (differences - middle) / (spread or 1.0)
    genuine_mean, fake_mean = (np.average(logits[c], weights=weight[c]) for c in (~fake, fake))
    # The best slope has the sign of this difference.
    if fake_mean - genuine_mean <= LEAST_LEAN:
        raise ValueError("fakes do not score higher on the average, which no calibration repairs")
    if logits[~fake].max() - logits[fake].min() <= LEAST_LEAN:
        raise ValueError(
            "every fake scores above every genuine sample, so the best temperature would be 0; "
            "calibrate on more, or harder, videos"
        )
    # No regularisation; this solver reaches the optimum to double precision.
    regression = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
    regression.fit(logits[:, None], fake, sample_weight=weight)
    slope, intercept = float(regression.coef_[0, 0]), float(regression.intercept_[0])
    return float(spread / slope), float(spread * intercept / slope - middle)


def threshold_at_false_positive_rate(genuine_scores: ArrayLike, rate: float) -> float:
    """Return the smallest threshold that calls at most a share `rate` of genuine samples fake.

    The threshold is always one of the scores. Ties are never split: if they make the exact share
    impossible, fewer samples are called fake. For a rate below 1/N the threshold is the highest
    genuine score. The rate holds for these samples; `wilson_interval` bounds it for others.

    Args:
        genuine_scores: (N,) finite scores of genuine samples.
        rate: accepted share, in [0, 1).
    """
    checked = np.sort(check_scores(genuine_scores))
    if not 0 <= rate < 1:
        raise ValueError(f"the false positive rate must be in [0, 1), got {rate}")
    # The small term corrects rounding: 0.29 * 100 = 28.999... becomes 29.
    accepted = min(math.floor(rate * len(checked) + 1e-9), len(checked) - 1)
    return float(checked[-1 - accepted])


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927), no continuity correction.

    Args:
        successes: number of successes, 0..trials.
        trials: number of trials, at least 1.
        level: nominal coverage, in (0, 1).

    Returns:
        (low, high), within [0, 1].
    """
    _check_level(level)
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"cannot make a proportion of {successes} in {trials}")
    interval = binomtest(successes, trials).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"the level must lie between 0 and 1, for example 0.95, got {level}")
