"""Choose the donor of a blend: the candidate face in the most similar pose."""

from collections.abc import Sequence

import numpy as np

from ..faces.landmarks import five_points
from ..model.face_alignment import fit_similarity, template_points, transform_points

DONOR_CANDIDATES = 8


def face_pose(points_xy: np.ndarray) -> np.ndarray:
    """Return the five points after alignment, which differ between faces by their pose.

    Args:
        points_xy: (5 | 68 | 81, 2) landmarks.

    Returns:
        (5, 2) float64, in units of the crop.
    """
    five_xy = five_points(points_xy)
    return transform_points(fit_similarity(five_xy, template_points(1)), five_xy)


def most_similar(pose: np.ndarray, candidates: Sequence[np.ndarray]) -> int:
    """Return the index of the candidate nearest to a pose; of equal ones, the first.

    Args:
        pose: (5, 2), from `face_pose`.
        candidates: at least one pose.
    """
    return int(np.argmin([np.abs(candidate - pose).sum() for candidate in candidates]))
