"""CADDM for Hugging Face: ID-unaware deepfake detection.

The names below are what other programs may import; where they lie inside the package may change.
Each is imported when it is first used, so that `import caddm_hf` and `python -m caddm_hf --help`
need not wait for torch. Where a program uses transformers' pipelines, they know the task
"video-deepfake-detection" and the Auto classes know CADDM.
"""

import importlib

from .core.import_hooks import run_after_import

_HOME = {
    # The model
    "CaddmConfig": "model.auto_classes",
    "CaddmForDeepfakeDetection": "model.auto_classes",
    "CaddmImageProcessor": "model.auto_classes",
    "CaddmOutput": "model.auto_classes",
    # Detecting
    "DetectionConfig": "detector.config",
    "DetectorSource": "detector.guarded",
    "GuardLimits": "guard.limits",
    "GuardedDetector": "detector.guarded",
    "MediaLimits": "media.limits",
    "VideoDeepfakePipeline": "detector.pipeline",
    "VideoDetector": "detector.pipeline",
    "open_network": "runtime.backends",
    # Results
    "Thresholds": "report.verdicts",
    "Verdict": "report.verdicts",
    "VideoReport": "report.video_report",
    "annotated_video_suffix": "report.annotated_video",
    "read_report": "report.files",
    "record_provenance": "detector.provenance",
    "write_annotated_video": "report.annotated_video",
    "write_evidence": "report.evidence",
    # Errors
    "MediaError": "media.limits",
    "ModelError": "core.errors",
    "UserError": "core.errors",
    "WorkerLostError": "guard.limits",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


run_after_import(
    "transformers.pipelines", lambda: importlib.import_module(".detector.pipeline", __name__)
)
