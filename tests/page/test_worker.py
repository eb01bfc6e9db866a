"""caddm_hf.page.worker: the page's own model and a named one are loaded alike."""

import pytest

import app
from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.page import worker


@pytest.mark.parametrize("options", [{}, {"backend": "onnx"}])
def test_the_bundled_model_has_the_backend_of_any_other(options: dict, monkeypatch):
    """It was computed by torch, and the same folder, named by a visitor, by another runtime."""
    asked = []

    def load(model, config, **more):
        asked.append((model, more["backend"]))
        return VideoDetector.untrained(config=config)

    monkeypatch.setattr(worker.VideoDetector, "from_pretrained", load)
    for model in (None, "checkpoints/caddm-lite0"):
        worker.load_detector(model, None, DetectionConfig(), **options)
    backend = options.get("backend", "auto")
    assert asked == [(None, backend), ("checkpoints/caddm-lite0", backend)]


def test_the_page_takes_a_backend():
    assert app.build_parser().parse_args([]).backend == "auto"
    assert app.build_parser().parse_args(["--backend", "torch"]).backend == "torch"
