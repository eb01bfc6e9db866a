"""Check that five points are arranged like those of a face, and how far the face is turned.

The detector also reports patches of light, dark blobs and the backs of heads as faces with five
points. These points seldom have the order and the proportions of a face.

Points are (5, 2), xy in pixels: left eye, right eye, nose tip, left and right mouth corner.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..model.face_alignment import fit_similarity, invert_matrix, transform_points
from .landmarks import MEAN_FIVE_XYZ

# Limits; docs/report.md describes their choice.
MOST_RESIDUAL = 0.2
MOST_ROLL_DEGREES = 45.0
NOSE_DOWN = (0.2, 0.9)
EYES_IN_BOX = (0.2, 0.65)
MOST_TURN = 1.2
LEAST_EYES_APART = 0.4


class PointFault(StrEnum):
    """Why five points are not those of a face that can be judged."""

    NOT_A_FACE = "not_surely_a_face"
    TURNED_AWAY = "turned_away"


@dataclass(frozen=True)
class PointGeometry:
    """Measures of five points relative to a mean face, in units of its eye distance.

    Attributes:
        residual: root mean square distance of the points from the mean face's, after the best
            similarity and a turn of the head.
        turn: distance of the nose from the line between the centres of eyes and mouth, divided
            by the wider half of the face: 0 for a frontal face, 1 if the nose reaches an eye.
        eyes_apart: distance between the eyes divided by the distance from eyes to mouth.
        eyes_in_box: distance between the eyes divided by the width of the face's box.
        roll_degrees: angle of the line through the eyes from horizontal, 0 to 180.
        nose_down: position of the nose between the eyes (0) and the mouth (1).
    """

    residual: float
    turn: float
    eyes_apart: float
    eyes_in_box: float
    roll_degrees: float
    nose_down: float


def point_geometry(points_xy: np.ndarray, box_xyxy: np.ndarray) -> PointGeometry | None:
    """Measure five points against a mean face.

    Args:
        points_xy: (5, 2), finite.
        box_xyxy: (4,) box of the face, in the same pixels.

    Returns:
        The measures, or None if the eyes, or the eyes and the mouth, coincide.
    """
    points_xy = np.asarray(points_xy, np.float64)
    box_xyxy = np.asarray(box_xyxy, np.float64)
    eyes, mouth = points_xy[:2].mean(axis=0), points_xy[3:].mean(axis=0)
    across, down = points_xy[1] - points_xy[0], mouth - eyes
    apart, length = float(np.hypot(*across)), float(np.hypot(*down))
    if min(apart, length, float(box_xyxy[2] - box_xyxy[0])) < 1e-6:
        return None
    pose = fit_similarity(MEAN_FIVE_XYZ[:, :2], points_xy)
    if np.abs(pose[:, :2]).max() < 1e-6:
        return None
    aligned = transform_points(invert_matrix(pose), points_xy)
    rest = aligned - MEAN_FIVE_XYZ[:, :2]
    depth_and_one = np.column_stack([MEAN_FIVE_XYZ[:, 2], np.ones(5)])
    by_depth, *_ = np.linalg.lstsq(depth_and_one, rest, rcond=None)
    residual = float(np.sqrt(np.mean((rest - depth_and_one @ by_depth) ** 2)))
    # Coordinates across and along the middle line, in units of its length.
    nose = points_xy[2] - eyes
    nose_down = float(nose @ down) / length**2
    on_line = eyes + nose_down * down
    half = apart / 2
    turn = float(np.hypot(*(points_xy[2] - on_line))) / half
    return PointGeometry(
        residual=residual,
        turn=turn,
        eyes_apart=apart / length,
        eyes_in_box=apart / float(box_xyxy[2] - box_xyxy[0]),
        roll_degrees=abs(float(np.degrees(np.arctan2(across[1], across[0])))),
        nose_down=nose_down,
    )


def point_fault(points_xy: np.ndarray, box_xyxy: np.ndarray) -> PointFault | None:
    """Return the fault of a face's five points that prevents a judgement, or None.

    Arguments as of `point_geometry`.
    """
    measured = point_geometry(points_xy, box_xyxy)
    if (
        measured is None
        or measured.residual > MOST_RESIDUAL
        or measured.roll_degrees > MOST_ROLL_DEGREES
        or not NOSE_DOWN[0] <= measured.nose_down <= NOSE_DOWN[1]
        or not EYES_IN_BOX[0] <= measured.eyes_in_box <= EYES_IN_BOX[1]
    ):
        return PointFault.NOT_A_FACE
    if measured.turn > MOST_TURN or measured.eyes_apart < LEAST_EYES_APART:
        return PointFault.TURNED_AWAY
    return None
