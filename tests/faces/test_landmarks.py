"""Outlines, masks and blending."""

import cv2
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import linalg
from skimage import data

from caddm_hf.augmentation.blending import (
    alpha_blend,
    deform_mask,
    match_colour,
    poisson_blend,
    soften_mask,
)
from caddm_hf.faces.landmarks import MEAN_OUTLINE_XYZ, face_outline, fill_outline, five_points
from support.made_faces import POINTS_XY, sixty_eight_points

# Outlines and masks


def test_the_outline_of_five_points_reaches_from_brows_to_chin():
    mask = fill_outline(face_outline(POINTS_XY), (400, 512))
    for x, y in [*POINTS_XY, (205, 92), (247, 94), (223, 168)]:
        assert mask[round(y), round(x)] == 255
    for x, y in [(225, 60), (150, 110), (300, 110), (220, 200)]:  # hair, ears, neck
        assert mask[y, x] == 0


def test_the_outline_turns_and_grows_with_the_face():
    turn = 1.7 * np.array([(np.cos(0.6), np.sin(0.6)), (-np.sin(0.6), np.cos(0.6))])
    straight = face_outline(POINTS_XY)
    turned = face_outline(POINTS_XY @ turn + (40, -25))
    expected = straight @ turn + (40, -25)
    gaps = np.linalg.norm(turned[:, None] - expected[None], axis=2)
    assert gaps.min(axis=1).max() < 0.01
    assert gaps.min(axis=0).max() < 0.01


def test_a_turned_head_moves_the_outline_away_from_the_nose():
    frontal = np.array([(-0.5, 0), (0.5, 0), (0, 0.58), (-0.4, 1.08), (0.4, 1.08)]) * 60
    looking_right = frontal.copy()
    looking_right[2, 0] += 12
    assert face_outline(looking_right)[:, 0].mean() < face_outline(frontal)[:, 0].mean() - 3
    np.testing.assert_allclose(
        face_outline(frontal).min(axis=0), MEAN_OUTLINE_XYZ[:, :2].min(axis=0) * 60, atol=0.5
    )


def test_landmarks_are_used_in_full():
    points_xy = sixty_eight_points()
    five_xy = five_points(points_xy)
    np.testing.assert_allclose(five_xy[:2], [(75, 75), (125, 75)], atol=0.01)
    np.testing.assert_allclose(five_xy[2], (101, 104))
    np.testing.assert_allclose(five_xy[3:], [(80, 135), (120, 135)], atol=0.01)
    hull = face_outline(points_xy)
    for jaw_xy in points_xy[1:16]:
        assert np.abs(hull - jaw_xy).sum(axis=1).min() < 1e-3
    with_forehead = np.concatenate([points_xy, [(x, 20.0) for x in np.linspace(60, 140, 13)]])
    assert face_outline(with_forehead)[:, 1].min() == pytest.approx(20)
    assert hull[:, 1].min() == pytest.approx(60)


def test_a_raised_forehead_moves_only_what_is_above_the_eyes():
    low, high = face_outline(POINTS_XY), face_outline(POINTS_XY, forehead=0.5)
    assert high[:, 1].min() < low[:, 1].min() - 15
    assert high[:, 1].max() == pytest.approx(low[:, 1].max())


def test_coinciding_points_have_no_outline():
    with pytest.raises(ValueError, match="coincide"):
        face_outline(np.ones((5, 2)))


def test_a_deformed_mask_keeps_its_place_but_not_its_edge():
    mask = fill_outline(face_outline(POINTS_XY), (400, 512))
    deformed = deform_mask(mask, np.random.default_rng(0), 6.0)
    both, either = np.minimum(mask, deformed) > 127, np.maximum(mask, deformed) > 127
    assert 0.6 < both.sum() / either.sum() < 0.97


@pytest.mark.parametrize("radius", [0, 1, 5, 12])
def test_a_softened_edge_ends_where_it_says(radius):
    mask = np.zeros((80, 80), np.uint8)
    mask[30:50, 30:50] = 255
    soft = soften_mask(mask, radius)
    rows, columns = np.nonzero(soft)
    assert rows.min() >= 30 - radius
    assert columns.max() <= 49 + radius
    assert radius == 0 or len(np.unique(soft)) > 3


# Blending


def blending_case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    background = np.ascontiguousarray(data.astronaut()[60:200, 150:300])
    background = cv2.convertScaleAbs(background, alpha=0.5, beta=60)  # leaves room at both ends
    mask = np.zeros(background.shape[:2], np.uint8)
    cv2.ellipse(mask, (80, 60), (40, 30), 20, 0, 360, 255, -1)
    return background, cv2.add(background, (40, 40, 40, 0)), soften_mask(mask, 4)


