"""Crops around faces, and their encoding.

A crop is an unscaled square of the frame around one face. It covers every draw of the training
jitter, except beyond the edge of the frame.
"""

import math

import cv2
import numpy as np

from ..faces.landmarks import five_points
from ..model.face_alignment import (
    TEMPLATE_SIZE,
    AlignmentJitter,
    alignment_matrix,
    invert_matrix,
)

JITTER = AlignmentJitter()
# The scale at which a jittered crop covers most: three standard deviations below the mean.
LEAST_SCALE = 0.9 - 3 * JITTER.scale_std
# How far a jittered crop reaches from the centre of the unjittered one, in pixels of the latter:
# with the largest shift and stretch, and a corner turned towards the axis.
REACH_PX = (
    math.sqrt(2)
    * math.cos(math.radians(45 - JITTER.rotation_degrees))
    * (TEMPLATE_SIZE / 2 + JITTER.shift_px)
    / (1 - JITTER.stretch)
)
JPEG_QUALITY = 95


def crop_rectangle(points_xy: np.ndarray, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """The rectangle to cut out, within the frame.

    Args:
        points_xy: (5 | 68 | 81, 2) landmarks in pixels of the frame.
        size_hw: of the frame.

    Returns:
        x0, y0, x1, y1 in whole pixels, x1 and y1 exclusive; not empty.

    Raises:
        ValueError: the face lies outside the frame, or its points coincide.
    """
    to_frame = invert_matrix(alignment_matrix(five_points(points_xy), scale=LEAST_SCALE))
    middle = to_frame @ (TEMPLATE_SIZE / 2, TEMPLATE_SIZE / 2, 1)
    radius = REACH_PX * math.sqrt(abs(np.linalg.det(to_frame[:, :2])))
    height, width = size_hw
    x0, y0 = np.clip(np.floor(middle - radius), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(middle + radius) + 1, 0, (width, height)).astype(int)
    if x1 <= x0 or y1 <= y0:
        raise ValueError("the face lies outside the frame")
    return int(x0), int(y0), int(x1), int(y1)


def encode_picture(image_rgb: np.ndarray, picture_format: str) -> bytes:
    """A picture file: "jpeg" (quality 95, full colour resolution) or "png" (lossless)."""
    image_bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    if picture_format == "png":
        parameters = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    else:
        parameters = [
            *(cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ]
    _, data = cv2.imencode(f".{picture_format}", image_bgr, parameters)
    return data.tobytes()
