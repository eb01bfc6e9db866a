"""Training degradations and the graded distortions, on made pictures."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data

from caddm_hf.augmentation import degradations
from caddm_hf.augmentation.degradations import TrainingDegradations, compress_h264, degrade
from caddm_hf.augmentation.distortions import DISTORTION_LEVELS, DISTORTIONS, distort
from caddm_hf.core.errors import TrainingError
from caddm_hf.training.checks import check_options
from caddm_hf.training.config import TrainingConfig

PROBABILITIES = [name for name in vars(TrainingDegradations()) if name.endswith("_probability")]
NOTHING = TrainingDegradations(**dict.fromkeys(PROBABILITIES, 0.0))


@pytest.fixture
def face() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[20:244, 110:334])


def distance(image: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(image.astype(float) - other).mean())


def only(name: str, **changes) -> TrainingDegradations:
    return replace(NOTHING, **{f"{name}_probability": 1.0}, **changes)


def test_degrade_repeats_itself_for_a_seed_and_leaves_its_input_alone(face):
    before = face.copy()
    first = degrade(face, np.random.default_rng(5))
    again = degrade(face, np.random.default_rng(5))
    other = degrade(face, np.random.default_rng(6))
    np.testing.assert_array_equal(first, again)
    assert distance(first, other) > 1
    np.testing.assert_array_equal(face, before)


@pytest.mark.parametrize("size_hw", [(224, 224), (97, 131), (5, 7), (1, 1)])
def test_degrade_keeps_shape_and_type(size_hw):
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    always = TrainingDegradations(**dict.fromkeys(PROBABILITIES, 1.0))
    degraded = degrade(image, np.random.default_rng(1), always)
    assert degraded.shape == image.shape
    assert degraded.dtype == np.uint8


def test_nothing_happens_at_strength_zero_or_without_any_step(face):
    rng = np.random.default_rng(0)
    for config in (TrainingDegradations(strength=0), NOTHING):
        unchanged = degrade(face, rng, config)
        np.testing.assert_array_equal(unchanged, face)
        assert not np.shares_memory(unchanged, face)


@pytest.mark.parametrize("name", [name.removesuffix("_probability") for name in PROBABILITIES])
def test_each_step_alone_changes_the_picture_and_never_writes_into_it(face, name):
    # The paper's code throws one of these away; here each has its effect.
    dull = cv2.convertScaleAbs(face, alpha=0.6, beta=30)  # leaves room for the stretch
    before = dull.copy()
    changed = [
        distance(degrade(dull, np.random.default_rng(seed), only(name)), dull) for seed in range(5)
    ]
    assert np.mean(changed) > 0.3
    np.testing.assert_array_equal(dull, before)


def test_more_strength_changes_more(face):
    def mean_distance(strength: float) -> float:
        config = TrainingDegradations(strength=strength)
        results = (degrade(face, np.random.default_rng(seed), config) for seed in range(40))
        return float(np.mean([distance(result, face) for result in results]))

    distances = [mean_distance(strength) for strength in (0.0, 0.25, 0.5, 1.0)]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[3] > 2 * distances[1]


def test_a_face_stays_recognisable(face):
    def outlines(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (28, 28), None, 0, 0, 3)
        return small.astype(float).ravel()

    likeness = [
        np.corrcoef(outlines(degrade(face, np.random.default_rng(seed))), outlines(face))[0, 1]
        for seed in range(60)
    ]
    assert min(likeness) > 0.9


def test_stretch_spreads_the_levels_and_does_not_overflow():
    # On 8-bit input the paper's code overflows here and makes white pictures.
    ramp = np.linspace(100, 150, 224).round().astype(np.uint8)
    image = np.repeat(np.repeat(ramp[None, :, None], 224, axis=0), 3, axis=2)
    stretched = degrade(image, np.random.default_rng(0), only("stretch"))
    row = stretched[0, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 255
    assert (np.diff(row) >= 0).all()
    assert abs(row.mean() - 127.5) < 3


@pytest.mark.parametrize("level", [0, 7, 255])
def test_stretch_keeps_a_picture_of_one_level(level):
    image = np.full((32, 32, 3), level, np.uint8)
    np.testing.assert_array_equal(degrade(image, np.random.default_rng(0), only("stretch")), image)


@pytest.mark.parametrize("level", [0, 255])
def test_noise_saturates_instead_of_wrapping_round(level):
    image = np.full((64, 64, 3), level, np.uint8)
    rng = np.random.default_rng(0)
    for noisy in (
        degradations.add_noise(image, rng, 8.0),
        degradations.add_blotches(image, rng, 8.0),
    ):
        assert np.abs(noisy.astype(int) - level).max() < 60


def test_noise_has_the_given_deviation_and_no_bias():
    image = np.full((224, 224, 3), 128, np.uint8)
    noise = degradations.add_noise(image, np.random.default_rng(0), 10.0).astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.02)
    assert abs(noise.mean()) < 0.1
    neighbours = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.02


def test_blotches_are_smooth():
    image = np.full((224, 224, 3), 128, np.uint8)
    blotches = degradations.add_blotches(image, np.random.default_rng(0), 10.0).astype(float) - 128
    assert 4 < blotches.std() < 12
    assert np.abs(np.diff(blotches, axis=1)).max() <= 8


def test_gamma_leaves_black_and_white_and_moves_the_middle():
    levels = np.array([0, 128, 255], np.uint8)
    image = np.repeat(levels[None, :, None], 3, axis=2)
    darker = degrade(image, np.random.default_rng(0), only("gamma", gamma=(1.4, 1.4)))
    expected = 255 * (128 / 255) ** 1.4
    assert darker[0, :, 0].tolist() == [0, round(expected), 255]


def test_saturation_and_value_are_factors_of_hsv(face):
    grey = degradations.scale_saturation_value(face, 0.0, 1.0)
    assert (grey.max(axis=2) - grey.min(axis=2)).max() == 0
    np.testing.assert_array_equal(grey[..., 0], face.max(axis=2))
    darker = degradations.scale_saturation_value(face, 1.0, 0.5)
    assert np.abs(darker.max(axis=2).astype(int) - face.max(axis=2) / 2).max() <= 1


def test_motion_blur_smears_along_its_direction_only():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::8] = 240  # horizontal lines
    along = degradations.motion_blur(stripes, 9.0, 0.0)
    across = degradations.motion_blur(stripes, 9.0, np.pi / 2)
    assert distance(along, stripes) < 1
    assert distance(across, stripes) > 30
    flat = np.full((32, 32, 3), 77, np.uint8)
    np.testing.assert_array_equal(degradations.motion_blur(flat, 6.3, 0.7), flat)


def test_jpeg_costs_more_at_lower_quality_and_keeps_the_channels(face):
    costs = [distance(degradations.compress_jpeg(face, q), face) for q in (95, 60, 30, 10)]
    assert costs == sorted(costs)
    assert costs[0] > 0
    blue = np.zeros((32, 32, 3), np.uint8)
    blue[..., 2] = 200
    np.testing.assert_allclose(degradations.compress_jpeg(blue, 90), blue, atol=6)


def test_jpeg_quality_stays_in_its_range(face, monkeypatch):
    seen = []

    def record(image_rgb: np.ndarray, quality: int) -> np.ndarray:
        seen.append(quality)
        return image_rgb

    monkeypatch.setattr(degradations, "compress_jpeg", record)
    rng = np.random.default_rng(0)
    for _ in range(400):
        degrade(face[:16, :16], rng)
    assert 90 < len(seen) < 150  # p = .3
    assert 15 <= min(seen) < 20
    assert 75 < max(seen) <= 80


@pytest.mark.parametrize(
    "changes",
    [
        {"jpeg_probability": 1.2},
        {"gamma_probability": -0.1},
        {"strength": 3.0},
        {"jpeg_quality": (0, 80)},
        {"gaussian_noise": (8.0, 1.0)},
        {"rescale": (0.0, 1.0)},
    ],
)
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        TrainingDegradations(**changes)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        "face.png",
    ],
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(ValueError, match="uint8 RGB"):
        degrade(image, np.random.default_rng(0))
    with pytest.raises(ValueError, match="uint8 RGB"):
        distort(image, "blur", 1, np.random.default_rng(0))


def test_there_are_seven_distortions_of_five_levels():
    assert len(DISTORTIONS) == len(set(DISTORTIONS)) == 7
    assert DISTORTION_LEVELS == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_distortion_grows_with_its_level_and_leaves_its_input_alone(face, name):
    before = face.copy()
    distances = []
    for level in DISTORTION_LEVELS:
        distorted = distort(face, name, level, np.random.default_rng(3))
        again = distort(face, name, level, np.random.default_rng(3))
        np.testing.assert_array_equal(distorted, again)
        assert distorted.shape == face.shape
        assert distorted.dtype == np.uint8
        distances.append(distance(distorted, face))
    assert distances[0] > 0
    assert distances == sorted(set(distances))
    np.testing.assert_array_equal(face, before)


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("size_hw", [(97, 131), (9, 3), (1, 1)])
def test_distortions_take_odd_sizes(name, size_hw):
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    for level in DISTORTION_LEVELS:
        distorted = distort(image, name, level, np.random.default_rng(0))
        assert distorted.shape == image.shape
        assert distorted.dtype == np.uint8


@pytest.mark.parametrize("name", [name for name in DISTORTIONS if name != "noise"])
def test_a_grey_picture_stays_grey(face, name):
    grey = np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    distorted = distort(grey, name, 5, np.random.default_rng(0)).astype(int)
    assert np.ptp(distorted, axis=2).max() <= 1


def test_full_desaturation_is_grey_and_contrast_scales_every_level(face):
    grey = distort(face, "saturation", 5, np.random.default_rng(0)).astype(int)
    assert np.ptp(grey, axis=2).max() <= 2
    dim = distort(face, "contrast", 3, np.random.default_rng(0))
    assert np.abs(dim - face * 0.6).max() <= 0.51


def test_blocks_cover_the_same_share_of_any_picture():
    shares = []
    for side in (224, 448):
        image = np.zeros((side, side, 3), np.uint8)
        blocks = distort(image, "blocks", 1, np.random.default_rng(0))
        assert set(np.unique(blocks)) == {0, 128}
        shares.append((blocks > 0).mean())
    assert shares[0] == pytest.approx(16 * 64 / 256**2, rel=0.2)
    assert shares[1] == pytest.approx(shares[0], rel=0.2)


@pytest.mark.parametrize("level", [0, 6, 2.5])
def test_unknown_levels_are_refused(face, level):
    with pytest.raises(ValueError, match="1 to 5"):
        distort(face, "blur", level, np.random.default_rng(0))


def test_unknown_distortions_are_refused(face):
    with pytest.raises(ValueError, match="fog"):
        distort(face, "fog", 1, np.random.default_rng(0))


def test_h264_loses_more_at_a_higher_quantiser():
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (97, 64, 3), np.uint8), (0, 0), 2.0
    )
    errors = []
    for quantiser in (10, 24, 40):
        found = compress_h264(image, quantiser)
        assert found.shape == image.shape
        assert found.dtype == np.uint8
        assert np.array_equal(found, compress_h264(image, quantiser))
        errors.append(np.abs(found[:96].astype(int) - image[:96]).mean())
    assert errors[0] < errors[1] < errors[2]
    assert errors[0] < 5


@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_the_quantiser_goes_by_its_own_range_whatever_the_strength(strength):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    config = replace(NOTHING, strength=strength, h264_probability=1.0, h264_quantiser=(40, 40))
    found = degrade(image, np.random.default_rng(1), config)
    assert np.array_equal(found, compress_h264(image, 40))


def test_h264_is_refused_without_an_encoder(monkeypatch):
    monkeypatch.setattr("av.codecs_available", {"h264"})
    assert TrainingDegradations().h264_probability == 0
    with pytest.raises(ValueError, match=r"no H\.264 encoder"):
        TrainingDegradations(h264_probability=0.5)
    with pytest.raises(TrainingError, match=r"no H\.264 encoder"):
        check_options(TrainingConfig(data="x", output_dir="y", h264_share=0.5))


def test_h264_falls_on_its_share_of_crops():
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    config = replace(NOTHING, h264_probability=0.5)
    changed = [
        not np.array_equal(degrade(image, np.random.default_rng(seed), config), image)
        for seed in range(200)
    ]
    assert 70 < sum(changed) < 130


@pytest.mark.parametrize("name", ["shrink", "retouch"])
def test_a_step_that_is_left_out_draws_nothing(face, name):
    """Runs without the step compute what they did before it existed."""
    plain, other = np.random.default_rng(3), np.random.default_rng(3)
    changed = replace(TrainingDegradations(), shrink_side_px=(30, 40))
    assert getattr(changed, f"{name}_probability") == 0
    np.testing.assert_array_equal(degrade(face, plain), degrade(face, other, changed))
    assert plain.bit_generator.state == other.bit_generator.state


def test_a_shrunk_crop_has_the_detail_of_a_small_face(face):
    rng = np.random.default_rng(0)
    shrunk = degrade(face, rng, only("shrink", shrink_side_px=(44, 44)))
    small = cv2.resize(face, (44, 44), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(small, (224, 224), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(shrunk, expected)


def test_noise_and_compression_fall_on_the_shrunk_crop(face):
    """A grain of noise on a shrunk crop is larger than a pixel of the finished one."""
    grey = np.full((224, 224, 3), 128, np.uint8)

    def roughness(config: TrainingDegradations) -> float:
        noisy = degrade(grey, np.random.default_rng(0), config).astype(float)
        return float(np.abs(np.diff(noisy, axis=1)).mean() / noisy.std())

    fine = only("gaussian_noise", gaussian_noise=(8, 8))
    coarse = replace(fine, shrink_probability=1.0, shrink_side_px=(56, 56))
    assert roughness(coarse) < 0.5 * roughness(fine)


def test_a_crop_is_never_enlarged_by_shrinking(face):
    small = cv2.resize(face, (40, 40), interpolation=cv2.INTER_AREA)
    config = only("shrink", shrink_side_px=(100, 200))
    np.testing.assert_array_equal(degrade(small, np.random.default_rng(0), config), small)


def test_the_sides_of_shrunk_crops_are_checked():
    with pytest.raises(ValueError, match="shrink_side_px must be at least 16"):
        TrainingDegradations(shrink_side_px=(8, 100))
    with pytest.raises(ValueError, match="shrink_side_px must be a range"):
        TrainingDegradations(shrink_side_px=(100, 50))


def test_retouching_smooths_or_sharpens(face):
    noisy = degradations.add_noise(face, np.random.default_rng(0), 4.0)

    def roughness(image: np.ndarray) -> float:
        return float(cv2.Laplacian(image, cv2.CV_32F).std())

    changes = [
        roughness(degradations.retouch(noisy, np.random.default_rng(seed))) / roughness(noisy)
        for seed in range(30)
    ]
    assert min(changes) < 0.6
    assert max(changes) > 1.3
