"""caddm_hf.faces.sharpness: sharpness at the face's own size."""

import cv2
import numpy as np
import pytest
from skimage import data

from caddm_hf.faces.sharpness import face_sharpness
from caddm_hf.model.face_alignment import alignment_matrix, warp_face

POINTS_XY = np.array([(205, 102), (247, 104), (225, 129), (202, 139), (245, 142)], float)


def sharpness(zoom: float = 1.0, blur: float = 0.0) -> float:
    """Of the portrait's face at a size, blurred at that size."""
    frame = cv2.resize(data.astronaut(), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    if blur:
        frame = cv2.GaussianBlur(frame, (0, 0), blur)
    matrix = alignment_matrix(POINTS_XY * zoom, 224, 0.9)
    return face_sharpness(warp_face(frame, matrix, 224), matrix)


def test_blur_lowers_it():
    sharp = [sharpness(1.0, blur) for blur in (0, 1, 2, 4)]
    assert sharp == sorted(sharp, reverse=True)
    assert sharp[0] > 0.35 > 0.2 > sharp[-1]


def test_a_smaller_face_is_not_less_sharp_for_being_enlarged():
    assert sharpness(0.5) == pytest.approx(sharpness(1.0), abs=0.15)


def test_a_copy_that_was_enlarged_is_less_sharp():
    frame = cv2.resize(data.astronaut(), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    matrix = alignment_matrix(POINTS_XY * 3, 224, 0.9)
    small = alignment_matrix(POINTS_XY, 224, 0.9)
    assert face_sharpness(warp_face(frame, matrix, 224), matrix) < sharpness(1.0)
    assert 0 <= face_sharpness(np.zeros((224, 224, 3), np.uint8), small) == 0
