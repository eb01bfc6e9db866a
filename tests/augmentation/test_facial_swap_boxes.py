"""The truth boxes of facial swaps cover what changed, and nothing else says otherwise."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from caddm_hf.augmentation.blending import random_mask
from caddm_hf.augmentation.facial_swap import make_training_sample
from caddm_hf.faces.landmarks import face_outline
from caddm_hf.model.face_alignment import template_points
from support.made_faces import CLEAN, POINTS_XY, STILL, aligned, forge, portrait, share_inside

PARTIAL = {"global_probability": 0.0}


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return portrait()


@pytest.fixture(scope="module")
def fake(source) -> np.ndarray:
    return forge(source)


def test_boxes_cover_what_changed_in_500_samples(fake, source):
    source_crop = aligned(source).astype(int)
    rng = np.random.default_rng(0)
    config = replace(STILL, **PARTIAL)
    kinds, areas = Counter(), []
    for _ in range(500):
        sample = make_training_sample(fake, POINTS_XY, 1, rng, config, source)
        kinds[sample.kind] += 1
        if sample.kind != "partial":
            continue
        # Every pixel that is not the background's, to within the warp's rounding.
        changed = (np.abs(sample.image_rgb - source_crop) > 2).any(axis=2)
        box = sample.boxes_xyxy[1]
        assert share_inside(changed, box) >= 0.95
        assert share_inside(sample.changed_mask, box) >= 0.95
        areas.append((box[2] - box[0]) * (box[3] - box[1]))
    assert kinds["partial"] > 450
    assert np.mean(np.array(areas) < 0.1) > 0.2  # not by being large


def test_boxes_follow_jitter_halving_and_flip(fake, source):
    rng = np.random.default_rng(0)
    partial = 0
    for _ in range(300):
        sample = make_training_sample(fake, POINTS_XY, 1, rng, replace(CLEAN, **PARTIAL), source)
        if sample.kind == "partial":
            partial += 1
            assert share_inside(sample.changed_mask, sample.boxes_xyxy[1]) >= 0.95
    assert partial > 250


@pytest.mark.parametrize("window_wh", [(40, 80), (80, 40), (120, 160)])
@pytest.mark.parametrize("poisson_probability", [0.0, 1.0])
def test_a_partial_swap_stays_in_its_window(fake, source, window_wh, poisson_probability):
    config = replace(
        STILL, windows_wh=(window_wh,), poisson_probability=poisson_probability, **PARTIAL
    )
    source_crop = aligned(source).astype(int)
    for seed in range(10):
        sample = make_training_sample(
            fake, POINTS_XY, 1, np.random.default_rng(seed), config, source
        )
        assert sample.kind == "partial"
        rows, columns = np.nonzero((np.abs(sample.image_rgb - source_crop) > 2).any(axis=2))
        assert np.ptp(columns) + 1 <= window_wh[0]
        assert np.ptp(rows) + 1 <= window_wh[1]
        # The window is filled, so the orientation is not swapped.
        assert np.ptp(columns) + 1 >= 0.6 * window_wh[0]
        assert np.ptp(rows) + 1 >= 0.6 * window_wh[1]


def test_boxes_are_x_first_and_found_where_the_change_is(source):
    # One eye only is forged, far from the diagonal of the crop.
    fake = source.copy()
    x, y = POINTS_XY[0].astype(int)
    fake[y - 9 : y + 9, x - 14 : x + 14] = 255 - fake[y - 9 : y + 9, x - 14 : x + 14]
    config = replace(STILL, windows_wh=((80, 40),), deform_probability=0.0, **PARTIAL)
    eye_x, eye_y = template_points(224)[0] / 224
    for seed in range(10):
        sample = make_training_sample(
            fake, POINTS_XY, 1, np.random.default_rng(seed), config, source
        )
        x0, y0, x1, y1 = sample.boxes_xyxy[1]
        assert x0 < eye_x < x1
        assert y0 < eye_y < y1
        assert abs((x0 + x1) / 2 - eye_x) < 0.06
        assert abs((y0 + y1) / 2 - eye_y) < 0.06


def test_a_mask_is_zero_outside_its_window():
    outline_xy = face_outline(template_points(224))
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = random_mask(outline_xy, 224, rng, 0.5, window_xyxy=(60, 70, 140, 110))
        assert mask.max() > 200
        outside = mask.copy()
        outside[70:110, 60:140] = 0
        assert not outside.any()
