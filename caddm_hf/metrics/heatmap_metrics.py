"""How well heatmaps point at a known area.

Heatmaps and masks are (B, H, W) arrays, or (H, W) for one, in the same pixel coordinates. A
heatmap is finite; higher means more suspect. A mask is boolean (or 0 and 1) and not empty. The
functions return one number per heatmap; `score_heatmaps` averages them over a set.

A mask that covers most of the picture makes every score high. Always report a set's `mask_share`,
the score of an uninformative heatmap, with its scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class HeatmapScores:
    """Mean scores of a set of heatmaps.

    Attributes:
        count: number of heatmaps.
        mask_share: mean share of the picture that the mask covers; the pointing accuracy and
            energy share of an even heatmap.
        pointing_accuracy: mean of `pointing_game`.
        energy_share: mean of `energy_inside`.
        common_iou: the highest mean IoU that one threshold reaches over the whole set
            (the threshold choice of Choe et al. 2020, arXiv 2001.07437, applied to masks).
        common_threshold: that threshold; the lowest, if several reach it.
        oracle_iou: mean of `best_threshold_iou`. Optimistic: the threshold of each heatmap is
            chosen by its own mask.
    """

    count: int
    mask_share: float
    pointing_accuracy: float
    energy_share: float
    common_iou: float
    common_threshold: float
    oracle_iou: float


def pointing_game(heatmaps: ArrayLike, masks: ArrayLike) -> np.ndarray:
    """Return whether each heatmap's peak lies in its mask.

    The pointing game of Zhang et al. 2016 (arXiv 1608.00507) without their 15 px tolerance. A
    heatmap with several equal peaks scores the share of them inside the mask, so a constant
    heatmap gets the mask's share of the picture.

    Returns:
        (B,) float64 in [0, 1].
    """
    checked, inside = _check_pairs(heatmaps, masks)
    peaks = checked == checked.max(axis=(1, 2), keepdims=True)
    return (peaks & inside).sum(axis=(1, 2)) / peaks.sum(axis=(1, 2))


def energy_inside(heatmaps: ArrayLike, masks: ArrayLike) -> np.ndarray:
    """Return the share of each heatmap's sum that lies in its mask.

    The energy-based pointing game of Wang et al. 2020 (Score-CAM, arXiv 1910.01279). Heatmaps
    must not be negative. A heatmap of zeros gets 0.

    Returns:
        (B,) float64 in [0, 1].
    """
    checked, inside = _check_pairs(heatmaps, masks)
    if checked.min() < 0:
        raise ValueError(
            f"a heatmap has the negative value {checked.min():g}; its energy needs values >= 0"
        )
    total = checked.sum(axis=(1, 2))
    within = np.where(inside, checked, 0.0).sum(axis=(1, 2))
    return within / np.where(total > 0, total, 1.0)


def best_threshold_iou(
    heatmaps: ArrayLike, masks: ArrayLike, thresholds: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each mask's highest overlap with the area where its heatmap exceeds a threshold.

    The area is `heatmap > threshold`, and IoU is intersection over union in pixels.

    Args:
        heatmaps: (B, H, W) or (H, W).
        masks: the same shape.
        thresholds: (T,) finite values on the heatmaps' scale, in any order.

    Returns:
        ious: (B,) float64 in [0, 1].
        thresholds: (B,) the threshold of that IoU; the lowest, if several reach it.
    """
    levels = _check_thresholds(thresholds)
    ious = _threshold_ious(*_check_pairs(heatmaps, masks), levels)
    best = ious.argmax(axis=0)
    return ious.max(axis=0), levels[best]


def score_heatmaps(
    heatmaps: ArrayLike, masks: ArrayLike, thresholds: Sequence[float] | np.ndarray
) -> HeatmapScores:
    """Score a set of heatmaps. Arguments as in `best_threshold_iou`; see `HeatmapScores`."""
    levels = _check_thresholds(thresholds)
    checked, inside = _check_pairs(heatmaps, masks)
    ious = _threshold_ious(checked, inside, levels)
    mean_ious = ious.mean(axis=1)
    best = int(mean_ious.argmax())
    return HeatmapScores(
        count=len(checked),
        mask_share=float(inside.mean()),
        pointing_accuracy=float(pointing_game(checked, inside).mean()),
        energy_share=float(energy_inside(checked, inside).mean()),
        common_iou=float(mean_ious[best]),
        common_threshold=float(levels[best]),
        oracle_iou=float(ious.max(axis=0).mean()),
    )


def _threshold_ious(heatmaps: np.ndarray, masks: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the IoU of each heatmap at each threshold, (T, B). No mask, so no union, is empty."""
    ious = np.empty((len(thresholds), len(heatmaps)))
    for row, threshold in enumerate(thresholds):
        above = heatmaps > threshold
        union = (above | masks).sum(axis=(1, 2))
        ious[row] = (above & masks).sum(axis=(1, 2)) / union
    return ious


def _check_thresholds(thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    checked = np.asarray(thresholds, dtype=np.float64)
    if checked.ndim != 1 or checked.size == 0 or not np.isfinite(checked).all():
        raise ValueError("thresholds must be a non-empty list of finite numbers")
    return np.sort(checked)


def _check_pairs(heatmaps: ArrayLike, masks: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return (B, H, W) float64 heatmaps and bool masks, or raise ValueError."""
    checked = np.asarray(heatmaps, dtype=np.float64)
    given = np.asarray(masks)
    if checked.shape != given.shape:
        raise ValueError(
            f"heatmaps and masks must have one shape, got {checked.shape} and {given.shape}"
        )
    if checked.ndim not in (2, 3) or checked.size == 0:
        raise ValueError(f"heatmaps must be (B, H, W) or (H, W), got shape {checked.shape}")
    if checked.ndim == 2:
        checked, given = checked[None], given[None]
    if not np.isfinite(checked).all():
        raise ValueError("a heatmap has a value that is not finite")
    inside = given.astype(bool)
    if not np.array_equal(inside, given):
        raise ValueError("masks must be boolean, or 0 and 1")
    empty = np.flatnonzero(~inside.any(axis=(1, 2)))
    if empty.size:
        raise ValueError(f"mask {empty[0]} is empty; a heatmap is scored against a known area")
    return checked, inside
