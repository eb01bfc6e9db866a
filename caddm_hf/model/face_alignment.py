"""Five facial points -> the similarity that brings a face to the network's crop.

The processor (serving) and the training transform both align through this file and no
other, so what the network is trained on is what it is later shown. The template and its
constants are those of the CADDM paper's code (arXiv 2210.14457): a mean face in units
centred at 0, scaled so that a face is 80 px wide in a 224 px crop.

Points are (x, y) in pixels, in the order left eye, right eye, nose tip, left mouth corner,
right mouth corner, where left is the smaller x in an upright face.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

MEAN_FACE_XY = np.array(
    [
        (-0.17607, -0.172844),
        (0.1736, -0.17356),
        (-0.00182, 0.0357164),
        (-0.14617, 0.20185),
        (0.14496, 0.19943),
    ]
)
TEMPLATE_SIZE = 224
FACE_WIDTH = 80.0
MEAN_FACE_WIDTH = 0.34967
EYE_LINE = 2.42  # the left eye lies at 1/2.42 of the crop's height, whatever the scale
# Below this zoom bilinear sampling skips source pixels; the picture is averaged down first.
LEAST_BILINEAR_ZOOM = 0.5


@dataclass(frozen=True)
class AlignmentJitter:
    """How far a training crop may leave the exact alignment (defaults: the paper's code).

    Attributes:
        scale_std: standard deviation of the template scale around the given scale.
        shift_px: largest shift each way, in pixels of a 224 px crop.
        rotation_degrees: largest rotation; drawn as `rotation_degrees * U(-1, 1) ** 3`.
        stretch_probability: chance of a stretch, for each axis on its own.
        stretch: a stretch factor is drawn from `U(1 - stretch, 1 + stretch)`.
    """

    scale_std: float = 0.1
    shift_px: float = 25.0
    rotation_degrees: float = 30.0
    stretch_probability: float = 0.2
    stretch: float = 0.03

    def scaled(self, strength: float) -> "AlignmentJitter":
        """The same with every range multiplied by `strength`; 0 is the exact alignment."""
        return AlignmentJitter(
            self.scale_std * strength,
            self.shift_px * strength,
            self.rotation_degrees * strength,
            self.stretch_probability,
            self.stretch * strength,
        )


def template_points(
    image_size: int = TEMPLATE_SIZE, scale: float = 0.9, eye_height: float | None = None
) -> np.ndarray:
    """Where the five points of an aligned face lie in the crop.

    The paper's template puts the eyes at 1 / 2.42 of the height by stretching the face, which at
    scales above 1 pushes the mouth out of the crop. With `eye_height` the face keeps its
    proportions and is moved instead.

    Args:
        image_size: side of the square crop in pixels.
        scale: size of the face; 0.9 is the paper's, larger shows less around the face.
        eye_height: where the eyes lie, in units of the crop's height; None is the paper's way.

    Returns:
        (5, 2) float64, xy in pixels of the crop.

    Raises:
        ValueError: scale or eye height is out of range.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"the alignment scale must be a positive number, got {scale}")
    zoom = FACE_WIDTH / (TEMPLATE_SIZE * MEAN_FACE_WIDTH)
    unit_xy = MEAN_FACE_XY * scale * zoom + 0.5
    if eye_height is None:
        unit_xy[:, 1] /= unit_xy[0, 1] * EYE_LINE
    elif 0 < eye_height < 1:
        unit_xy[:, 1] += eye_height - unit_xy[:2, 1].mean()
    else:
        raise ValueError(f"the eye height must lie between 0 and 1, got {eye_height}")
    return unit_xy * image_size


