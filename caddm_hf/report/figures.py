"""Pictures of a `VideoReport`: scores over time, heatmaps and artifact boxes on faces.

All scales are fixed. A heatmap's colour means the same value in every picture and every report,
so a weak trace looks weak; the legend is drawn by the same recipe as the heatmaps.
"""

import base64

import cv2
import numpy as np

from ..model.heatmaps import ArtifactBox

# The map goes evenly from dark to bright and is readable without red-green vision. Opacity grows
# with the value: where the value is 0 the face is unchanged.
COLOUR_MAP = cv2.COLORMAP_INFERNO
MOST_COVER = 0.85
BOX_COLOUR_RGB = (64, 224, 255)
LABEL_SIZE = (36, 20)  # pixels: a percentage in the font below


def overlay_heatmap(crop_rgb: np.ndarray, heatmap: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Lay a heatmap over the crop it belongs to.

    Args:
        crop_rgb: (H, W, 3) uint8.
        heatmap: (H, W) floating point; values are clipped to [0, 1].
        strength: in [0, 1]; 0 leaves the crop unchanged, 1 is the fixed scale of the legend.

    Returns:
        (H, W, 3) uint8.
    """
    values = np.clip(heatmap.astype(np.float32), 0, 1)
    colours_bgr = cv2.applyColorMap((values * 255).round().astype(np.uint8), COLOUR_MAP)
    cover = strength * MOST_COVER * values[..., None]
    mixed = cover * colours_bgr[..., ::-1] + (1 - cover) * crop_rgb
    return mixed.round().astype(np.uint8)


def heatmap_legend(size_hw: tuple[int, int] = (12, 256)) -> np.ndarray:
    """The heatmap's colours from 0 (left) to 1 (right), as they look on mid-grey skin."""
    height, width = size_hw
    values = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), size_hw)
    return overlay_heatmap(np.full((height, width, 3), 128, np.uint8), values)


def draw_artifact_boxes(
    crop_rgb: np.ndarray, boxes: list[ArtifactBox], least_side_px: int = 336
) -> np.ndarray:
    """Draw the detector's boxes with their confidences on a copy of the crop.

    Args:
        crop_rgb: (H, W, 3) uint8.
        boxes: corners in [0, 1] of the crop.
        least_side_px: smaller crops are enlarged to it, so that lines and figures stay fine.
    """
    enlarged = max(1.0, least_side_px / min(crop_rgb.shape[:2]))
    image_rgb = cv2.resize(crop_rgb, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC)
    height, width = image_rgb.shape[:2]
    scale = np.array([width - 1, height - 1] * 2)
    for box in reversed(boxes):  # the most confident last, on top
        x0, y0, x1, y1 = (np.array(box.box_xyxy) * scale).round().astype(int).tolist()
        # A bright line on a dark one is visible on any skin and any background.
        cv2.rectangle(image_rgb, (x0, y0), (x1, y1), (0, 0, 0), 5)
        cv2.rectangle(image_rgb, (x0, y0), (x1, y1), BOX_COLOUR_RGB, 2)
        left, top = min(x0, width - LABEL_SIZE[0]), min(y0, height - LABEL_SIZE[1])
        right, bottom = left + LABEL_SIZE[0], top + LABEL_SIZE[1]
        cv2.rectangle(image_rgb, (left, top), (right, bottom), (0, 0, 0), -1)
        label = f"{min(box.confidence, 0.99):.0%}"  # never 100%, as in `show_percent`
        font = cv2.FONT_HERSHEY_SIMPLEX
        at = (left + 3, bottom - 5)
        cv2.putText(image_rgb, label, at, font, 0.5, BOX_COLOUR_RGB, 1, cv2.LINE_AA)
    return image_rgb


def data_uri(image_rgb: np.ndarray, quality: int = 88) -> str:
    """(H, W, 3) uint8 as a `data:image/jpeg` address, so that a page needs no other file."""
    encoded, data = cv2.imencode(".jpg", image_rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise ValueError(f"a picture of shape {image_rgb.shape} cannot be encoded as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
