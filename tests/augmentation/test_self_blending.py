"""Self- and cross-blended images, on one portrait."""

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from caddm_hf.augmentation import self_blending
from caddm_hf.augmentation.degradations import TrainingDegradations
from caddm_hf.augmentation.self_blending import as_rendered, cross_blend, self_blend
from caddm_hf.model.face_alignment import alignment_matrix, fit_similarity, transform_points
from support.made_faces import CLEAN, POINTS_XY, STILL, aligned, share_inside
from support.made_faces import portrait as make_portrait


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return make_portrait()


@pytest.fixture(scope="module")
def donor(portrait) -> tuple[np.ndarray, np.ndarray]:
    """Somebody else: the portrait mirrored, its colours exchanged, its points mirrored too."""
    mirrored = np.ascontiguousarray(portrait[:, ::-1, ::-1])
    points_xy = (POINTS_XY * (-1, 1) + (portrait.shape[1] - 1, 0))[[1, 0, 2, 4, 3]]
    return mirrored, points_xy


@pytest.mark.parametrize("kind", ["self-blended", "cross-blended"])
def test_blends_are_forged_boxed_and_repeatable(portrait, donor, kind):
    before = portrait.copy(), donor[0].copy()

    def make(seed: int):
        rng = np.random.default_rng(seed)
        if kind == "self-blended":
            return self_blend(portrait, POINTS_XY, rng, CLEAN)
        return cross_blend(portrait, POINTS_XY, *donor, rng, CLEAN)

    samples = [make(seed) for seed in range(150)]
    shares = Counter(sample.kind for sample in samples)
    assert shares[kind] + shares[f"{kind}-partial"] > 140
    assert shares[f"{kind}-partial"] == pytest.approx(30, abs=14)
    for sample in samples:
        if sample.kind == "genuine-fallback":
            continue
        assert sample.label == 1
        assert sample.image_rgb.shape == (224, 224, 3)
        assert sample.boxes_xyxy[0].tolist() == [0, 0, 1, 1]
        assert sample.changed_mask.any()
        if sample.kind.endswith("-partial"):
            x0, y0, x1, y1 = sample.boxes_xyxy[1]
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
            assert share_inside(sample.changed_mask, sample.boxes_xyxy[1]) >= 0.95
        else:
            assert not sample.boxes_xyxy[1].any()
    np.testing.assert_array_equal(make(3).image_rgb, samples[3].image_rgb)
    assert not np.array_equal(samples[3].image_rgb, samples[4].image_rgb)
    np.testing.assert_array_equal(portrait, before[0])
    np.testing.assert_array_equal(donor[0], before[1])


def test_a_self_blend_is_subtle(portrait):
    genuine = aligned(portrait).astype(int)
    rng = np.random.default_rng(0)
    changes = [
        np.abs(self_blend(portrait, POINTS_XY, rng, STILL).image_rgb - genuine).mean()
        for _ in range(60)
    ]
    assert 0.5 < np.median(changes) < 12
    assert max(changes) < 40


def test_a_rendered_copy_is_the_same_face_smoother_and_moved_a_little(portrait):
    crop = aligned(portrait)
    points_xy = transform_points(alignment_matrix(POINTS_XY, len(crop)), POINTS_XY)
    before = crop.copy()
    copies = [as_rendered(crop, points_xy, np.random.default_rng(seed)) for seed in range(60)]
    np.testing.assert_array_equal(crop, before)
    np.testing.assert_array_equal(as_rendered(crop, points_xy, np.random.default_rng(3)), copies[3])

    def detail(image: np.ndarray) -> float:
        return float(cv2.Laplacian(image, cv2.CV_32F).var())

    def shift_px(image: np.ndarray) -> float:
        grey = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (crop, image))
        flow = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 25, 3, 5, 1.1, 0)
        return float(np.percentile(np.hypot(*flow[40:184, 40:184].reshape(-1, 2).T), 95))

    assert np.median([detail(copy) for copy in copies]) < 0.9 * detail(crop)
    shifts = [shift_px(copy) for copy in copies]
    eye_distance = np.hypot(*(points_xy[1] - points_xy[0]))
    assert 1 < np.median(shifts) < 0.1 * eye_distance
    brightness = [copy.mean() / crop.mean() for copy in copies]
    assert 0.7 < min(brightness) < 0.97
    assert 1.03 < max(brightness) < 1.4


def test_copies_are_rendered_as_often_as_is_asked_for(portrait, monkeypatch):
    calls = []
    monkeypatch.setattr(
        self_blending, "as_rendered", lambda image, *_: calls.append(image.shape) or image
    )
    for share, expected in ((0.0, 0), (0.5, 50), (1.0, 100)):
        calls.clear()
        config = replace(STILL, rendered_probability=share)
        for seed in range(100):
            self_blend(portrait, POINTS_XY, np.random.default_rng(seed), config)
        assert len(calls) == pytest.approx(expected, abs=0.3 * expected)


