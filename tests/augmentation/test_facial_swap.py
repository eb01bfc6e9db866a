"""Facial swap, on a made forgery of a portrait; its truth boxes are in test_swap_boxes.py."""

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from caddm_hf.augmentation.facial_swap import FacialSwapConfig, make_training_sample
from support.made_faces import (
    CLEAN,
    POINTS_XY,
    STILL,
    aligned,
    forge,
    portrait,
    share_inside,
    sixty_eight_points,
)

PARTIAL = {"global_probability": 0.0}


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return portrait()


@pytest.fixture(scope="module")
def fake(source) -> np.ndarray:
    return forge(source)


def test_a_sample_repeats_itself_for_a_seed_and_leaves_its_inputs_alone(fake, source):
    inputs = fake.copy(), source.copy(), POINTS_XY.copy()
    for seed in range(12):
        one, two = (
            make_training_sample(fake, POINTS_XY, 1, np.random.default_rng(seed), source_rgb=source)
            for _ in range(2)
        )
        np.testing.assert_array_equal(one.image_rgb, two.image_rgb)
        np.testing.assert_array_equal(one.boxes_xyxy, two.boxes_xyxy)
        np.testing.assert_array_equal(one.changed_mask, two.changed_mask)
        assert one.kind == two.kind
    other = make_training_sample(fake, POINTS_XY, 1, np.random.default_rng(99), source_rgb=source)
    assert np.abs(one.image_rgb.astype(int) - other.image_rgb).mean() > 5
    np.testing.assert_array_equal(fake, inputs[0])
    np.testing.assert_array_equal(source, inputs[1])
    np.testing.assert_array_equal(POINTS_XY, inputs[2])


def test_kinds_come_in_the_stated_shares_and_boxes_are_well_formed(fake, source):
    config = replace(CLEAN, image_size=112)
    rng = np.random.default_rng(0)
    samples = [make_training_sample(fake, POINTS_XY, 1, rng, config, source) for _ in range(800)]
    shares = {kind: n / 800 for kind, n in Counter(sample.kind for sample in samples).items()}
    expected = {
        "global-fake-background": 0.4,
        "global-source-background": 0.2,
        "fake": 0.2,
        "partial": 0.2,
    }
    for kind, share in expected.items():
        assert shares[kind] == pytest.approx(share, abs=0.05)
    for sample in samples:
        assert sample.label == 1
        assert sample.image_rgb.shape == (112, 112, 3)
        assert sample.image_rgb.dtype == np.uint8
        assert sample.changed_mask.shape == (112, 112)
        assert sample.changed_mask.dtype == bool
        assert sample.boxes_xyxy.shape == (2, 4)
        assert sample.boxes_xyxy.dtype == np.float32
        assert sample.boxes_xyxy[0].tolist() == [0, 0, 1, 1]
        x0, y0, x1, y1 = sample.boxes_xyxy[1]
        assert 0 <= x0 <= x1 <= 1
        assert 0 <= y0 <= y1 <= 1
        assert (x1 > x0 and y1 > y0) == (sample.kind == "partial")


def test_a_genuine_sample_has_no_boxes_and_no_change(source):
    for seed in range(20):
        sample = make_training_sample(source, POINTS_XY, 0, np.random.default_rng(seed))
        assert (sample.label, sample.kind) == (0, "genuine")
        assert not sample.boxes_xyxy.any()
        assert not sample.changed_mask.any()


def test_both_classes_pass_through_the_same_steps(source):
    # The same frame, once called genuine and once fake, must give the same picture.
    for seed in range(20):
        genuine = make_training_sample(source, POINTS_XY, 0, np.random.default_rng(seed))
        fake = make_training_sample(source, POINTS_XY, 1, np.random.default_rng(seed))
        np.testing.assert_array_equal(genuine.image_rgb, fake.image_rgb)


def test_without_chance_the_crop_is_the_aligned_crop(source):
    sample = make_training_sample(source, POINTS_XY, 0, np.random.default_rng(0), STILL)
    np.testing.assert_array_equal(sample.image_rgb, aligned(source))


