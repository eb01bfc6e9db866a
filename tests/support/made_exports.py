"""A small network, its crops, and which tests of exported networks can run here."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from caddm_hf.checkpoint.loading import LoadedModel
from caddm_hf.model.configuration_caddm import CaddmConfig
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.model.modeling_caddm import CaddmForDeepfakeDetection
from caddm_hf.runtime.backends import PACKAGES
from caddm_hf.runtime.export import export_network
from caddm_hf.runtime.exported import fingerprint
from caddm_hf.runtime.names import RUNTIMES

HAS_ONNX = importlib.util.find_spec("onnx") is not None
INSTALLED = [
    runtime for runtime in RUNTIMES if HAS_ONNX and importlib.util.find_spec(PACKAGES[runtime])
]
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="the optional package onnx is not installed")
needs_runtime = pytest.mark.skipif(
    not INSTALLED, reason="neither onnxruntime nor openvino is installed"
)
each_runtime = pytest.mark.parametrize(
    "runtime",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name not in INSTALLED, reason=f"the optional package {PACKAGES[name]} is missing"
            ),
        )
        for name in RUNTIMES
    ],
)


def made_model(backbone: str = "tf_efficientnet_lite0", width: int = 32, **config) -> LoadedModel:
    """A network whose random answers spread over the whole range of probabilities."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        settings = CaddmConfig(backbone=backbone, artifact_width=width, **config)
        model = CaddmForDeepfakeDetection(settings).eval()
    loaded = LoadedModel(model, CaddmImageProcessor(size=settings.image_size), "made")
    with torch.no_grad():
        values = loaded.image_processor.pixel_values(made_crops(settings.image_size))
        leaning = model(values).logits @ torch.tensor([-1.0, 1.0])
        model.classifier.weight /= leaning.std()
        model.classifier.bias[1] -= leaning.mean() / leaning.std()
    return loaded


def made_crops(size: int = 224) -> list[np.ndarray]:
    """Parts of a portrait, bright, dark, upside down."""
    picture = data.astronaut()
    crops = [picture[y : y + size, x : x + size] for y, x in ((0, 100), (40, 120), (200, 0))]
    return [*crops, crops[0] // 3, np.ascontiguousarray(crops[1][::-1]), 255 - crops[2]]


def exported_model(folder: Path, loaded: LoadedModel) -> tuple[LoadedModel, Path]:
    """A model and its export in a folder; skips where none can be made."""
    if not HAS_ONNX:
        pytest.skip("the optional package onnx is not installed")
    path = folder / "network.onnx"
    export_network(loaded, path, fingerprint(loaded), "onnx")
    return loaded, path


def exported_small_model(folder: Path) -> tuple[LoadedModel, Path]:
    """The same of a model that is quick to run."""
    return exported_model(folder, made_model("resnet18", 8, image_size=64))
