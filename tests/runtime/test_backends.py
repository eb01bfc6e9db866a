"""Every backend answers like torch; which export is used, made and kept."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from caddm_hf.checkpoint.loading import LoadedModel
from caddm_hf.core.errors import ModelError
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.runtime import backends as inference_backends
from caddm_hf.runtime import exported as exported_network
from caddm_hf.runtime.backends import open_network, run_exported
from caddm_hf.runtime.export import export_network
from caddm_hf.runtime.exported import export_in_cache, export_in_folder, fingerprint, read_exported
from caddm_hf.runtime.names import BACKENDS
from caddm_hf.runtime.network import DTYPES, TorchNetwork
from support.made_exports import (
    INSTALLED,
    each_runtime,
    exported_model,
    exported_small_model,
    made_crops,
    made_model,
    needs_onnx,
    needs_runtime,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["tf_efficientnet_lite0", "resnet34"])
def exported(request, tmp_path_factory) -> tuple[LoadedModel, Path]:
    return exported_model(tmp_path_factory.mktemp("export"), made_model(request.param))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[LoadedModel, Path]:
    return exported_small_model(tmp_path_factory.mktemp("small"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(exported_network, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    return tmp_path / "assets"


@torch.inference_mode()
def answers(network, loaded: LoadedModel, crops) -> list[np.ndarray]:
    output = network(loaded.image_processor.pixel_values(crops))
    return [
        loaded.model.fake_probability(output).numpy(),
        output.anchor_logits.softmax(-1).numpy(),
        output.anchor_offsets.numpy(),
    ]


@each_runtime
def test_probabilities_equal_torch(exported, runtime):
    loaded, path = exported
    network = run_exported(read_exported(path, loaded, fingerprint(loaded)), runtime, loaded)
    crops = made_crops()
    expected = answers(TorchNetwork(loaded.model, CPU), loaded, crops)
    assert np.ptp(expected[0]) > 0.05  # the crops are told apart, so being equal means something
    for mine, theirs in zip(answers(network, loaded, crops), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-3)
    one = answers(network, loaded, crops[:1])  # any batch size
    np.testing.assert_allclose(one[0], expected[0][:1], atol=1e-3)


@each_runtime
def test_calls_side_by_side_do_not_mix(small, runtime):
    loaded, path = small
    network = run_exported(read_exported(path, loaded, fingerprint(loaded)), runtime, loaded)
    crops = made_crops(64)
    expected = [answers(network, loaded, [crop])[0].item() for crop in crops]
    barrier = threading.Barrier(4)

    def call(number: int) -> float:
        if number < 4:
            barrier.wait(30)
        return answers(network, loaded, [crops[number % len(crops)]])[0].item()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, range(48)))
    np.testing.assert_allclose(found, [expected[n % len(crops)] for n in range(48)], atol=1e-5)


@each_runtime
def test_detector_gives_the_same_report(runtime, face_clip, tmp_path):
    loaded = made_model()
    by_torch = VideoDetector(loaded, device="cpu")(face_clip, frames=5)
    network = open_network(loaded, "cpu", runtime)
    by_export = VideoDetector(loaded, device="cpu", network=network)(face_clip, frames=5)
    scores = [
        [face.fake_probability for person in report.people for face in person.faces]
        for report in (by_torch, by_export)
    ]
    assert len(scores[0]) == 5
    np.testing.assert_allclose(*scores, atol=1e-3)


def test_half_precision_is_close():
    loaded = made_model(width=192)
    crops = made_crops()
    expected = answers(TorchNetwork(loaded.model, CPU), loaded, crops)
    half = answers(open_network(loaded, "cpu", "torch-bf16"), loaded, crops)
    # Eight bits of mantissa through 60 layers, and no training that would calm them.
    assert 0 < np.abs(half[0] - expected[0]).max() < 0.15
    whole = answers(open_network(loaded, "cpu", "torch-fp32"), loaded, crops)
    np.testing.assert_allclose(whole[0], expected[0], atol=1e-5)


def test_auto_is_torch_where_nothing_is_installed(monkeypatch):
    monkeypatch.setattr(inference_backends, "onnx_installed", lambda: False)
    loaded = made_model("resnet18", 8, image_size=64)
    assert isinstance(open_network(loaded, "cpu"), TorchNetwork)
    for name in ("onnx", "openvino", "onnx-int8", "openvino-int8"):
        with pytest.raises(ModelError, match=r"requirements-backends\.txt"):
            open_network(loaded, "cpu", name)
    with pytest.raises(ModelError, match="choose from auto, torch"):
        open_network(loaded, "cpu", "tensorrt")


@needs_runtime
def test_auto_exports_small_trained_models_once(own_cache, monkeypatch):
    loaded = made_model("resnet18", 8, image_size=64)
    first = open_network(loaded, "cpu")
    assert first.backend in INSTALLED
    (path,) = own_cache.rglob("*.onnx")
    assert path == export_in_cache(fingerprint(loaded), int8=False)
    made = path.stat().st_mtime_ns
    monkeypatch.setattr(inference_backends, "export_network", pytest.fail)
    assert open_network(loaded, "cpu").backend == first.backend
    assert path.stat().st_mtime_ns == made


@needs_runtime
def test_auto_leaves_large_and_untrained_models_to_torch(own_cache, monkeypatch):
    untrained = made_model("resnet18", 8, image_size=64, trained=False)
    assert isinstance(open_network(untrained, "cpu"), TorchNetwork)
    loaded = made_model("resnet18", 8, image_size=64)
    monkeypatch.setattr(inference_backends, "MOST_EXPORTED_UNASKED", 1000)
    assert isinstance(open_network(loaded, "cpu"), TorchNetwork)
    with pytest.raises(ModelError, match="caddm_hf export made --backend"):
        open_network(loaded, "cpu", INSTALLED[0])
    assert not own_cache.exists()


@needs_runtime
def test_int8_is_never_made_or_chosen_unasked(small, tmp_path):
    loaded, path = small
    folder = tmp_path / "model"
    folder.mkdir()
    export_in_folder(folder, int8=True).write_bytes(path.read_bytes())
    named = LoadedModel(loaded.model, loaded.image_processor, str(folder))
    assert open_network(named, "cpu").backend in INSTALLED  # its own, from the cache
    with pytest.raises(ModelError, match=r"export made --backend .* --int8"):
        open_network(loaded, "cpu", f"{INSTALLED[0]}-int8")


@needs_runtime
def test_stale_export_in_the_folder_is_refused_and_said(tmp_path, caplog):
    loaded = made_model("resnet18", 8, image_size=64)
    path = export_in_folder(tmp_path, int8=False)
    export_network(loaded, path, fingerprint(loaded), INSTALLED[0])
    loaded = LoadedModel(loaded.model, loaded.image_processor, str(tmp_path))
    assert open_network(loaded, "cpu").backend == INSTALLED[0]
    with torch.no_grad():
        loaded.model.classifier.bias += 1
    assert isinstance(open_network(loaded, "cpu"), TorchNetwork)
    assert "made from other weights" in caplog.text
    with pytest.raises(ModelError, match="made from other weights"):
        open_network(loaded, "cpu", INSTALLED[0])


@needs_runtime
def test_cache_keeps_a_few(own_cache, monkeypatch):
    monkeypatch.setattr(exported_network, "KEPT_IN_CACHE", 2)
    loaded = made_model("resnet18", 8, image_size=64)
    for number in range(4):
        with torch.no_grad():
            loaded.model.classifier.bias += 0.1
        open_network(loaded, "cpu")
        latest = export_in_cache(fingerprint(loaded), int8=False)
        os.utime(latest, (number, number))
    assert len(list(own_cache.rglob("*.onnx"))) <= 3
    assert latest.exists()


@needs_onnx
def test_interrupted_export_leaves_the_old_file(small, tmp_path, monkeypatch):
    loaded, _ = small
    path = tmp_path / "network.onnx"
    path.write_bytes(b"old")

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        export_network(loaded, path, fingerprint(loaded), "onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.onnx"]
    assert path.read_bytes() == b"old"


def test_every_name_can_be_asked_for():
    assert set(DTYPES) < set(BACKENDS)
    assert {"auto", "torch", "onnx", "openvino", "onnx-int8", "openvino-int8"} < set(BACKENDS)


@needs_onnx
def test_an_export_is_handed_over_once(small):
    loaded, path = small
    exported = read_exported(path, loaded, fingerprint(loaded))
    assert exported.hand_over() == path.read_bytes()
    with pytest.raises(ValueError, match="handed over"):
        exported.hand_over()
