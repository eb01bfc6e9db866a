"""Sharpness of a face at its size in the frame, independent of the crop's size."""

import math

import cv2
import numpy as np

# Start and end of the window, as shares of the crop, that contains little but the face.
FACE_WINDOW = (0.2, 0.8)
BLUR_PX = 9  # width of the averaging, which hardly changes a blurred picture
SMALLEST_SIDE_PX = 24  # below this the averaging would cover the face


def face_sharpness(crop_rgb: np.ndarray, alignment: np.ndarray) -> float:
    """Return the share of a face's fine detail that further blurring would remove.

    Crete et al. 2007 ("The blur effect: perception and estimation with a new no-reference
    perceptual blur metric"): blur the picture and compare the differences of neighbouring pixels
    before and after. A blurred picture changes little. The measure has no unit, and contrast and
    brightness cancel out.

    An enlarged crop is first shrunk to the face's own pixels, so that enlarging alone makes no
    face less sharp. A reduced crop is measured unchanged, because the network sees no more detail.

    Args:
        crop_rgb: (S, S, 3) uint8, the aligned crop.
        alignment: (2, 3), frame to crop.

    Returns:
        in [0, 1]: 0 is no detail, 1 is noise from pixel to pixel; the minimum of both directions.
    """
    side = crop_rgb.shape[0]
    zoom = math.sqrt(abs(float(np.linalg.det(alignment[:, :2]))))
    grey = cv2.cvtColor(crop_rgb, cv2.COLOR_RGB2GRAY)
    own_side = max(SMALLEST_SIDE_PX, round(side / max(1.0, zoom)))
    if own_side < side:
        grey = cv2.resize(grey, (own_side, own_side), interpolation=cv2.INTER_AREA)
    low, high = (round(share * own_side) for share in FACE_WINDOW)
    values = grey.astype(np.float32)
    return min(_lost_detail(values, axis, slice(low, high)) for axis in (0, 1))


def _lost_detail(values: np.ndarray, axis: int, window: slice) -> float:
    """Share of the differences inside a window that blurring along an axis removes."""
    kernel = (1, BLUR_PX) if axis == 0 else (BLUR_PX, 1)  # OpenCV: (width, height)
    blurred = cv2.blur(values, kernel)
    before = np.abs(np.diff(values, axis=axis))[window, window]
    after = np.abs(np.diff(blurred, axis=axis))[window, window]
    total = float(before.sum())
    if total <= 0:
        return 0.0
    return float(np.maximum(before - after, 0).sum()) / total
