import math

import numpy as np
import pytest

from caddm_hf.model.face_alignment import (
    MEAN_FACE_XY,
    AlignmentJitter,
    alignment_matrix,
    fit_similarity,
    invert_matrix,
    jittered_alignment_matrix,
    template_points,
    transform_points,
    warp_face,
)

STILL = AlignmentJitter(0.0, 0.0, 0.0, 0.0, 0.0)


def random_similarity(rng: np.random.Generator) -> np.ndarray:
    angle, scale = rng.uniform(-3, 3), rng.uniform(0.3, 4)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, rng.uniform(-99, 99)], [sin, cos, rng.uniform(-99, 99)]])


def test_an_exact_similarity_is_found_again():
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = random_similarity(rng)
        points = rng.uniform(0, 500, (5, 2))
        found = fit_similarity(points, transform_points(truth, points))
        np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-9)


def test_fit_is_the_least_squares_one():
    """No nearby similarity fits noisy points better."""
    rng = np.random.default_rng(1)
    points, target = rng.uniform(0, 200, (5, 2)), rng.uniform(0, 200, (5, 2))
    best = fit_similarity(points, target)

    def error(matrix: np.ndarray) -> float:
        return float(((transform_points(matrix, points) - target) ** 2).sum())

    for _ in range(200):
        a, b, x, y = rng.normal(0, (0.01, 0.01, 0.5, 0.5))
        other = best + np.array([[a, -b, x], [b, a, y]])
        assert error(other) >= error(best)


def test_batches_equal_single_fits():
    points = np.random.default_rng(2).uniform(0, 300, (7, 5, 2))
    together = alignment_matrix(points)
    for one, matrix in zip(points, together, strict=True):
        np.testing.assert_allclose(alignment_matrix(one), matrix)


@pytest.mark.parametrize("bad", [np.full((5, 2), 3.0), np.full((5, 2), np.nan)])
def test_unusable_points_are_refused(bad):
    with pytest.raises(ValueError, match="facial points"):
        alignment_matrix(bad)
    with pytest.raises(ValueError, match="scale"):
        template_points(224, -1.0)


def test_scale_keeps_the_eye_line_and_crop_size_scales_all():
    assert template_points(224, 0.6)[0, 1] == pytest.approx(template_points(224, 1.1)[0, 1])
    np.testing.assert_allclose(template_points(112, 0.9) * 2, template_points(224, 0.9))


def test_no_jitter_is_the_alignment_itself_and_a_seed_repeats():
    points = template_points(224) * 1.3 + 40
    still = jittered_alignment_matrix(points, np.random.default_rng(0), STILL)
    np.testing.assert_allclose(still, alignment_matrix(points))
    first, second = (jittered_alignment_matrix(points, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_jitter_stays_within_its_ranges():
    points = template_points(224) * 1.3 + 40
    rng = np.random.default_rng(0)
    angles, shifts, scales = [], [], []
    for _ in range(2000):
        linear = jittered_alignment_matrix(points, rng)
        u, stretch, v = np.linalg.svd(linear[:, :2])
        turn = u @ v
        angles.append(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
        scales.append(stretch.mean() * 1.3)
        shifts.append(transform_points(linear, points).mean(axis=0))
    assert np.abs(angles).max() < 31.5  # 30 degrees, and what unequal stretches add
    assert np.abs(angles).max() > 20
    least, most = (
        1.3 * np.linalg.norm(alignment_matrix(points, scale=0.9 + deviation)[:, 0])
        for deviation in (-0.3, 0.3)
    )
    assert least * 0.97 < min(scales) < least * 1.1
    assert most * 0.9 < max(scales) < most * 1.03
    moved = np.array(shifts) - template_points(224).mean(axis=0)
    assert 15 < np.abs(moved[:, 0]).max() < 60


def test_warp_equals_a_plain_warp_and_averages_large_faces():
    rng = np.random.default_rng(3)
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255  # one-pixel stripes: plain bilinear sampling turns them into moire
    points = template_points(224) * 4 + 100
    crop = warp_face(stripes, alignment_matrix(points), 224)
    assert crop.std() < 12
    assert crop.mean() == pytest.approx(127.5, abs=3)

    import cv2

    picture = cv2.GaussianBlur(rng.integers(0, 255, (600, 800, 3), np.uint8), (0, 0), 6)
    matrix = alignment_matrix(template_points(224) * 1.5 + 60)
    plain = cv2.warpAffine(picture, matrix, (224, 224))
    assert np.abs(warp_face(picture, matrix, 224).astype(int) - plain).max() <= 1
    large = alignment_matrix(template_points(224) * 2.4 - 40)
    plain = cv2.warpAffine(picture, large, (224, 224))
    assert np.abs(warp_face(picture, large, 224).astype(int) - plain).mean() < 1.0


def test_face_at_the_rim_and_outside():
    picture = np.full((100, 100, 3), 200, np.uint8)
    half_out = warp_face(picture, alignment_matrix(template_points(224) - 112), 224)
    assert half_out[:80, :80].max() == 0
    assert half_out[130:190, 130:190].min() == 200
    outside = warp_face(picture, alignment_matrix(template_points(224) + 5000), 224)
    assert outside.shape == (224, 224, 3)
    assert outside.max() == 0


def test_inverse_matrix():
    matrix = random_similarity(np.random.default_rng(4))
    points = np.random.default_rng(5).uniform(0, 99, (6, 2))
    there = transform_points(matrix, points)
    np.testing.assert_allclose(transform_points(invert_matrix(matrix), there), points)


def test_eye_height_moves_the_face_and_keeps_its_proportions():
    points = template_points(200, 1.25, eye_height=0.33)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    assert eyes[1] == pytest.approx(66)
    assert mouth[1] < 200  # where the paper's way has it outside
    assert template_points(200, 1.25)[3:, 1].min() > 200
    proportion = (mouth[1] - eyes[1]) / (points[1, 0] - points[0, 0])
    mean_eyes, mean_mouth = MEAN_FACE_XY[:2].mean(axis=0), MEAN_FACE_XY[3:].mean(axis=0)
    expected = (mean_mouth[1] - mean_eyes[1]) / (MEAN_FACE_XY[1, 0] - MEAN_FACE_XY[0, 0])
    assert proportion == pytest.approx(expected)
    # A face already in place is not moved.
    np.testing.assert_allclose(
        alignment_matrix(points, 200, 1.25, 0.33), [[1, 0, 0], [0, 1, 0]], atol=1e-9
    )


@pytest.mark.parametrize("height", [0, 1, -0.2, math.nan])
def test_an_eye_height_outside_the_crop_is_refused(height: float):
    with pytest.raises(ValueError, match="eye height"):
        template_points(200, 1.0, height)


def test_jitter_without_strength_is_the_exact_alignment():
    points = template_points(300, 0.7) * 1.3 + (40, 20)
    jitter = AlignmentJitter().scaled(0.0)
    moved = jittered_alignment_matrix(points, np.random.default_rng(0), jitter, 160, 1.1, 0.3)
    np.testing.assert_allclose(moved, alignment_matrix(points, 160, 1.1, 0.3), atol=1e-9)
