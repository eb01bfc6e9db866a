"""The seven distortions of the robustness test, each in five levels."""

import math

import cv2
import numpy as np

from .degradations import LEVELS, add_noise, apply_table, check_image, compress_jpeg, rescale

# The robustness test. Parameters by level 1..5. JPEG is not among DeeperForensics' distortions
# (its code calls pixelation JPEG), so the JPEG qualities are our own choice.
SATURATIONS = (0.4, 0.3, 0.2, 0.1, 0.0)  # factor on the chroma
CONTRASTS = (0.85, 0.725, 0.6, 0.475, 0.35)  # factor on all levels, as in DeeperForensics
BLOCK_COUNTS = (16, 32, 48, 64, 80)  # grey 8 x 8 px blocks on 256 x 256 px
NOISE_VARIANCES = (0.001, 0.002, 0.005, 0.01, 0.05)  # of levels in [0, 1]
BLUR_SIZES = (7, 9, 13, 17, 21)  # kernel side in px; the deviation is a sixth of it
PIXEL_SIZES = (2, 3, 4, 5, 6)  # the picture is shrunk by this factor
JPEG_QUALITIES = (60, 40, 25, 15, 8)
DISTORTIONS = ("saturation", "contrast", "blocks", "noise", "blur", "pixelation", "jpeg")
DISTORTION_LEVELS = (1, 2, 3, 4, 5)


def distort(image_rgb: np.ndarray, name: str, level: int, rng: np.random.Generator) -> np.ndarray:
    """Apply one distortion of the robustness test.

    Args:
        image_rgb: (H, W, 3) uint8.
        name: one of `DISTORTIONS`.
        level: 1 (mild) to 5 (severe).
        rng: used by "blocks" and "noise".

    Returns:
        (H, W, 3) uint8, a new array.
    """
    check_image(image_rgb)
    if level not in DISTORTION_LEVELS:
        raise ValueError(f"the level of a distortion must be 1 to 5, got {level}")
    index = int(level) - 1
    if name == "saturation":
        return _scale_chroma(image_rgb, SATURATIONS[index])
    if name == "contrast":
        return apply_table(image_rgb, LEVELS * CONTRASTS[index])
    if name == "blocks":
        return _add_grey_blocks(image_rgb, rng, BLOCK_COUNTS[index])
    if name == "noise":
        return add_noise(image_rgb, rng, 255 * math.sqrt(NOISE_VARIANCES[index]))
    if name == "blur":
        size = BLUR_SIZES[index]
        return cv2.GaussianBlur(image_rgb, (size, size), size / 6)
    if name == "pixelation":
        factor = 1 / PIXEL_SIZES[index]
        return rescale(image_rgb, factor, cv2.INTER_LINEAR, cv2.INTER_LINEAR)
    if name == "jpeg":
        return compress_jpeg(image_rgb, JPEG_QUALITIES[index])
    raise ValueError(f"unknown distortion {name!r}: choose one of {', '.join(DISTORTIONS)}")


def _scale_chroma(image_rgb: np.ndarray, factor: float) -> np.ndarray:
    table = np.repeat(LEVELS[:, None], 3, axis=1)
    table[:, 1:] = 128 + (table[:, 1:] - 128) * factor
    ycrcb = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2YCrCb)
    return cv2.cvtColor(apply_table(ycrcb, table), cv2.COLOR_YCrCb2RGB)


def _add_grey_blocks(image: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Add grey 8 x 8 blocks at random places: `count` for each 256 x 256 pixels of area."""
    image = image.copy()
    height, width = image.shape[:2]
    side = 8
    for _ in range(round(count * height * width / 256**2)):
        x = int(rng.integers(0, max(width - side, 0) + 1))
        y = int(rng.integers(0, max(height - side, 0) + 1))
        image[y : y + side, x : x + side] = 128
    return image
