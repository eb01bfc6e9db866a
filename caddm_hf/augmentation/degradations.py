"""Degradations by cameras and networks: random ones for training, graded ones for testing.

`degrade` is the training augmentation after the crop. Each step has its own probability and is
applied to genuine and forged crops alike, so that no step reveals the label. The order is that of
a camera: optics, light, sensor, compression.

`distort` is the robustness test: seven distortions at five levels, after DeeperForensics-1.0
(arXiv 2001.03024), with its levels where it defines them.

All functions take and return (H, W, 3) uint8 and never modify their input.
"""

import math
from dataclasses import dataclass, fields
from fractions import Fraction

import av
import cv2
import numpy as np
from scipy import special

Range = tuple[float, float]

# Blur, noise grain and blocks are given in pixels of a crop of this side.
NOMINAL_SIZE = 224
LEAST_ENCODED_SIDE = 16
INTERPOLATIONS = (
    cv2.INTER_NEAREST,
    cv2.INTER_LINEAR,
    cv2.INTER_CUBIC,
    cv2.INTER_AREA,
    cv2.INTER_LANCZOS4,
)
LEVELS = np.arange(256, dtype=np.float32)
# 65,536 equally likely values of the normal distribution. A draw is a 16-bit integer looked up
# here: several times faster than NumPy's sampler, and as good for 8-bit pictures.
NORMAL_QUANTILES = special.ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)


@dataclass(frozen=True)
class TrainingDegradations:
    """Probabilities and ranges of the training degradations.

    Probabilities and the ranges of JPEG and gamma are those of the CADDM paper's code. The
    other ranges are chosen so that a face stays recognisable and most forgery traces survive.
    Pixel lengths are in pixels of a 224 px crop.

    Attributes:
        strength: scales every range but the quantiser's, in [0, 2]: 0 changes nothing, 1 keeps
            the ranges as given. Probabilities are not affected.
        jpeg_quality: quality of one JPEG round trip.
        stretch_probability: chance of a min-max stretch of the contrast to the full range.
        low_frequency_noise: standard deviation, in grey levels, of smooth blotches.
        saturation, value: factors on S and V of HSV.
        gamma: exponent on the brightness in [0, 1].
        motion_blur_px: length of the motion.
        gaussian_blur_px: standard deviation of the blur.
        gaussian_noise: standard deviation in grey levels.
        tone_shift: largest shift of each colour channel by itself, in grey levels.
        rescale: factor by which the picture is shrunk before it is enlarged again, each with an
            interpolation drawn at random.
        h264_probability: chance of a round trip through H.264, which the paper does not have.
        h264_quantiser: its QP, 0 to 51; the c23 and c40 of FaceForensics++ are about 23 and 40.
        shrink_probability: chance that the crop is first shrunk to the size of a small face. The
            noise and the compression are then applied to the small crop, which is finally
            enlarged as at inference. The paper does not have this.
        shrink_side_px: side of the shrunk crop, drawn evenly on a logarithmic scale.
        retouch_probability: chance of a denoising, smoothing or sharpening filter, as cameras
            and editors apply; the paper does not have this.
    """

    strength: float = 1.0
    jpeg_probability: float = 0.3
    jpeg_quality: Range = (15, 80)
    stretch_probability: float = 0.5
    low_frequency_noise_probability: float = 0.5
    low_frequency_noise: Range = (1.0, 6.0)
    hsv_probability: float = 0.25
    saturation: Range = (0.6, 1.4)
    value: Range = (0.75, 1.25)
    gamma_probability: float = 1.0
    gamma: Range = (0.6, 1.4)
    motion_blur_probability: float = 0.3
    motion_blur_px: Range = (2.0, 7.0)
    gaussian_blur_probability: float = 0.3
    gaussian_blur_px: Range = (0.3, 1.3)
    gaussian_noise_probability: float = 0.3
    gaussian_noise: Range = (1.0, 8.0)
    tone_shift_probability: float = 0.3
    tone_shift: float = 15.0
    rescale_probability: float = 0.25
    rescale: Range = (0.5, 1.0)
    h264_probability: float = 0.0
    h264_quantiser: Range = (22, 41)
    shrink_probability: float = 0.0
    shrink_side_px: Range = (44, 200)
    retouch_probability: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0 <= value <= 1:
                raise ValueError(f"{field.name} must be within [0, 1], got {value}")
            if isinstance(value, tuple) and not 0 <= value[0] <= value[1]:
                raise ValueError(f"{field.name} must be a range low <= high, got {value}")
        if not 0 <= self.strength <= 2:
            raise ValueError(f"strength must be within [0, 2], got {self.strength}")
        if not (self.jpeg_quality[0] >= 1 and self.jpeg_quality[1] <= 100):
            raise ValueError(f"jpeg_quality must be within [1, 100], got {self.jpeg_quality}")
        if self.h264_quantiser[1] > 51:
            raise ValueError(f"h264_quantiser must be within [0, 51], got {self.h264_quantiser}")
        if self.h264_probability > 0 and "libx264" not in av.codecs_available:
            raise ValueError("this build of PyAV has no H.264 encoder: h264_probability must be 0")
        if self.rescale[0] <= 0 or self.gamma[0] <= 0:
            raise ValueError("rescale and gamma must be above 0")
        if self.shrink_side_px[0] < 16:
            raise ValueError(f"shrink_side_px must be at least 16, got {self.shrink_side_px}")


