"""Where and how much two crops differ."""

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from caddm_hf.augmentation.changes import (
    changed_box,
    most_changed_window,
    structural_dissimilarity,
    visible_change,
)
from support.made_faces import aligned, forge, portrait


def test_changed_box_is_tight_and_ignores_a_stray_pixel():
    background = np.full((100, 200, 3), 90, np.uint8)
    image = background.copy()
    image[20:60, 30:110, 1] += 9
    assert changed_box(image, background) == (30 / 200, 0.2, 110 / 200, 0.6)
    image[95, 190] = 0
    assert changed_box(image, background) == (30 / 200, 0.2, 110 / 200, 0.6)
    assert changed_box(background, background) is None


def test_visible_change_sees_a_shift_but_not_noise():
    rng = np.random.default_rng(0)
    image = np.full((224, 224, 3), 120, np.uint8)
    noisy = cv2.add(image, rng.normal(0, 6, image.shape), dtype=cv2.CV_8U)
    assert visible_change(noisy, image).mean() < 0.001
    noisy[50:100, 120:200, 2] -= 15
    changed = visible_change(noisy, image)
    assert changed[55:95, 125:195].mean() > 0.99
    assert changed[:40].mean() < 0.001


def test_the_most_changed_window_is_the_best_of_all():
    weights = np.random.default_rng(0).random((30, 41), dtype=np.float32) ** 8
    width, height = 7, 12
    sums = {
        (x, y): weights[y : y + height, x : x + width].sum()
        for x in range(41 - width + 1)
        for y in range(30 - height + 1)
    }
    assert most_changed_window(weights, (width, height)) == max(sums, key=sums.get)
    assert most_changed_window(weights, (41, 30)) == (0, 0)


def test_structural_dissimilarity_agrees_with_scikit_image():
    source = portrait()
    fake = forge(source)
    ours = structural_dissimilarity(aligned(fake), aligned(source))
    grey = [
        cv2.cvtColor(cv2.resize(crop, (112, 112), None, 0, 0, cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for crop in (aligned(fake), aligned(source))
    ]
    _, ssim = structural_similarity(
        *grey, data_range=255, win_size=7, use_sample_covariance=False, full=True
    )
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(ours[inner], (1 - ssim[inner]) / 2, atol=2e-3)
    assert ours.max() > 0.2
