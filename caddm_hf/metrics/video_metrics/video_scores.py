"""From frame scores to video scores, and the ranking metrics of both.

Everywhere a higher score means more likely fake, label 1 means fake and 0 genuine.
Depends on numpy and scikit-learn only and imports nothing of this package, because
`evaluate` copies it next to the metric (see `__init__.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

Aggregation = Literal["mean", "max", "top_k"]


class OneClassError(ValueError):
    """A metric needs both genuine and fake samples, but one kind is missing."""


@dataclass(frozen=True, eq=False)
class VideoScores:
    """One score per video, ordered by video id.

    Attributes:
        video_ids: V distinct ids, sorted.
        scores: (V,) float64, the aggregated frame scores.
        labels: (V,) int64, 0 genuine, 1 fake.
        frame_counts: (V,) int64, how many frames each video had.
    """

    video_ids: tuple[str, ...]
    scores: np.ndarray
    labels: np.ndarray
    frame_counts: np.ndarray


def check_scores(scores: ArrayLike) -> np.ndarray:
    """Return `scores` as a finite, non-empty (N,) float64 array, or raise ValueError."""
    try:
        checked = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"scores must be a flat list of numbers: {error}") from error
    if checked.ndim != 1:
        raise ValueError(f"scores must be one number per sample, got shape {checked.shape}")
    if checked.size == 0:
        raise ValueError("no scores were given")
    broken = np.flatnonzero(~np.isfinite(checked))
    if broken.size:
        raise ValueError(
            f"score {broken[0]} is {checked[broken[0]]}; every score must be finite "
            f"({broken.size} of {checked.size} are not)"
        )
    return checked


def check_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """Return `probabilities` as a (N,) float64 array within [0, 1], or raise ValueError."""
    checked = check_scores(probabilities)
    outside = np.flatnonzero((checked < 0) | (checked > 1))
    if outside.size:
        raise ValueError(
            f"score {outside[0]} is {checked[outside[0]]:g}, outside [0, 1]; give the "
            "probability of fake, not a logit or a percentage"
        )
    return checked


def check_labels(labels: ArrayLike, count: int) -> np.ndarray:
    """Return `labels` as a (count,) int64 array of 0 and 1, or raise ValueError."""
    try:
        checked = np.asarray(labels, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"labels must be 0 (genuine) or 1 (fake): {error}") from error
    if checked.shape != (count,):
        raise ValueError(f"{count} scores need {count} labels, got shape {checked.shape}")
    wrong = np.flatnonzero((checked != 0) & (checked != 1))
    if wrong.size:
        raise ValueError(
            f"label {wrong[0]} is {checked[wrong[0]]:g}; labels must be 0 (genuine) or 1 (fake)"
        )
    return checked.astype(np.int64)


def require_both_classes(labels: np.ndarray, need: str, samples: str = "scores") -> None:
    """Raise OneClassError unless `labels` contains both 0 and 1.

    Args:
        labels: (N,) array of 0 and 1, N >= 1.
        need: start of the message, such as "AUC needs".
        samples: noun for the message, such as "videos".
    """
    if labels.min() == labels.max():
        kind = "fake" if labels[0] else "genuine"
        raise OneClassError(f"only {kind} {samples} were given; {need} both classes")


def aggregate_by_video(
    scores: ArrayLike,
    labels: ArrayLike,
    video_ids: Sequence[str],
    how: Aggregation = "mean",
    top_k: int | None = None,
) -> VideoScores:
    """Turn frame scores into one score per video.

    The result does not depend on the order of the frames, not even in the last bit (sums are
    exactly rounded), so videos with the same frame scores stay tied.

    Args:
        scores: (N,) finite frame scores.
        labels: (N,) 0 genuine, 1 fake, the same for all frames of a video.
        video_ids: N unique ids. A bare file name is not enough if several manipulation methods
            use the same names: such videos would be merged.
        how: "mean" (the protocol of the CADDM paper), "max", or "top_k", the mean of the `top_k`
            highest frames (of all frames, if the video has fewer).
        top_k: a positive number, for `how="top_k"` only.

    Raises:
        ValueError: on unusable input, or a video whose frames have different labels.
    """
    checked_scores = check_scores(scores)
    checked_labels = check_labels(labels, len(checked_scores))
    _check_aggregation(how, top_k)
    ids = list(video_ids)
    if len(ids) != len(checked_scores):
        raise ValueError(f"{len(checked_scores)} scores need as many video ids, got {len(ids)}")
    for position, video_id in enumerate(ids):
        if not isinstance(video_id, str) or not video_id:
            raise ValueError(
                f"video id {position} is {video_id!r}; every frame needs a non-empty text id"
            )

    distinct = sorted(set(ids))
    index_of = {video_id: index for index, video_id in enumerate(distinct)}
    video_index = np.array([index_of[video_id] for video_id in ids])
    frame_counts = np.bincount(video_index)
    fake_frames = np.bincount(video_index, weights=checked_labels).astype(np.int64)
    conflicting = np.flatnonzero((fake_frames > 0) & (fake_frames < frame_counts))
    if conflicting.size:
        raise ValueError(
            f"video {distinct[conflicting[0]]!r} has frames labelled genuine and frames labelled "
            "fake; every video needs one label, and ids that are unique across methods"
        )

    order = np.lexsort((-checked_scores, video_index))
    descending = checked_scores[order]
    bounds = np.concatenate(([0], np.cumsum(frame_counts)))
    video_scores = []
    for start, stop in pairwise(bounds.tolist()):
        kept = descending[start:stop]
        if how == "max":
            kept = kept[:1]
        elif how == "top_k":
            kept = kept[:top_k]
        video_scores.append(math.fsum(kept) / len(kept))
    return VideoScores(
        video_ids=tuple(str(video_id) for video_id in distinct),
        scores=np.array(video_scores),
        labels=(fake_frames > 0).astype(np.int64),
        frame_counts=frame_counts.astype(np.int64),
    )


def _check_aggregation(how: str, top_k: int | None) -> None:
    if how not in ("mean", "max", "top_k"):
        raise ValueError(f'aggregation must be "mean", "max" or "top_k", got {how!r}')
    if how != "top_k" and top_k is not None:
        raise ValueError(f'top_k={top_k!r} has no effect with aggregation "{how}"; leave it out')
    if how == "top_k" and (
        not isinstance(top_k, int | np.integer) or isinstance(top_k, bool) or top_k < 1
    ):
        raise ValueError(f'aggregation "top_k" needs a positive whole top_k, got {top_k!r}')


def area_under_roc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the probability that a fake scores above a genuine sample; ties count one half.

    Args:
        scores: (N,) finite scores; only their order counts.
        labels: (N,) 0 genuine, 1 fake.

    Returns:
        The AUC in [0, 1], from `sklearn.metrics.roc_auc_score`.

    Raises:
        OneClassError: if one class is missing.
        ValueError: on unusable input.
    """
    checked_scores = check_scores(scores)
    checked_labels = check_labels(labels, len(checked_scores))
    require_both_classes(checked_labels, "AUC needs")
    return float(roc_auc_score(checked_labels, checked_scores))


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the average precision for fakes (`sklearn.metrics.average_precision_score`).

    Arguments and errors as in `area_under_roc`. Unlike AUC, the result depends on the share of
    fakes: a random ranking gets about that share.
    """
    checked_scores = check_scores(scores)
    checked_labels = check_labels(labels, len(checked_scores))
    require_both_classes(checked_labels, "average precision needs")
    return float(average_precision_score(checked_labels, checked_scores))


def equal_error_rate(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the error rate at which the false positive rate equals the miss rate.

    The ROC points are joined by straight lines, and the EER is the false positive rate where
    that curve meets FPR = 1 - TPR. FPR + TPR - 1 rises strictly from point to point, from -1
    to 1, so it has exactly one zero, which linear interpolation finds.

    Arguments and errors as in `area_under_roc`; the result lies in [0, 1], 0 is perfect.
    """
    checked_scores = check_scores(scores)
    checked_labels = check_labels(labels, len(checked_scores))
    require_both_classes(checked_labels, "EER needs")
    false_positive_rates, true_positive_rates, _ = roc_curve(checked_labels, checked_scores)
    excess = false_positive_rates + true_positive_rates - 1
    return float(np.interp(0.0, excess, false_positive_rates))
