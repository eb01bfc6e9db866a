"""The picture of training samples."""

from pathlib import Path

import cv2
import numpy as np

from caddm_hf.augmentation.facial_swap import TrainingSample
from caddm_hf.training.contact_sheet import CAPTION_PX, WINDOW_COLOUR, write_contact_sheet


def test_a_contact_sheet_shows_boxes(tmp_path: Path):
    boxes = np.array([(0, 0, 1, 1), (0.25, 0.5, 0.75, 1)], np.float32)
    grey = np.full((64, 64, 3), 100, np.uint8)
    forged = TrainingSample(grey, 1, boxes, "partial", None)
    genuine = TrainingSample(grey, 0, np.zeros((2, 4), np.float32), "genuine", None)
    write_contact_sheet([forged, genuine] * 5, tmp_path / "new" / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "new" / "sheet.png"), cv2.IMREAD_COLOR_RGB)
    assert sheet.shape == (2 * (64 + CAPTION_PX), 8 * 64, 3)
    assert sheet[40, 16].tolist() == list(WINDOW_COLOUR)
    assert (sheet[:64, 64:128] == 100).all()
    assert (sheet[64:, 64:128] > 100).any()
