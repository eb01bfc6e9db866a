"""CADDM for Hugging Face: ID-unaware deepfake detection.

Names are imported when first used, so that `python -m caddm_hf --help` need not wait for torch.
"""

import importlib

_HOME = {
    "CaddmConfig": "model.configuration_caddm",
    "CaddmForDeepfakeDetection": "model.modeling_caddm",
    "CaddmImageProcessor": "model.image_processing_caddm",
    "CaddmOutput": "model.modeling_caddm",
    "DetectionConfig": "detector.config",
    "MediaError": "media.files",
    "ModelError": "checkpoint.loading",
    "Verdict": "report.verdicts",
    "VideoDetector": "detector.video_detector",
    "VideoReport": "report.video_report",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
