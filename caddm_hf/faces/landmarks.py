"""Where the face is in a crop, and putting one picture into another there.

Masks: the outline of a face from its landmarks, filled, deformed and softened. Blending: alpha
and Poisson, both through a soft mask. Everything works in the pixels of the picture it is given
and returns new arrays.

Landmarks are (5, 2), (68, 2) or (81, 2), xy in pixels: five points as in `face_alignment`; 68 in
the order of the 300-W annotation (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67);
81 are those 68 followed by 13 points along the hairline.
"""

import cv2
import numpy as np
from scipy import fft

from ..model.face_alignment import fit_similarity, invert_matrix, transform_points

LANDMARK_COUNTS = (5, 68, 81)

# A face in units of the distance between the eyes' centres: x right, y down, z towards the
# camera, origin midway between the eyes. The depths let a turned head be told from its nose: the
# outline lies behind the eyes, the nose before them, so they move apart. The outline covers what
# the convex hull of 68 landmarks covers, brows to chin; half of it is given, from the middle of
# the brows round to the chin, and the other half is its mirror image.
MEAN_FIVE_XYZ = np.array(
    [(-0.5, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.58, 0.42), (-0.4, 1.08, 0.1), (0.4, 1.08, 0.1)]
)
HALF_OUTLINE_XYZ = np.array(
    [
        (0.0, -0.42, 0.15),
        (0.30, -0.46, 0.15),
        (0.62, -0.42, 0.05),
        (0.88, -0.26, -0.2),
        (1.04, 0.05, -0.6),
        (1.04, 0.45, -0.6),
        (0.98, 0.85, -0.5),
        (0.85, 1.22, -0.35),
        (0.60, 1.55, -0.15),
        (0.30, 1.75, 0.05),
        (0.0, 1.80, 0.1),
    ]
)
MEAN_OUTLINE_XYZ = np.concatenate([HALF_OUTLINE_XYZ, HALF_OUTLINE_XYZ[-2:0:-1] * (-1, 1, 1)])


def check_points(points_xy: np.ndarray) -> np.ndarray:
    """The landmarks as float64, or a ValueError that says what is wrong with them."""
    points_xy = np.asarray(points_xy, dtype=np.float64)
    if points_xy.ndim != 2 or points_xy.shape[1] != 2 or len(points_xy) not in LANDMARK_COUNTS:
        raise ValueError(
            f"landmarks must be (N, 2) with N one of {LANDMARK_COUNTS}, got {points_xy.shape}"
        )
    if not np.isfinite(points_xy).all():
        raise ValueError("landmarks must be finite numbers")
    return points_xy


def five_points(points_xy: np.ndarray) -> np.ndarray:
    """Eyes, nose tip and mouth corners out of 5, 68 or 81 landmarks; (5, 2) float64."""
    points_xy = check_points(points_xy)
    if len(points_xy) == 5:
        return points_xy
    eyes = [points_xy[36:42].mean(axis=0), points_xy[42:48].mean(axis=0)]
    return np.array([*eyes, points_xy[30], points_xy[48], points_xy[54]])


def face_outline(points_xy: np.ndarray, forehead: float = 0.0) -> np.ndarray:
    """The convex outline of a face.

    With five points it is a mean face's outline: the similarity that fits the mean face's five
    points to the given ones, and on top of it, for a turned head, a shift in proportion to depth
    that explains best (least squares) where the points still differ. A full affine fit would
    take a smile for a short face. With 68 or 81 landmarks it is their convex hull.

    Args:
        points_xy: (5 | 68 | 81, 2).
        forehead: how far the part above the eyes is moved up, in eye distances (0: as it is).

    Returns:
        (N, 2) float64, xy, a convex polygon.

    Raises:
        ValueError: the landmarks are malformed, or the five points coincide.
    """
    points_xy = check_points(points_xy)
    five_xy = five_points(points_xy)
    pose = fit_similarity(MEAN_FIVE_XYZ[:, :2], five_xy)
    if np.abs(pose[:, :2]).max() < 1e-6:
        raise ValueError("facial points coincide: no outline can be drawn from them")
    if len(points_xy) == 5:
        rest = five_xy - transform_points(pose, MEAN_FIVE_XYZ[:, :2])
        by_depth, *_ = np.linalg.lstsq(_depth_and_one(MEAN_FIVE_XYZ), rest, rcond=None)
        outline_xy = transform_points(pose, MEAN_OUTLINE_XYZ[:, :2])
        outline_xy += _depth_and_one(MEAN_OUTLINE_XYZ) @ by_depth
    else:
        outline_xy = points_xy
    if forehead:
        above_eyes = transform_points(invert_matrix(pose), outline_xy)[:, 1:] < 0
        outline_xy = outline_xy - np.where(above_eyes, forehead, 0.0) * pose[:, 1]
    hull = cv2.convexHull(outline_xy.astype(np.float32))
    return hull[:, 0].astype(np.float64)


def _depth_and_one(points_xyz: np.ndarray) -> np.ndarray:
    return np.column_stack([points_xyz[:, 2], np.ones(len(points_xyz))])


