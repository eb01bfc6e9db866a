"""caddm_hf.faces.plausibility: whether five points lie as a face's do."""

import numpy as np
import pytest

from caddm_hf.faces.landmarks import MEAN_FIVE_XYZ
from caddm_hf.faces.plausibility import PointFault, point_fault, point_geometry


def turned(degrees: float, roll: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Five points of the mean face, turned about its upright axis, and a box around them."""
    angle, rolled = np.radians(degrees), np.radians(roll)
    x, y, z = MEAN_FIVE_XYZ.T
    # The axis lies behind the face, as a neck does.
    depth = z + 0.9
    points = np.column_stack([x * np.cos(angle) + depth * np.sin(angle), y])
    turn = np.array([[np.cos(rolled), -np.sin(rolled)], [np.sin(rolled), np.cos(rolled)]])
    points = 60 * points @ turn.T + 200
    middle = points.mean(axis=0)
    return points, np.concatenate([middle - 70, middle + 70])


@pytest.mark.parametrize(("degrees", "roll"), [(0, 0), (20, 0), (-35, 10), (40, -20), (0, 35)])
def test_a_face_up_to_three_quarters_passes(degrees, roll):
    assert point_fault(*turned(degrees, roll)) is None


@pytest.mark.parametrize("degrees", [75, -80])
def test_a_profile_is_turned_away(degrees):
    points, box = turned(degrees)
    assert point_fault(points, box) in (PointFault.TURNED_AWAY, PointFault.NOT_A_FACE)


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0), (60, 0), (30, -20), (10, 60), (50, 60)],  # the nose above the eyes
        [(0, 0), (60, 0), (30, 70), (10, 60), (50, 60)],  # and below the mouth
        [(0, 0), (8, 0), (4, 5), (1, 9), (7, 9)],  # all in a corner of the box
        [(0, 0), (60, 55), (30, 40), (-30, 60), (20, 100)],  # far from level
        [(0, 0), (60, 0), (30, 30), (-20, 60), (100, 60)],  # a mouth twice as wide as the eyes
        [(0, 0)] * 5,
    ],
)
def test_points_of_no_face(points):
    points = np.array(points, float) + 200
    box = np.array([170, 150, 300, 310], float)
    assert point_fault(points, box) is PointFault.NOT_A_FACE


def test_measures_of_the_mean_face():
    measured = point_geometry(*turned(0))
    assert measured.residual == pytest.approx(0, abs=0.02)
    assert measured.turn == pytest.approx(0, abs=1e-6)
    assert measured.roll_degrees == pytest.approx(0, abs=1e-6)
