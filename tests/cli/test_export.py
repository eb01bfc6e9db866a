"""`python -m caddm_hf export`, and what it says where it cannot."""

import re

import pytest
import torch

from caddm_hf.checkpoint.loading import load_model
from caddm_hf.cli.main import build_parser, main
from caddm_hf.runtime import exported as exported_network
from caddm_hf.runtime.backends import open_network
from caddm_hf.runtime.exported import export_in_folder
from caddm_hf.runtime.network import TorchNetwork
from support.made_collection import write_collection
from support.made_exports import INSTALLED, made_model, needs_runtime

needs_onnxruntime = pytest.mark.skipif(
    "onnx" not in INSTALLED, reason="the optional packages onnx and onnxruntime are not installed"
)


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(exported_network, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    loaded = made_model("resnet18", 8, image_size=64)
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.image_processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@needs_runtime
@pytest.mark.parametrize("runtime", INSTALLED)
def test_export_into_the_model_folder_serves(model_folder, runtime, capsys):
    assert main(["export", str(model_folder), "--backend", runtime]) == 0
    printed = capsys.readouterr().out.splitlines()
    path = export_in_folder(model_folder, int8=False)
    assert printed[0] == str(path)
    assert float(re.search(r"[\d.e-]+$", printed[1])[0]) < 1e-3
    assert open_network(load_model(model_folder), "cpu").backend == runtime
    assert not [entry for entry in model_folder.iterdir() if entry.name.startswith(".")]


@needs_runtime
def test_export_elsewhere(model_folder, tmp_path, capsys):
    assert main(["export", str(model_folder), str(tmp_path / "new" / "net.onnx")]) == 0
    assert (tmp_path / "new" / "net.onnx").is_file()
    assert main(["export", str(model_folder), str(tmp_path / "out")]) == 0
    assert export_in_folder(tmp_path / "out", int8=False).is_file()
    assert not export_in_folder(model_folder, int8=False).exists()


@needs_onnxruntime
def test_int8_states_its_change_of_auc(model_folder, tmp_path, capsys):
    collection = write_collection(tmp_path / "frames", 12, 12, frames=1)
    command = ["export", str(model_folder), "--int8", "--data", str(collection)]
    command += ["--split", "validation", "--backend", "onnx"]
    assert main(command) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    found = re.search(
        r"AUC on (\d+) videos of .*: float32 ([\d.]+), int8 ([\d.]+), change ([+-][\d.]+) "
        r"\(95% interval ([+-][\d.]+) to ([+-][\d.]+)\)",
        printed,
    )
    videos, before, after, change, low, high = map(float, found.groups())
    assert videos == 18  # of 24, a quarter gave the ranges
    assert change == pytest.approx(after - before, abs=2e-4)
    assert low <= change <= high
    loaded = load_model(model_folder)
    int8 = open_network(loaded, "cpu", "onnx-int8")
    values = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        exact = TorchNetwork(loaded.model, torch.device("cpu"))(values).logits
    assert 0 < (int8(values).logits - exact).abs().max() < 1
    size = export_in_folder(model_folder, int8=True).stat().st_size
    assert size < 2 * sum(p.numel() for p in loaded.model.parameters())  # a byte a weight, not four


def test_one_sentence_where_nothing_is_installed(model_folder, monkeypatch, capsys):
    monkeypatch.setattr("caddm_hf.runtime.backends.onnx_installed", lambda: False)
    assert main(["export", str(model_folder)]) == 2
    assert "requirements-backends.txt" in capsys.readouterr().err


@needs_runtime
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no/such/model"], "neither a folder nor a Hub id"),
        (["MODEL", "--int8"], "--int8 and --data go together"),
        (["MODEL", "--data", "x"], "--int8 and --data go together"),
    ],
)
def test_wrong_use_is_one_sentence(model_folder, arguments, sentence, capsys):
    arguments = [str(model_folder) if word == "MODEL" else word for word in arguments]
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_score_takes_a_backend(capsys):
    parser = build_parser()
    assert parser.parse_args(["score", "x.mp4"]).backend == "auto"
    assert parser.parse_args(["score", "x.mp4", "--backend", "openvino"]).backend == "openvino"
    with pytest.raises(SystemExit):
        parser.parse_args(["score", "x.mp4", "--backend", "tensorrt"])
    assert "tensorrt" in capsys.readouterr().err
