"""Every backend answers like torch, and no file but a fitting export is ever run."""

import importlib.util
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from caddm_hf import exported_network, inference_backends
from caddm_hf.backend_names import BACKENDS, RUNTIMES
from caddm_hf.configuration_caddm import CaddmConfig
from caddm_hf.crop_scoring import TorchNetwork
from caddm_hf.exported_network import export_in_cache, export_in_folder, fingerprint, read_exported
from caddm_hf.image_processing_caddm import CaddmImageProcessor
from caddm_hf.inference_backends import PACKAGES, open_network, run_exported
from caddm_hf.model_loading import LoadedModel, ModelError
from caddm_hf.modeling_caddm import CaddmForDeepfakeDetection
from caddm_hf.network_export import export_network
from caddm_hf.video_detection import VideoDetector

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
CPU = torch.device("cpu")


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


@pytest.fixture(scope="module", params=["tf_efficientnet_lite0", "resnet34"])
def exported(request, tmp_path_factory) -> tuple[LoadedModel, Path]:
    if not HAS_ONNX:
        pytest.skip("the optional package onnx is not installed")
    loaded = made_model(request.param)
    path = tmp_path_factory.mktemp("export") / "network.onnx"
    export_network(loaded, path, fingerprint(loaded), "onnx")
    return loaded, path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[LoadedModel, Path]:
    if not HAS_ONNX:
        pytest.skip("the optional package onnx is not installed")
    loaded = made_model("resnet18", 8, image_size=64)
    path = tmp_path_factory.mktemp("small") / "network.onnx"
    export_network(loaded, path, fingerprint(loaded), "onnx")
    return loaded, path


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
    assert first.runtime in INSTALLED
    (path,) = own_cache.rglob("*.onnx")
    assert path == export_in_cache(fingerprint(loaded), int8=False)
    made = path.stat().st_mtime_ns
    monkeypatch.setattr(inference_backends, "export_network", pytest.fail)
    assert open_network(loaded, "cpu").runtime == first.runtime
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
    assert open_network(named, "cpu").runtime in INSTALLED  # its own, from the cache
    with pytest.raises(ModelError, match=r"export made --backend .* --int8"):
        open_network(loaded, "cpu", f"{INSTALLED[0]}-int8")


@needs_runtime
def test_stale_export_in_the_folder_is_refused_and_said(tmp_path, caplog):
    loaded = made_model("resnet18", 8, image_size=64)
    path = export_in_folder(tmp_path, int8=False)
    export_network(loaded, path, fingerprint(loaded), INSTALLED[0])
    loaded = LoadedModel(loaded.model, loaded.image_processor, str(tmp_path))
    assert open_network(loaded, "cpu").runtime == INSTALLED[0]
    with torch.no_grad():
        loaded.model.classifier.bias += 1
    assert isinstance(open_network(loaded, "cpu"), TorchNetwork)
    assert "made from other weights" in caplog.text
    with pytest.raises(ModelError, match="made from other weights"):
        open_network(loaded, "cpu", INSTALLED[0])


@needs_onnx
def test_other_input_contract_is_refused(small):
    loaded, path = small
    changed = CaddmImageProcessor(size=64, channel_order="bgr")
    loaded = LoadedModel(loaded.model, changed, "made")
    with pytest.raises(ModelError, match="made for another processor"):
        read_exported(path, loaded, fingerprint(loaded))


@each_runtime
def test_export_that_answers_differently_is_refused(small, runtime):
    """The right metadata over the wrong weights."""
    import onnx
    from onnx import numpy_helper

    loaded, path = small
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("classifier.bias"):
            tensor.CopyFrom(numpy_helper.from_array(np.array([0, 3], np.float32), tensor.name))
    path = path.with_name("altered.onnx")
    onnx.save(model, path)
    exported = read_exported(path, loaded, fingerprint(loaded))
    with pytest.raises(ModelError, match="answers differently"):
        run_exported(exported, runtime, loaded)