def test_the_background_of_a_blend_is_untouched(portrait, donor):
    config = replace(STILL, global_probability=1.0)
    genuine = aligned(portrait).astype(int)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sample = cross_blend(portrait, POINTS_XY, *donor, rng, config)
        apart = ~cv2.dilate(sample.changed_mask.astype(np.uint8), np.ones((25, 25))).astype(bool)
        assert 0.1 < apart.mean() < 0.9
        assert np.abs(sample.image_rgb - genuine)[apart].max() <= 2


def test_a_cross_blend_wears_the_colour_of_its_place(portrait, donor):
    config = replace(STILL, global_probability=1.0, poisson_probability=0.0, deform_probability=0.0)
    genuine = aligned(portrait)
    cheeks = np.s_[100:170, 70:150]
    for seed in range(5):
        blended = cross_blend(portrait, POINTS_XY, *donor, np.random.default_rng(seed), config)
        shift = blended.image_rgb[cheeks].mean(axis=(0, 1)) - genuine[cheeks].mean(axis=(0, 1))
        assert np.abs(shift).max() < 15
    exchanged = genuine[cheeks].mean(axis=(0, 1)) - genuine[cheeks].mean(axis=(0, 1))[::-1]
    assert np.abs(exchanged).max() > 40  # what it would be without the transfer


def test_nothing_is_taken_from_beyond_the_donors_frame(portrait, donor):
    frame, points_xy = donor
    left, top = points_xy.astype(int).min(axis=0) - (60, 4)
    tight = frame[top : top + 110, left : left + 160]  # ends right above the eyes
    points_xy = points_xy - (left, top)
    config = replace(STILL, global_probability=1.0, poisson_probability=0.0)
    placed_xy = transform_points(alignment_matrix(POINTS_XY), POINTS_XY)
    corners_xy = np.array([(0, 0), (tight.shape[1], 0)])
    edge_y = transform_points(fit_similarity(points_xy, placed_xy), corners_xy)[:, 1].min()
    genuine = aligned(portrait).astype(int)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sample = cross_blend(portrait, POINTS_XY, tight, points_xy, rng, config)
        assert sample.kind == "cross-blended"
        assert edge_y > 60
        assert np.abs(sample.image_rgb - genuine)[: int(edge_y) - 1].max() <= 2


def test_windows_lie_all_over_the_face_and_about_its_middle(portrait):
    config = replace(STILL, global_probability=0.0, windows_wh=((80, 40), (40, 80)))
    rng = np.random.default_rng(0)
    samples = [self_blend(portrait, POINTS_XY, rng, config) for _ in range(120)]
    boxes = np.array([s.boxes_xyxy[1] for s in samples if s.kind == "self-blended-partial"])
    assert len(boxes) > 100
    centres_xy = (boxes[:, :2] + boxes[:, 2:]) / 2
    middle_xy = transform_points(alignment_matrix(POINTS_XY), POINTS_XY).mean(axis=0) / 224
    assert np.abs(centres_xy.mean(axis=0) - middle_xy).max() < 0.07
    assert centres_xy.std(axis=0).min() > 0.05


def test_a_blend_that_changes_nothing_is_called_genuine(portrait, monkeypatch):
    monkeypatch.setattr(self_blending, "COPY_CHANGES", TrainingDegradations(strength=0))
    monkeypatch.setattr(self_blending, "SHARPEN_PROBABILITY", 0.0)
    monkeypatch.setattr(self_blending, "COPY_SHIFT", (0.0, 0.0))
    monkeypatch.setattr(self_blending, "COPY_SCALE", (1.0, 1.0))
    sample = self_blend(portrait, POINTS_XY, np.random.default_rng(0), STILL)
    assert (sample.label, sample.kind) == (0, "genuine-fallback")
    assert not sample.boxes_xyxy.any()
    assert not sample.changed_mask.any()
    assert np.abs(sample.image_rgb.astype(int) - aligned(portrait)).max() <= 1


def test_only_whole_crop_windows_mean_no_partial_blends(portrait):
    config = replace(CLEAN, global_probability=0.0, windows_wh=((224, 224),))
    rng = np.random.default_rng(0)
    kinds = {self_blend(portrait, POINTS_XY, rng, config).kind for _ in range(10)}
    assert "self-blended-partial" not in kinds


def test_malformed_input_is_refused(portrait, donor):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="uint8"):
        self_blend(portrait.astype(float), POINTS_XY, rng)
    with pytest.raises(ValueError, match="landmarks"):
        self_blend(portrait, POINTS_XY[:4], rng)
    with pytest.raises(ValueError, match="uint8"):
        cross_blend(portrait, POINTS_XY, donor[0].astype(float), donor[1], rng)
    with pytest.raises(ValueError, match="finite"):
        cross_blend(portrait, POINTS_XY, donor[0], donor[1] * np.inf, rng)