@pytest.mark.parametrize("usable", [{"source": False}, {"swappable": False}])
def test_a_fake_without_a_usable_pair_is_used_untouched(fake, source, usable):
    twin = source if usable.get("source", True) else None
    for seed in range(5):
        sample = make_training_sample(
            fake,
            POINTS_XY,
            1,
            np.random.default_rng(seed),
            STILL,
            source_rgb=twin,
            swappable=usable.get("swappable", True),
        )
        assert sample.kind == "fake"
        assert sample.boxes_xyxy.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]
        assert sample.changed_mask is None
        np.testing.assert_array_equal(sample.image_rgb, aligned(fake))


@pytest.mark.parametrize("global_probability", [0.0, 1.0])
def test_a_swap_that_changes_nothing_falls_back_to_the_untouched_fake(source, global_probability):
    config = replace(
        STILL,
        global_probability=global_probability,
        fake_background_probability=0.5,
        source_background_probability=0.5,
    )
    for seed in range(10):
        sample = make_training_sample(
            source, POINTS_XY, 1, np.random.default_rng(seed), config, source_rgb=source.copy()
        )
        assert sample.kind == "fake-fallback"
        assert sample.boxes_xyxy.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]
        assert np.abs(sample.image_rgb.astype(int) - aligned(source)).max() <= 1