def check_image(image_rgb: np.ndarray) -> None:
    """Raise a ValueError unless the picture is (H, W, 3) uint8 and not empty."""
    if (
        not isinstance(image_rgb, np.ndarray)
        or image_rgb.dtype != np.uint8
        or image_rgb.ndim != 3
        or image_rgb.shape[2] != 3
        or image_rgb.size == 0
    ):
        got = f"{getattr(image_rgb, 'dtype', type(image_rgb))} {getattr(image_rgb, 'shape', '')}"
        raise ValueError(f"a picture must be (H, W, 3) uint8 RGB, got {got}")


def degrade(
    image_rgb: np.ndarray,
    rng: np.random.Generator,
    config: TrainingDegradations = TrainingDegradations(),
) -> np.ndarray:
    """Degrade a training crop at random.

    Args:
        image_rgb: (H, W, 3) uint8.
        rng: draws everything; equal states give equal results.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    check_image(image_rgb)
    strength = config.strength
    if strength == 0:
        return image_rgb.copy()

    def happens(probability: float) -> bool:
        return rng.random() < probability

    def draw(limits: Range, unchanged: float) -> float:
        return unchanged + strength * (rng.uniform(*limits) - unchanged)

    image = image_rgb
    full_side = max(image_rgb.shape[:2])
    if config.shrink_probability and happens(config.shrink_probability):
        low, high = config.shrink_side_px
        side = min(full_side, low * (high / low) ** rng.random())
        image = shrink(image, side / full_side)
    pixel = max(image.shape[:2]) / NOMINAL_SIZE
    if config.retouch_probability and happens(config.retouch_probability):
        image = retouch(image, rng)
    if happens(config.motion_blur_probability):
        angle = rng.uniform(0, math.pi)
        image = motion_blur(image, draw(config.motion_blur_px, 0.0) * pixel, angle)
    if happens(config.gaussian_blur_probability):
        sigma = draw(config.gaussian_blur_px, 0.0) * pixel
        image = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.05))
    if happens(config.rescale_probability):
        down, up = rng.choice(INTERPOLATIONS, size=2)
        image = rescale(image, max(draw(config.rescale, 1.0), 0.1), int(down), int(up))
    if happens(config.hsv_probability):
        saturation, value = draw(config.saturation, 1.0), draw(config.value, 1.0)
        image = scale_saturation_value(image, saturation, value)

    # All mappings from grey level to grey level are combined in one table, applied once.
    table = np.repeat(LEVELS[:, None], 3, axis=1)
    if happens(config.stretch_probability):
        table += strength * (stretched_levels(image)[:, None] - table)
    if happens(config.tone_shift_probability):
        shift = rng.uniform(-config.tone_shift, config.tone_shift, size=3)
        table += strength * shift
    if happens(config.gamma_probability):
        gamma = max(draw(config.gamma, 1.0), 0.1)
        table = 255 * (np.clip(table, 0, 255) / 255) ** gamma
    image = apply_table(image, table)

    if happens(config.low_frequency_noise_probability):
        image = add_blotches(image, rng, draw(config.low_frequency_noise, 0.0))
    if happens(config.gaussian_noise_probability):
        image = add_noise(image, rng, draw(config.gaussian_noise, 0.0))
    if happens(config.jpeg_probability):
        quality = draw(config.jpeg_quality, 100.0)
        image = compress_jpeg(image, int(np.clip(round(quality), 1, 100)))
    if config.h264_probability and happens(config.h264_probability):
        # Independent of the strength: `h264_quantiser` is the range found in real videos.
        image = compress_h264(image, round(rng.uniform(*config.h264_quantiser)))
    if image.shape != image_rgb.shape:
        image = cv2.resize(image, image_rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return image


def shrink(image: np.ndarray, factor: float) -> np.ndarray:
    """Shrink to `factor` of the size, averaging pixels."""
    height, width = image.shape[:2]
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)


def retouch(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply one filter of a camera or editor: smoothing that keeps edges, median or sharpening."""
    kind = rng.random()
    if kind < 0.4:
        levels, reach_px = rng.uniform(10, 60), rng.uniform(1.5, 4)
        return cv2.bilateralFilter(image, 7, levels, reach_px)
    if kind < 0.55:
        return cv2.medianBlur(image, 3)
    amount = rng.uniform(0.3, 1.5)
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.5))
    return cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)


