"""Computes five points, the outline and a mask of a face from its landmarks.

Landmarks are (5, 2), (68, 2) or (81, 2), xy in pixels: five points as in `face_alignment`; 68 in
the order of the 300-W annotation (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67);
81 are those 68 followed by 13 points along the hairline.
"""

import cv2
import numpy as np

from ..model.face_alignment import fit_similarity, invert_matrix, transform_points

LANDMARK_COUNTS = (5, 68, 81)

# A mean face in units of the distance between the eyes' centres: x right, y down, z towards the
# camera, origin midway between the eyes. The depths show how far a head is turned: the outline
# lies behind the eyes and the nose before them, so they move in opposite directions. The outline
# covers the convex hull of 68 landmarks, brows to chin. Its half from the middle of the brows to
# the chin is listed; the other half is the mirror image.
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
    """The landmarks as float64.

    Raises:
        ValueError: they have another shape than (5 | 68 | 81, 2), or are not finite.
    """
    points_xy = np.asarray(points_xy, dtype=np.float64)
    if points_xy.ndim != 2 or points_xy.shape[1] != 2 or len(points_xy) not in LANDMARK_COUNTS:
        raise ValueError(
            f"landmarks must be (N, 2) with N one of {LANDMARK_COUNTS}, got {points_xy.shape}"
        )
    if not np.isfinite(points_xy).all():
        raise ValueError("landmarks must be finite numbers")
    return points_xy


def five_points(points_xy: np.ndarray) -> np.ndarray:
    """Eyes, nose tip and mouth corners from 5, 68 or 81 landmarks; (5, 2) float64."""
    points_xy = check_points(points_xy)
    if len(points_xy) == 5:
        return points_xy
    eyes = [points_xy[36:42].mean(axis=0), points_xy[42:48].mean(axis=0)]
    return np.array([*eyes, points_xy[30], points_xy[48], points_xy[54]])


def face_outline(points_xy: np.ndarray, forehead: float = 0.0) -> np.ndarray:
    """The convex outline of a face.

    With five points, the outline of a mean face is moved by the similarity that fits the mean
    face's five points to the given ones. A shift in proportion to depth is added for a turned
    head, fitted by least squares to the remaining differences. A full affine fit would mistake a
    smile for a short face. With 68 or 81 landmarks, the outline is their convex hull.

    Args:
        points_xy: (5 | 68 | 81, 2).
        forehead: how far the part above the eyes is moved up, in eye distances; 0 for not at all.

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
    # Points far outside would overflow OpenCV's integer coordinates.
    corners = np.clip(np.round(outline_xy), -10_000, 10_000).astype(np.int32)
    cv2.fillConvexPoly(mask, corners, 255)
    return mask