def test_poisson_takes_a_difference_in_brightness_away_and_alpha_keeps_it():
    background, brighter, mask = blending_case()
    inside = mask == 255
    by_alpha = alpha_blend(background, brighter, mask).astype(int) - background
    by_poisson = poisson_blend(background, brighter, mask).astype(int) - background
    assert np.abs(by_alpha[inside] - 40).max() <= 1
    # A seam is where brightness jumps along the edge of the mask: only alpha has one.
    seam = np.abs(np.diff(by_alpha, axis=1)).max(), np.abs(np.diff(by_poisson, axis=1)).max()
    assert seam[0] >= 5
    assert seam[1] <= seam[0] / 2
    assert np.abs(by_poisson[inside]).mean() < 20


def test_poisson_keeps_the_texture_of_the_foreground():
    background, foreground, mask = blending_case()
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(0, 30, background.shape[:2]), (0, 0), 1)[..., None]
    textured = np.clip(foreground + texture, 0, 255).astype(np.uint8)
    change = poisson_blend(background, textured, mask).astype(float) - background
    inside = cv2.erode((mask == 255).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    fine = change[..., 0] - cv2.GaussianBlur(change[..., 0], (0, 0), 3)
    expected = texture[..., 0] - cv2.GaussianBlur(texture[..., 0], (0, 0), 3)
    assert np.corrcoef(fine[inside], expected[inside])[0, 1] > 0.95


def test_poisson_solves_its_equation():
    # The same equation set up as a sparse system and solved by elimination.
    rng = np.random.default_rng(0)
    background = rng.integers(90, 160, (14, 19, 3), dtype=np.uint8)
    foreground = rng.integers(90, 160, (14, 19, 3), dtype=np.uint8)
    mask = np.zeros((14, 19), np.uint8)
    mask[3:12, 2:17] = soften_mask(np.pad(np.full((5, 11), 255, np.uint8), 2), 2)
    y0, y1, x0, x1 = 3, 12, 2, 17
    assert mask[y0:y1, x0:x1].any(axis=0).all()
    assert mask[y0:y1, x0:x1].any(axis=1).all()
    count_y, count_x = y1 - y0, x1 - x0

    def second_difference(count: int) -> sparse.spmatrix:
        return sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(count, count))

    laplacian = sparse.kron(second_difference(count_y), sparse.eye(count_x)) + sparse.kron(
        sparse.eye(count_y), second_difference(count_x)
    )
    blended = poisson_blend(background, foreground, mask)
    for channel in range(3):
        weight = np.pad(mask[y0:y1, x0:x1] / 255, 1)
        difference = foreground[..., channel].astype(float) - background[..., channel]
        difference = np.pad(difference[y0:y1, x0:x1], 1)
        flow = np.zeros((count_y, count_x))
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            there = np.s_[1 + dy : 1 + dy + count_y, 1 + dx : 1 + dx + count_x]
            here = np.s_[1:-1, 1:-1]
            flow += (difference[there] - difference[here]) * (weight[there] + weight[here]) / 2
        change = linalg.spsolve(laplacian.tocsc(), flow.ravel()).reshape(count_y, count_x)
        expected = np.clip(background[y0:y1, x0:x1, channel] + change, 0, 255)
        assert np.abs(blended[y0:y1, x0:x1, channel] - expected).max() <= 0.51
    outside = np.ones((14, 19), bool)
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(blended[outside], background[outside])


@pytest.mark.parametrize("method", [alpha_blend, poisson_blend])
def test_blending_nothing_changes_nothing_and_no_input_is_modified(method):
    background, foreground, mask = blending_case()
    before = background.copy(), foreground.copy(), mask.copy()
    unchanged = method(background, foreground, np.zeros_like(mask))
    np.testing.assert_array_equal(unchanged, background)
    assert not np.shares_memory(unchanged, background)
    np.testing.assert_array_equal(method(background, background, mask), background)
    method(background, foreground, mask)
    for array, copy in zip((background, foreground, mask), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("method", [alpha_blend, poisson_blend])
def test_a_mask_may_fill_the_picture(method):
    background, foreground, _ = blending_case()
    blended = method(background, foreground, np.full(background.shape[:2], 255, np.uint8))
    assert blended.shape == background.shape
    assert blended.dtype == np.uint8


def test_matched_colour_takes_mean_and_contrast():
    _, _, mask = blending_case()
    rng = np.random.default_rng(0)
    like = np.clip(rng.normal((150, 110, 90), 12, (*mask.shape, 3)), 0, 255).astype(np.uint8)
    image = np.clip(rng.normal((80, 120, 140), 25, (*mask.shape, 3)), 0, 255).astype(np.uint8)
    matched = match_colour(image, like, mask)
    inside = mask > 0
    assert np.abs(matched[inside].mean(axis=0) - like[inside].mean(axis=0)).max() < 4
    assert np.abs(matched[inside].std(axis=0) - like[inside].std(axis=0)).max() < 5