def _external(model):
    import onnx

    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _external_constant(model):
    import onnx

    tensor = onnx.TensorProto(name="t", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="secret")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["t"], value=tensor))


def _custom_operator(model):
    model.graph.node[0].domain = "com.evil"


def _custom_opset(model):
    model.opset_import.add(domain="com.microsoft", version=1)


def _function(model):
    model.functions.add(name="f", domain="local")


def _loop(model):
    import onnx

    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", [], ["x"], body=body))


def _renamed_input(model):
    model.graph.input[0].name = "image"


def _extra_output(model):
    model.graph.output.append(model.graph.output[0])


def _other_shape(model):
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3


def _fixed_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 10**9


def _huge_value(model):
    """A few bytes that ask for a terabyte."""
    import onnx

    pads = onnx.numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 10**6, 10**5]), "pads")
    model.graph.initializer.append(pads)
    model.graph.node.insert(0, onnx.helper.make_node("Pad", ["pixel_values", "pads"], ["big"]))


def _unknown_size(model):
    import onnx

    model.graph.node.insert(0, onnx.helper.make_node("NonZero", ["pixel_values"], ["found"]))


def _many_operators(model):
    import onnx

    last = "pixel_values"
    for number in range(exported_network.MOST_NODES):
        model.graph.node.append(onnx.helper.make_node("Relu", [last], [f"r{number}"]))
        last = f"r{number}"


def _strange_metadata(model):
    model.metadata_props.add(key="ort_config", value="{}")


def _no_metadata(model):
    del model.metadata_props[:]


def _nested_metadata(model):
    model.metadata_props[0].value = "[" * 16_000


def _other_runtime(model):
    stated = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps(stated | {"runtime": "/tmp/lib.so"})


@needs_onnx
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_external, "another file"),
        (_external_constant, "another file"),
        (_custom_operator, "outside the ONNX standard"),
        (_custom_opset, "outside the ONNX standard"),
        (_function, "functions"),
        (_loop, "loops or branches"),
        (_renamed_input, "inputs are not pixel_values"),
        (_extra_output, "outputs are not logits"),
        (_other_shape, r"'logits' is not float32 of shape \(batch, 2\)"),
        (_fixed_batch, r"'pixel_values' is not float32 of shape \(batch, 3, 64, 64\)"),
        (_huge_value, "value 'big' is too large"),
        (_unknown_size, "size of its value 'found' is not fixed"),
        (_many_operators, "more than 20,000 operators"),
        (_strange_metadata, "was not made by"),
        (_no_metadata, "was not made by"),
        (_nested_metadata, "was not made by"),
        (_other_runtime, "does not say what it is meant for"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_hostile_exports_are_refused_in_one_sentence(small, tmp_path, change, sentence):
    import onnx

    loaded, path = small
    model = onnx.ModelProto.FromString(path.read_bytes())
    change(model)
    path = tmp_path / "hostile.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=sentence) as caught:
        read_exported(path, loaded, fingerprint(loaded))
    assert "\n" not in str(caught.value)


@needs_onnx
def test_what_is_no_file_of_fitting_size_is_refused(small, tmp_path, monkeypatch):
    loaded, path = small
    known = fingerprint(loaded)
    with pytest.raises(ModelError, match="cannot be read"):
        read_exported(tmp_path / "missing.onnx", loaded, known)
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="not an ONNX file"):
        read_exported(garbage, loaded, known)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.onnx")
        with pytest.raises(ModelError, match="is not a file"):
            read_exported(tmp_path / "pipe.onnx", loaded, known)
    weights = sum(4 * tensor.numel() for tensor in loaded.model.state_dict().values())
    monkeypatch.setattr(exported_network, "SPARE_BYTES", 1000 - weights - weights // 4)
    with pytest.raises(ModelError, match="larger than"):
        read_exported(path, loaded, known)


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
    assert set(inference_backends.DTYPES) < set(BACKENDS)
    assert {"auto", "torch", "onnx", "openvino", "onnx-int8", "openvino-int8"} < set(BACKENDS)
