"""The detector that serves when no model is named."""

from pathlib import Path

import torch

from .detection_config import DetectionConfig
from .video_detection import VideoDetector

BUNDLED_MODEL = Path(__file__).resolve().parent.parent / "checkpoints" / "caddm-lite0"


def default_detector(
    config: DetectionConfig = DetectionConfig(), device: torch.device | str | None = None
) -> VideoDetector:
    """The bundled checkpoint; while there is none, random weights from a fixed seed.

    Raises:
        ModelError: the bundled checkpoint is there and damaged.
    """
    if BUNDLED_MODEL.is_dir():
        return VideoDetector.from_pretrained(BUNDLED_MODEL, config, device)
    return VideoDetector.untrained(seed=0, config=config)
