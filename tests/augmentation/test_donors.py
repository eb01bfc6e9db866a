"""The donor of a blend is the face in the most similar pose."""

import numpy as np

from caddm_hf.augmentation.donors import face_pose, most_similar
from caddm_hf.model.face_alignment import template_points


def test_a_pose_does_not_depend_on_place_size_and_rotation():
    five_xy = template_points(100)
    turned = five_xy.copy()
    turned[2] += (12, 0)  # the nose looks to a side
    angle = 0.4
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = 3 * turned @ rotation.T + (40, -7)
    np.testing.assert_allclose(face_pose(moved), face_pose(turned), atol=1e-9)
    assert np.abs(face_pose(turned) - face_pose(five_xy)).max() > 0.05


def test_the_nearest_pose_is_chosen_and_the_first_of_equals():
    poses = [face_pose(template_points(1) + np.eye(5, 2, -2) * share) for share in (0.2, 0.1, 0.0)]
    assert most_similar(poses[2], poses) == 2
    assert most_similar(poses[0], poses[1:]) == 0
    assert most_similar(poses[0], [poses[1], poses[1]]) == 0