def apply_table(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Map grey levels through a (256,) or (256, 3) table of floats, rounded and clipped."""
    table = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None] if table.ndim == 2 else table)


def stretched_levels(image: np.ndarray) -> np.ndarray:
    """The (256,) float32 table that spreads a picture's grey levels over 0..255.

    One mapping for all three channels, which keeps the hues. A picture of one level keeps it.
    """
    low, high = int(image.min()), int(image.max())
    if high == low:
        return LEVELS
    return np.clip((LEVELS - low) * (255 / (high - low)), 0, 255)


def scale_saturation_value(image_rgb: np.ndarray, saturation: float, value: float) -> np.ndarray:
    """Multiply S and V of HSV by factors, clipped at full saturation and full value."""
    table = np.repeat(LEVELS[:, None], 3, axis=1)
    table[:, 1:] *= (saturation, value)
    hsv = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2HSV_FULL)
    return cv2.cvtColor(apply_table(hsv, table), cv2.COLOR_HSV2RGB_FULL)


def motion_blur(image: np.ndarray, length_px: float, angle: float) -> np.ndarray:
    """Average along a straight line of the given length and angle (radians)."""
    reach = math.ceil(length_px / 2)
    if reach < 1:
        return image.copy()
    # Weight each tap by its distance from the segment: an antialiased line.
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.abs(x * math.cos(angle) + y * math.sin(angle))
    across = np.abs(y * math.cos(angle) - x * math.sin(angle))
    beyond = np.maximum(along - length_px / 2, 0)
    kernel = np.clip(1 - np.hypot(across, beyond), 0, 1).astype(np.float32)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def rescale(image: np.ndarray, factor: float, down: int, up: int) -> np.ndarray:
    """Resize by `factor` and back to the same size, with OpenCV interpolations `down`, `up`."""
    height, width = image.shape[:2]
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(cv2.resize(image, small, interpolation=down), (width, height), None, 0, 0, up)


def add_blotches(image: np.ndarray, rng: np.random.Generator, deviation: float) -> np.ndarray:
    """Add smooth coloured noise of `deviation` grey levels (its knots 15 to 60 px apart)."""
    knots = int(rng.integers(4, 16))
    coarse = rng.standard_normal((knots, knots, 3), dtype=np.float32) * np.float32(deviation)
    size_wh = image.shape[1::-1]
    noise = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    return cv2.add(image, noise, dtype=cv2.CV_8U)


def add_noise(image: np.ndarray, rng: np.random.Generator, deviation: float) -> np.ndarray:
    """Add independent Gaussian noise of `deviation` grey levels to each channel."""
    quantiles = rng.integers(0, len(NORMAL_QUANTILES), image.shape, dtype=np.uint16)
    noise = (NORMAL_QUANTILES * np.float32(deviation))[quantiles]
    return cv2.add(image, noise, dtype=cv2.CV_8U)


def compress_jpeg(image_rgb: np.ndarray, quality: int) -> np.ndarray:
    """One JPEG round trip at `quality` 1..100."""
    bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)  # so that luma weighs the right channels
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def compress_h264(image_rgb: np.ndarray, quantiser: int) -> np.ndarray:
    """One picture through H.264 as a key frame, with the deblocking that videos show.

    Args:
        image_rgb: (H, W, 3) uint8.
        quantiser: QP, 0 (best) to 51.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = image_rgb.shape[:2]
    # The encoder needs even sides of a minimum length.
    missing = [(0, max(side + side % 2, LEAST_ENCODED_SIDE) - side) for side in (height, width)]
    even = np.pad(image_rgb, [*missing, (0, 0)], mode="edge")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = even.shape[:2]
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"qp": str(quantiser), "tune": "zerolatency", "x264-params": "log-level=0"}
    frame = av.VideoFrame.from_ndarray(even, "rgb24")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [found for packet in packets for found in decoder.decode(packet)]
    (frame,) = [*frames, *decoder.decode(None)]
    return np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:height, :width])
