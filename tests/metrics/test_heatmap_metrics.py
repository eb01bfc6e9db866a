"""Heatmap scores: hand-made pictures, a plain-loop reference, and what cannot be scored."""

import numpy as np
import pytest

from caddm_hf.metrics.heatmap_metrics import (
    best_threshold_iou,
    energy_inside,
    pointing_game,
    score_heatmaps,
)

LEVELS = np.linspace(0, 1, 21)


def square_mask(top=2, left=2, side=4, size=10):
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_pointing_game_by_hand():
    mask = square_mask()
    inside, outside, half, flat = np.zeros((4, 10, 10))
    inside[3, 4] = 0.2
    outside[8, 8] = 0.9
    outside[3, 3] = 0.8
    half[3, 3] = half[9, 9] = 0.5
    heatmaps = np.stack([inside, outside, half, flat])
    assert pointing_game(heatmaps, np.stack([mask] * 4)).tolist() == [1, 0, 0.5, 0.16]


def test_energy_by_hand():
    mask = square_mask()
    inside = mask * 0.3
    mixed = np.zeros((10, 10))
    mixed[3, 3], mixed[0, 0] = 0.25, 0.75
    heatmaps = np.stack([inside, mixed, np.zeros((10, 10)), np.full((10, 10), 0.7)])
    expected = [1, 0.25, 0, 0.16]
    assert energy_inside(heatmaps, np.stack([mask] * 4)) == pytest.approx(expected)


def test_energy_ignores_scale():
    rng = np.random.default_rng(0)
    heatmap, mask = rng.uniform(size=(10, 10)), square_mask()
    expected = energy_inside(heatmap, mask)
    for scale in (1e-9, 1e9):
        assert energy_inside(heatmap * scale, mask) == pytest.approx(expected)


def test_iou_by_hand():
    mask = square_mask()
    heatmap = np.where(square_mask(side=5), 0.4, 0.0) + 0.3 * mask
    ious, thresholds = best_threshold_iou(heatmap, mask, [0.6, 0.0, 0.9, 0.4])
    assert ious.tolist() == [1.0]
    assert thresholds.tolist() == [0.4]  # a pixel at the threshold is out; of 0.4 and 0.6, the low
    ious, thresholds = best_threshold_iou(heatmap, mask, [0.1])
    assert ious.tolist() == [16 / 25]
    nothing, _ = best_threshold_iou(np.zeros((10, 10)), mask, LEVELS)
    assert nothing.tolist() == [0.0]


def reference_iou(heatmap, mask, threshold):
    pixels = [(h > threshold, m) for h, m in zip(heatmap.flat, mask.flat, strict=True)]
    return sum(h and m for h, m in pixels) / sum(h or m for h, m in pixels)


@pytest.mark.parametrize("seed", range(3))
def test_pooled_scores_agree_with_plain_loops(seed):
    rng = np.random.default_rng(seed)
    heatmaps = np.round(rng.uniform(size=(5, 6, 7)), 1).astype(np.float32)
    masks = rng.uniform(size=(5, 6, 7)) < rng.uniform(0.2, 0.8, (5, 1, 1))
    masks[:, 0, 0] = True
    pairs = list(zip(heatmaps.astype(float), masks, strict=True))
    table = np.array([[reference_iou(*pair, level) for pair in pairs] for level in LEVELS])
    scores = score_heatmaps(heatmaps, masks, LEVELS)
    assert scores.count == 5
    assert scores.mask_share == pytest.approx(masks.mean())
    assert scores.common_iou == pytest.approx(table.mean(axis=1).max())
    assert scores.common_threshold == LEVELS[table.mean(axis=1).argmax()]
    assert scores.oracle_iou == pytest.approx(table.max(axis=0).mean())
    assert scores.energy_share == pytest.approx(np.mean([h[m].sum() / h.sum() for h, m in pairs]))
    assert scores.pointing_accuracy == pytest.approx(
        np.mean([m[h == h.max()].mean() for h, m in pairs])
    )


