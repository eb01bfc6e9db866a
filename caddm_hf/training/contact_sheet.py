"""A picture of training samples: crops with their boxes and kinds."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..augmentation.facial_swap import TrainingSample
from .config import TrainingConfig
from .data import TrainingData

COLUMNS = 8
CAPTION_PX = 18
WHOLE_CROP_COLOUR, WINDOW_COLOUR = (230, 60, 60), (255, 215, 0)  # RGB
GENUINE_COLOUR, FORGED_COLOUR = (120, 230, 120), (255, 150, 150)


def make_contact_sheet(config: TrainingConfig) -> None:
    """Write the file `config.contact_sheet`; no validation split is needed.

    Raises:
        FrameDataError: the training split cannot be used.
        OSError: the file cannot be written.
    """
    data = TrainingData(config, evaluated=False)
    data.find_points(range(config.contact_sheet_samples))
    samples = list(data.first_samples(config.contact_sheet_samples))
    write_contact_sheet(samples, Path(config.contact_sheet))


def write_contact_sheet(samples: Sequence[TrainingSample], path: Path) -> None:
    """Write samples, row by row, with the whole-crop box in red and a window in yellow.

    Args:
        samples: at least one, all of one size.
        path: a .png or .jpg file.

    Raises:
        OSError: the file cannot be written.
    """
    tiles = [_tile(sample) for sample in samples]
    columns = min(COLUMNS, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _tile(sample: TrainingSample) -> np.ndarray:
    image = sample.image_rgb.copy()
    side = len(image)
    for box_xyxy, colour in zip(sample.boxes_xyxy, (WHOLE_CROP_COLOUR, WINDOW_COLOUR), strict=True):
        if box_xyxy[2] > box_xyxy[0]:
            x0, y0, x1, y1 = np.clip(np.round(box_xyxy * side), 0, side - 1).astype(int).tolist()
            cv2.rectangle(image, (x0, y0), (x1, y1), colour, 2)
    caption = np.zeros((CAPTION_PX, side, 3), np.uint8)
    colour = FORGED_COLOUR if sample.label else GENUINE_COLOUR
    size = min(0.42, 0.42 * side / 224)
    place = (3, CAPTION_PX - 5)
    cv2.putText(caption, sample.kind, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
    return np.vstack([image, caption])