def test_the_genuine_face_over_a_fake_that_ends_at_its_mask_is_no_fake(source):
    # What is left of such a fake is the genuine picture: it must not be trained as forged.
    inner = forge(source, grown=0.8)
    config = replace(STILL, global_probability=1.0, deform_probability=0.0)
    forward = replace(config, fake_background_probability=1.0, source_background_probability=0.0)
    backward = replace(config, fake_background_probability=0.0, source_background_probability=1.0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        sample = make_training_sample(inner, POINTS_XY, 1, rng, forward, source)
        assert sample.kind == "fake-fallback"
        assert sample.changed_mask.mean() > 0.03  # the untouched fake's own change
        sample = make_training_sample(inner, POINTS_XY, 1, rng, backward, source)
        assert sample.kind == "global-source-background"


def test_a_source_of_another_size_falls_back(fake, source):
    rng = np.random.default_rng(0)
    sample = make_training_sample(fake, POINTS_XY, 1, rng, STILL, source[:-2])
    assert sample.kind == "fake-fallback"
    assert np.abs(sample.image_rgb.astype(int) - aligned(fake)).max() <= 1


def test_global_swaps_change_the_side_they_say(fake, source):
    corner, middle = np.s_[:20, :], np.s_[100:150, 90:130]
    fake_crop, source_crop = aligned(fake), aligned(source)
    for first, second in ((1.0, 0.0), (0.0, 1.0)):
        config = replace(
            STILL,
            global_probability=1.0,
            poisson_probability=0.0,
            deform_probability=0.0,
            fake_background_probability=first,
            source_background_probability=second,
        )
        rng = np.random.default_rng(0)
        crop = make_training_sample(fake, POINTS_XY, 1, rng, config, source).image_rgb.astype(int)
        background, foreground = (fake_crop, source_crop) if first else (source_crop, fake_crop)
        assert np.abs(crop - background)[corner].max() <= 1
        assert np.abs(crop - foreground)[middle].max() <= 1
        assert np.abs(fake_crop.astype(int) - source_crop)[middle].mean() > 5


def test_a_flip_turns_picture_boxes_and_mask(fake, source):
    # The flip is drawn last, so everything else is equal.
    seen = 0
    for seed in range(60):
        straight, turned = (
            make_training_sample(
                fake,
                POINTS_XY,
                1,
                np.random.default_rng(seed),
                FacialSwapConfig(flip_probability=probability),
                source,
            )
            for probability in (0.0, 1.0)
        )
        np.testing.assert_array_equal(turned.image_rgb, straight.image_rgb[:, ::-1])
        np.testing.assert_array_equal(turned.changed_mask, straight.changed_mask[:, ::-1])
        assert turned.boxes_xyxy[0].tolist() == [0, 0, 1, 1]
        if straight.kind == "partial":
            x0, y0, x1, y1 = straight.boxes_xyxy[1]
            np.testing.assert_allclose(turned.boxes_xyxy[1], [1 - x1, y0, 1 - x0, y1], atol=1e-6)
            seen += 1
        else:
            assert not turned.boxes_xyxy[1].any()
    assert seen > 5


def test_half_the_samples_are_flipped(source):
    config = replace(STILL, flip_probability=0.5)
    rng = np.random.default_rng(0)
    straight = aligned(source)
    flips = [
        not np.array_equal(
            make_training_sample(source, POINTS_XY, 0, rng, config).image_rgb, straight
        )
        for _ in range(200)
    ]
    assert 70 < sum(flips) < 130


def test_halving_takes_detail_from_both_classes(fake, source):
    def sharpness(frame: np.ndarray, label: int, probability: float) -> float:
        config = replace(STILL, halve_probability=probability)
        sample = make_training_sample(frame, POINTS_XY, label, np.random.default_rng(0), config)
        return cv2.Laplacian(sample.image_rgb, cv2.CV_32F).var()

    for frame, label in ((source, 0), (fake, 1)):
        assert sharpness(frame, label, 1.0) < 0.5 * sharpness(frame, label, 0.0)


def test_halving_keeps_the_face_in_its_place(source):
    halved = make_training_sample(
        source, POINTS_XY, 0, np.random.default_rng(0), replace(STILL, halve_probability=1.0)
    ).image_rgb
    coarse = cv2.GaussianBlur(halved, (0, 0), 4).astype(float)

    def gap(shift_x: float, shift_y: float) -> float:
        move = np.array([[1, 0, shift_x], [0, 1, shift_y]], float)
        moved = cv2.warpAffine(cv2.GaussianBlur(aligned(source), (0, 0), 4), move, (224, 224))
        return float(np.abs(moved - coarse)[20:-20, 20:-20].mean())

    for shift in (-0.5, 0.5):  # a forgotten half pixel is the usual fault
        assert gap(0, 0) < gap(shift, 0)
        assert gap(0, 0) < gap(0, shift)


@pytest.mark.parametrize("image_size", [64, 97, 224, 256])
def test_other_crop_sizes(fake, source, image_size):
    config = replace(CLEAN, image_size=image_size, **PARTIAL)
    rng = np.random.default_rng(1)
    kinds = Counter()
    for _ in range(15):
        sample = make_training_sample(fake, POINTS_XY, 1, rng, config, source)
        kinds[sample.kind] += 1
        assert sample.image_rgb.shape == (image_size, image_size, 3)
        if sample.kind == "partial":
            assert share_inside(sample.changed_mask, sample.boxes_xyxy[1]) >= 0.95
    assert kinds["partial"] > 10


def test_odd_frames_and_faces_half_out_of_the_frame(fake, source):
    rng = np.random.default_rng(0)
    cut = np.s_[61:, 190:]  # the face's left half is gone
    for _ in range(30):
        sample = make_training_sample(
            fake[cut], POINTS_XY - (190, 61), 1, rng, source_rgb=source[cut]
        )
        assert sample.image_rgb.shape == (224, 224, 3)


@pytest.mark.parametrize("count", [68, 81])
def test_more_landmarks_are_taken_too(count):
    points_xy = sixty_eight_points()
    if count == 81:
        points_xy = np.concatenate([points_xy, [(x, 20.0) for x in np.linspace(60, 140, 13)]])
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (200, 220, 3), dtype=np.uint8)
    source = cv2.GaussianBlur(source, (0, 0), 2)
    fake = source.copy()
    fake[10:180, 30:170] = 255 - source[10:180, 30:170]
    kinds = Counter(
        make_training_sample(fake, points_xy, 1, rng, CLEAN, source).kind for _ in range(40)
    )
    assert {"partial", "global-fake-background", "global-source-background"} <= set(kinds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, "label"),
        ({"image_rgb": np.zeros((50, 50, 3))}, "uint8"),
        ({"source_rgb": np.zeros((400, 512, 3))}, "uint8"),
        ({"points_xy": np.zeros((6, 2))}, "landmarks"),
        ({"points_xy": np.full((5, 2), np.nan)}, "finite"),
        ({"points_xy": np.ones((5, 2))}, "coincide"),
    ],
)
def test_malformed_input_is_refused(fake, source, change, message):
    arguments = {"image_rgb": fake, "points_xy": POINTS_XY, "label": 1, "source_rgb": source}
    with pytest.raises(ValueError, match=message):
        make_training_sample(rng=np.random.default_rng(0), **(arguments | change))


@pytest.mark.parametrize(
    "change",
    [
        {"global_probability": 1.5},
        {"fake_background_probability": 0.8, "source_background_probability": 0.3},
        {"image_size": 8},
        {"windows_wh": ()},
        {"windows_wh": ((0, 40),)},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=r"must|sizes"):
        FacialSwapConfig(**change)