def test_the_common_threshold_serves_the_set_and_not_the_best_of_it():
    mask = square_mask()
    dim, bright = np.where(mask, 0.2, 0.0), np.where(square_mask(side=5), 1.0, 0.5)
    scores = score_heatmaps(np.stack([dim] + [bright] * 3), np.stack([mask] * 4), LEVELS)
    # Below .2: IoU 1 for the dim and .16 for the bright ones; from .5 up: 0 and 16/25.
    assert scores.common_threshold == 0.5
    assert scores.common_iou == pytest.approx(3 * 0.64 / 4)


def test_one_common_threshold_scores_below_one_for_each():
    mask = square_mask()
    dim, bright = np.where(mask, 0.2, 0.0), np.where(mask, 1.0, 0.5)
    scores = score_heatmaps(np.stack([dim, bright]), np.stack([mask, mask]), LEVELS)
    assert scores.oracle_iou == 1.0
    assert scores.common_iou == pytest.approx((1 + 0.16) / 2)
    assert scores.common_threshold == 0.0


def test_a_heatmap_without_knowledge_gets_the_mask_share():
    masks = np.stack([square_mask(), square_mask(side=8)])
    scores = score_heatmaps(np.full((2, 10, 10), 0.5), masks, LEVELS)
    assert scores.pointing_accuracy == pytest.approx(scores.mask_share)
    assert scores.energy_share == pytest.approx(scores.mask_share)
    assert scores.common_iou == pytest.approx(scores.mask_share)


def test_scores_do_not_depend_on_the_order_of_the_set():
    rng = np.random.default_rng(1)
    heatmaps, masks = (
        rng.uniform(size=(6, 10, 10)),
        np.stack([square_mask(side=s) for s in [2] * 6]),
    )
    order = rng.permutation(6)
    for function in (pointing_game, energy_inside):
        assert np.array_equal(
            function(heatmaps, masks)[order], function(heatmaps[order], masks[order])
        )


def test_masks_of_0_and_1_are_taken_and_one_pair_may_stand_alone():
    heatmap, mask = np.eye(10), square_mask()
    for given in (mask, mask.astype(np.uint8), mask.astype(np.float32)):
        assert pointing_game(heatmap, given).tolist() == [0.4]


@pytest.mark.parametrize(
    ("heatmap", "mask", "message"),
    [
        (np.ones((4, 4)), np.ones((4, 5)), r"one shape, got \(4, 4\) and \(4, 5\)"),
        (np.ones((2, 4, 4)), np.ones((4, 4)), "one shape"),
        (np.ones(4), np.ones(4), r"must be \(B, H, W\)"),
        (np.ones((0, 4, 4)), np.ones((0, 4, 4)), r"must be \(B, H, W\)"),
        (np.full((4, 4), np.nan), np.ones((4, 4)), "not finite"),
        (np.ones((4, 4)), np.full((4, 4), 255), "boolean, or 0 and 1"),
        (np.ones((4, 4)), np.full((4, 4), np.nan), "boolean, or 0 and 1"),
        (np.ones((2, 4, 4)), np.stack([np.ones((4, 4)), np.zeros((4, 4))]), "mask 1 is empty"),
    ],
)
def test_unusable_pairs_are_named(heatmap, mask, message):
    for score in (pointing_game, energy_inside):
        with pytest.raises(ValueError, match=message):
            score(heatmap, mask)
    with pytest.raises(ValueError, match=message):
        best_threshold_iou(heatmap, mask, LEVELS)


def test_negative_energy_and_missing_thresholds_are_errors():
    with pytest.raises(ValueError, match="negative value -1"):
        energy_inside(-np.ones((4, 4)), np.ones((4, 4)))
    for thresholds in ([], [np.nan], [[0.5]]):
        with pytest.raises(ValueError, match="non-empty list of finite numbers"):
            best_threshold_iou(np.ones((4, 4)), np.ones((4, 4)), thresholds)
