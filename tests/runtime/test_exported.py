"""No file but an export that fits the model is ever run."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from caddm_hf.checkpoint.loading import LoadedModel
from caddm_hf.core.errors import ModelError
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.runtime import exported as exported_network
from caddm_hf.runtime.backends import run_exported
from caddm_hf.runtime.exported import fingerprint, read_exported
from support.made_exports import each_runtime, exported_small_model, needs_onnx


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[LoadedModel, Path]:
    return exported_small_model(tmp_path_factory.mktemp("small"))


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