def fill_outline(outline_xy: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 mask, 255 inside the convex outline and 0 outside."""
    mask = np.zeros(size_hw, np.uint8)
    # Far outside points would overflow OpenCV's integer coordinates.
    corners = np.clip(np.round(outline_xy), -10_000, 10_000).astype(np.int32)
    cv2.fillConvexPoly(mask, corners, 255)
    return mask


def deform_mask(mask: np.ndarray, rng: np.random.Generator, amplitude_px: float) -> np.ndarray:
    """Move a mask's edge by a smooth random displacement field (elastic deformation).

    Args:
        mask: (H, W) uint8.
        amplitude_px: standard deviation of the displacement at the field's knots.

    Returns:
        (H, W) uint8.
    """
    height, width = mask.shape
    knots = int(rng.integers(3, 7))
    coarse = rng.standard_normal((knots, knots, 2), dtype=np.float32) * np.float32(amplitude_px)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    map_x = field[..., 0] + np.arange(width, dtype=np.float32)
    map_y = field[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(mask, map_x, map_y, cv2.INTER_LINEAR)


def soften_mask(mask: np.ndarray, radius_px: int) -> np.ndarray:
    """Blur a mask's edge with a Gaussian that ends exactly `radius_px` pixels away.

    Args:
        mask: (H, W) uint8.
        radius_px: reach of the blur; its standard deviation is half of that. 0 leaves the edge.

    Returns:
        (H, W) uint8: still 0 wherever `mask` is 0 within `radius_px` all around.
    """
    if radius_px < 1:
        return mask.copy()
    size = 2 * radius_px + 1
    return cv2.GaussianBlur(mask, (size, size), radius_px / 2, borderType=cv2.BORDER_REPLICATE)


def mask_slices(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest rectangle around a mask's non-zero pixels, or None."""
    x, y, width, height = cv2.boundingRect(mask)
    return (slice(y, y + height), slice(x, x + width)) if width and height else None


def alpha_blend(background: np.ndarray, foreground: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """background + mask / 255 * (foreground - background), rounded.

    Args:
        background, foreground: (H, W, 3) uint8.
        mask: (H, W) uint8.

    Returns:
        (H, W, 3) uint8, equal to `background` where the mask is 0.
    """
    blended = background.copy()
    region = mask_slices(mask)
    if region is not None:
        weight = mask[region].astype(np.float32) * np.float32(1 / 255)
        blended[region] = cv2.blendLinear(
            np.ascontiguousarray(foreground[region]),
            np.ascontiguousarray(background[region]),
            weight,
            1 - weight,
        )
    return blended


def poisson_blend(background: np.ndarray, foreground: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Put the foreground's gradients into the background (Perez et al., SIGGRAPH 2003).

    As in the usual library implementation the gradients are mixed by the mask and the equation
    is solved on the mask's bounding rectangle, whose rim keeps the background's values. With
    d = foreground - background, the change u that is added to the background solves

        laplacian(u) = divergence(mask * gradient(d)),  u = 0 on the rim,

    for which the type-I sine transform is the exact inverse.

    Args:
        background, foreground: (H, W, 3) uint8.
        mask: (H, W) uint8; only its bounding rectangle is touched.

    Returns:
        (H, W, 3) uint8.
    """
    blended = background.copy()
    region = mask_slices(mask)
    if region is None:
        return blended
    # One more pixel on each side is the rim, where u is 0: outside the picture, if need be,
    # where mask and difference count as 0 too.
    rows, columns = mask[region].shape
    weight = np.zeros((rows + 2, columns + 2), np.float32)
    weight[1:-1, 1:-1] = mask[region]
    weight *= np.float32(1 / 255)
    difference = np.zeros((3, rows + 2, columns + 2), np.float32)
    inside = np.subtract(foreground[region], background[region], dtype=np.float32)
    difference[:, 1:-1, 1:-1] = inside.transpose(2, 0, 1)

    along_y = np.diff(difference, axis=1) * ((weight[1:] + weight[:-1]) / 2)
    along_x = np.diff(difference, axis=2) * ((weight[:, 1:] + weight[:, :-1]) / 2)
    divergence = np.diff(along_y, axis=1)[:, :, 1:-1] + np.diff(along_x, axis=2)[:, 1:-1]

    spectrum = fft.dstn(divergence, type=1, axes=(1, 2), overwrite_x=True)
    spectrum /= _sine_eigenvalues(rows)[:, None] + _sine_eigenvalues(columns)
    change = fft.idstn(spectrum, type=1, axes=(1, 2), overwrite_x=True)
    blended[region] = cv2.add(
        np.ascontiguousarray(background[region]),
        np.ascontiguousarray(change.transpose(1, 2, 0)),
        dtype=cv2.CV_8U,
    )
    return blended


def _sine_eigenvalues(count: int) -> np.ndarray:
    """Eigenvalues of the second difference of `count` points between two zeros."""
    angles = np.arange(1, count + 1, dtype=np.float32) * np.float32(np.pi / (count + 1))
    return 2 * np.cos(angles) - 2


def match_colour(image_rgb: np.ndarray, like_rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give a picture the colour of another one's face (Reinhard et al., 2001).

    In CIELAB each channel's mean and standard deviation inside the mask are made those of
    `like_rgb` there. The gain is kept within [0.5, 2] so that a flat picture cannot blow up.

    Args:
        image_rgb, like_rgb: (H, W, 3) uint8.
        mask: (H, W) uint8; pixels above 0 count.

    Returns:
        (H, W, 3) uint8.
    """
    image_lab = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2LAB)
    mean, deviation = cv2.meanStdDev(image_lab, mask=mask)
    like_mean, like_deviation = cv2.meanStdDev(cv2.cvtColor(like_rgb, cv2.COLOR_RGB2LAB), mask=mask)
    gain = np.clip(like_deviation / np.maximum(deviation, 1.0), 0.5, 2.0)
    levels = np.arange(256)[:, None]
    table = (levels - mean[:, 0]) * gain[:, 0] + like_mean[:, 0]
    table = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.LUT(image_lab, table[None]), cv2.COLOR_LAB2RGB)