def fit_similarity(points_xy: np.ndarray, target_xy: np.ndarray) -> np.ndarray:
    """Least-squares similarity (rotation, one scale, shift; no mirroring) between point sets.

    With points as complex numbers p and q around their means, the factor a minimising
    sum |q - a p|^2 is sum(conj(p) q) / sum(|p|^2).

    Args:
        points_xy: (..., N, 2) points, N >= 2.
        target_xy: (N, 2) or (..., N, 2) where they shall go.

    Returns:
        (..., 2, 3) float64 matrices for `cv2.warpAffine`-style use (source to target).

    Raises:
        ValueError: a point is not finite, or all points of a set coincide.
    """
    points_xy = np.asarray(points_xy, dtype=np.float64)
    target_xy = np.broadcast_to(np.asarray(target_xy, dtype=np.float64), points_xy.shape)
    if not np.isfinite(points_xy).all():
        raise ValueError("facial points must be finite numbers")
    source_mean = points_xy.mean(axis=-2)
    target_mean = target_xy.mean(axis=-2)
    source = (points_xy - source_mean[..., None, :]) @ np.array([1, 1j])
    target = (target_xy - target_mean[..., None, :]) @ np.array([1, 1j])
    spread = (np.abs(source) ** 2).sum(axis=-1)
    if (spread < 1e-9).any():
        raise ValueError("facial points coincide: no alignment can be computed from them")
    factor = (np.conj(source) * target).sum(axis=-1) / spread
    matrix = np.empty((*points_xy.shape[:-2], 2, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = factor.real
    matrix[..., 1, 0] = factor.imag
    matrix[..., 0, 1] = -factor.imag
    matrix[..., 2] = target_mean - (matrix[..., :2] @ source_mean[..., None])[..., 0]
    return matrix


def alignment_matrix(
    points_xy: np.ndarray,
    image_size: int = TEMPLATE_SIZE,
    scale: float = 0.9,
    eye_height: float | None = None,
) -> np.ndarray:
    """The matrix that maps frame pixels to crop pixels; (..., 5, 2) -> (..., 2, 3)."""
    return fit_similarity(points_xy, template_points(image_size, scale, eye_height))


def jittered_alignment_matrix(
    points_xy: np.ndarray,
    rng: np.random.Generator,
    jitter: AlignmentJitter = AlignmentJitter(),
    image_size: int = TEMPLATE_SIZE,
    scale: float = 0.9,
    eye_height: float | None = None,
) -> np.ndarray:
    """An alignment as `alignment_matrix` gives it, moved at random for training.

    Scale, shift, rotation about the crop's centre and the two stretches are drawn from
    `rng` as `AlignmentJitter` says. The drawn scale is kept within three standard deviations
    so that no draw can turn the face inside out.

    Args:
        points_xy: (5, 2) in pixels of the frame.

    Returns:
        (2, 3) float64, frame to crop.
    """
    deviation = np.clip(rng.standard_normal(), -3.0, 3.0) * jitter.scale_std
    shift = rng.uniform(-1.0, 1.0, size=2) * jitter.shift_px * image_size / TEMPLATE_SIZE
    angle = math.radians(jitter.rotation_degrees) * rng.uniform(-1.0, 1.0) ** 3
    stretched = rng.random(2) < jitter.stretch_probability
    stretch = np.where(stretched, rng.uniform(1 - jitter.stretch, 1 + jitter.stretch, 2), 1.0)

    aligned = np.eye(3)
    aligned[:2] = alignment_matrix(points_xy, image_size, max(scale + deviation, 0.1), eye_height)
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) * stretch[None, :]
    centre = np.full(2, image_size / 2)
    move = np.eye(3)
    move[:2, :2] = linear
    move[:2, 2] = centre - linear @ centre + shift
    return (move @ aligned)[:2]


def transform_points(matrix: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
    """Apply a (2, 3) matrix to (..., 2) points."""
    return np.asarray(points_xy, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def invert_matrix(matrix: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix of the opposite direction (crop to frame)."""
    return cv2.invertAffineTransform(matrix)


def warp_face(image: np.ndarray, matrix: np.ndarray, image_size: int) -> np.ndarray:
    """Cut the aligned crop out of a frame.

    Only the part of the frame that the crop shows is touched, and a face much larger than
    the crop is averaged down by a whole factor before the bilinear warp: plain bilinear
    sampling would skip pixels and alias, which looks like a forgery trace. Outside the frame
    the crop is black.

    Args:
        image: (H, W, 3) or (H, W) uint8 or float32.
        matrix: (2, 3), frame to crop, in pixels.
        image_size: side of the crop.

    Returns:
        (image_size, image_size[, 3]), dtype of `image`.
    """
    height, width = image.shape[:2]
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * image_size
    seen = transform_points(invert_matrix(matrix), corners)
    # Two pixels of margin, so that the bilinear taps at the rim find their neighbours.
    x0, y0 = np.clip(np.floor(seen.min(axis=0)) - 2, 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(seen.max(axis=0)) + 3, 0, (width, height)).astype(int)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((image_size, image_size, *image.shape[2:]), image.dtype)
    zoom = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    shrink = int(1 / zoom) if 0 < zoom < LEAST_BILINEAR_ZOOM else 1
    if shrink > 1:
        # Whole blocks only: OpenCV averages them many times faster than fractions of pixels.
        # At the frame's rim up to `shrink - 1` pixels are given up for it.
        x1 = x0 + _whole_blocks(x1 - x0, width - x0, shrink)
        y1 = y0 + _whole_blocks(y1 - y0, height - y0, shrink)
    region = image[y0:y1, x0:x1]
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ (x0, y0)
    if shrink > 1:
        small_size = (region.shape[1] // shrink, region.shape[0] // shrink)
        if min(small_size) == 0:
            return np.zeros((image_size, image_size, *image.shape[2:]), image.dtype)
        region = cv2.resize(region, small_size, interpolation=cv2.INTER_AREA)
        # Pixel centres: source x = (small x + 0.5) * shrink - 0.5.
        local[:, 2] += local[:, :2] @ np.full(2, 0.5 * shrink - 0.5)
        local[:, :2] *= shrink
    return cv2.warpAffine(region, local, (image_size, image_size), flags=cv2.INTER_LINEAR)


def _whole_blocks(wanted: int, available: int, block: int) -> int:
    """`wanted` rounded up to whole blocks where there is room, else the most that fit."""
    rounded = -(-wanted // block) * block
    return rounded if rounded <= available else available // block * block
