"""Push to a Hub and load from it by name, in processes that do not know this package."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from caddm_hf import CaddmConfig, CaddmForDeepfakeDetection, CaddmImageProcessor
from caddm_hf.model.face_alignment import template_points

SIZE = (300, 400, 3)
CODE = {
    "configuration_caddm.py",
    "modeling_caddm.py",
    "multibox.py",
    "heatmaps.py",
    "image_processing_caddm.py",
    "face_alignment.py",
}


def push(repo_id: str, private: bool, seed: int) -> dict:
    """In a client process: make a model from a seed and push it with its processor."""
    torch.manual_seed(seed)
    config = CaddmConfig(backbone="tf_efficientnet_lite0", artifact_width=16)
    model = CaddmForDeepfakeDetection(config).eval()
    model.push_to_hub(repo_id, private=private)
    CaddmImageProcessor(align_scale=0.8).push_to_hub(repo_id)
    return {"logits": answer(model, CaddmImageProcessor(align_scale=0.8))}


def answer(model, processor) -> list[float]:
    import numpy as np

    picture = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    inputs = processor(picture, landmarks=template_points() + 20)
    with torch.inference_mode():
        return model(**inputs).logits[0].tolist()


# Run as a script in an empty folder: nothing of this repository is importable there.
STRANGER = """
import importlib.util, json, sys
import numpy as np, torch
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
assert importlib.util.find_spec("caddm_hf") is None
name, revision = sys.argv[1], sys.argv[2] or None
options = {"trust_remote_code": True, "revision": revision}
model = AutoModelForImageClassification.from_pretrained(name, **options).eval()
processor = AutoImageProcessor.from_pretrained(name, **options)
picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
points = np.array(json.loads(sys.argv[3]))
inputs = processor(picture, landmarks=points)
with torch.inference_mode():
    output = model(**inputs)
from PIL import Image
judge = pipeline("image-classification", model=name, **options)
labels = judge(Image.fromarray(picture))
print(json.dumps({
    "logits": output.logits[0].tolist(),
    "heatmap": list(model.artifact_heatmaps(output).shape),
    "labels": sorted(row["label"] for row in labels),
}))
"""


def load_as_stranger(name, hub, home: Path, token=None, revision="") -> dict:
    import json

    folder = home / "empty"
    folder.mkdir(parents=True, exist_ok=True)
    environment = hub.environment(home, token) if hub else {"HF_HUB_OFFLINE": "1"}
    environment = {**environment, "PATH": "/usr/bin:/bin", "HF_HOME": str(home)}
    environment.pop("PYTHONPATH", None)
    points = json.dumps((template_points() + 20).tolist())
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, str(name), revision, points],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.strip().splitlines()[-1])


def test_folder_loads_where_the_package_is_not_installed(tmp_path):
    torch.manual_seed(4)
    model = CaddmForDeepfakeDetection(CaddmConfig("resnet18", artifact_width=16)).eval()
    processor = CaddmImageProcessor()
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    found = load_as_stranger(tmp_path / "model", None, tmp_path / "home")
    assert found["logits"] == pytest.approx(answer(model, processor), abs=1e-5)
    assert found["heatmap"] == [1, 224, 224]
    assert found["labels"] == ["fake", "real"]


def test_private_repository_and_pinned_revision(hub, tmp_path):
    home = tmp_path / "alice"
    first = hub.run_client(push, home, "tok-alice", args=("alice/caddm", True, 1))
    pinned = hub.repo("alice/caddm").head.sha
    second = hub.run_client(push, home, "tok-alice", args=("alice/caddm", True, 2))
    assert first["logits"] != pytest.approx(second["logits"], abs=1e-4)

    repository = hub.repo("alice/caddm")
    assert repository.private
    files = set(repository.files("main"))
    assert files >= {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert files >= CODE
    foreign = {name for name in files if name.endswith(".py")} - CODE
    assert not foreign, "more code than the model needs is pushed"

    stranger = tmp_path / "stranger"
    new = load_as_stranger("alice/caddm", hub, stranger, "tok-alice")
    assert new["logits"] == pytest.approx(second["logits"], abs=1e-5)
    old = load_as_stranger("alice/caddm", hub, stranger, "tok-alice", pinned)
    assert old["logits"] == pytest.approx(first["logits"], abs=1e-5)

    refused = hub.run_client(load_through_package, tmp_path / "bob", "tok-bob", args=(None,))
    assert "was not found on the Hub, or is private" in refused["error"]
    anonymous = hub.run_client(load_through_package, tmp_path / "nobody", args=(None,))
    assert "was not found on the Hub, or is private" in anonymous["error"]
    allowed = hub.run_client(load_through_package, home, "tok-alice", args=(pinned,))
    assert allowed["revision"] == pinned
    assert allowed["logits"] == pytest.approx(first["logits"], abs=1e-5)
    shutil.rmtree(stranger)


def load_through_package(revision: str | None) -> dict:
    """In a client process: what the command line and the app do with a Hub id."""
    from caddm_hf.checkpoint.loading import load_model
    from caddm_hf.core.errors import ModelError

    try:
        loaded = load_model("alice/caddm", revision=revision)
    except ModelError as error:
        return {"error": str(error)}
    return {
        "revision": loaded.revision,
        "logits": answer(loaded.model, loaded.image_processor),
    }
