"""A model -> an ONNX file that `runtime.exported` accepts, in float32 or int8."""

import io
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..checkpoint.loading import LoadedModel
from ..core.atomic_files import write_atomically
from ..core.errors import ModelError
from ..core.memory import return_freed_memory
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from .exported import (
    INPUT,
    MOST_BYTES,
    OUTPUTS,
    SPARE_BYTES,
    check_graph,
    onnx_installed,
    write_metadata,
)

OPSET = 17
TRACED_BATCH = 2
CALIBRATION_BATCH = 8


class _ThreeOutputs(nn.Module):
    """The model with a tuple of the outputs that the detector needs."""

    def __init__(self, model: CaddmForDeepfakeDetection):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        output = self.model(pixel_values)
        return tuple(output[name] for name in OUTPUTS)


class _PlainSizes(TorchFunctionMode):
    """Makes sizes plain numbers while a network is traced.

    Otherwise "same" padding, which EfficientNets compute from the size of each map, would become
    part of the graph, and runtimes could not merge it into the convolutions.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func is torch.Tensor.size:
            one = isinstance(result, int | Tensor)
            return int(result) if one else tuple(int(value) for value in result)
        return result


def export_network(
    loaded: LoadedModel, path: Path, model_fingerprint: str, runtime: str, int8_crops=None
) -> None:
    """Write a model's network to one file, atomically.

    Args:
        loaded: the model.
        path: the new file; its folder is created.
        model_fingerprint: `runtime.exported.fingerprint` of the model.
        runtime: "onnx" or "openvino", preferred if both are installed.
        int8_crops: quantise the network to int8, with the ranges of values measured on these
            typical aligned crops, (S, S, 3) uint8 RGB.

    Raises:
        ModelError: a package is not installed, or the network cannot be exported.
        OSError: the file cannot be written.
    """
    if not onnx_installed():
        raise ModelError(
            "Exporting needs the packages onnx and onnxslim: pip install -r "
            "requirements-backends.txt."
        )
    import onnx
    import onnxslim

    model = onnx.ModelProto.FromString(_trace(loaded.model))
    # The steps below hold several copies of the weights in memory.
    return_freed_memory()
    _free_batch(model)
    # Fold constant expressions, such as amounts of padding.
    model = onnxslim.slim(model)
    if int8_crops is not None:
        model = _quantise(model, loaded, int8_crops)
    write_metadata(model, loaded, model_fingerprint, runtime, int8_crops is not None)
    try:
        check_graph(model, loaded.model.config.image_size)
    except ValueError as error:
        raise ModelError(f"Model '{loaded.name}' cannot be exported: {error}.") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as file:
        file.write(model.SerializeToString())


def _trace(model: CaddmForDeepfakeDetection) -> bytes:
    size = sum(4 * tensor.numel() for tensor in model.state_dict().values())
    if size + SPARE_BYTES > MOST_BYTES:
        raise ModelError(
            "The network has more than 2 GiB of weights: one ONNX file cannot hold it."
        )
    first = next(model.parameters())
    example = torch.zeros(
        TRACED_BATCH,
        3,
        model.config.image_size,
        model.config.image_size,
        device=first.device,
        dtype=first.dtype,
    )
    content = io.BytesIO()
    # torch's newer exporter takes twenty times as long and needs two more packages.
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad(), _PlainSizes():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                _ThreeOutputs(model).eval(),
                (example,),
                content,
                dynamo=False,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                opset_version=OPSET,
            )
        except (RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"The network cannot be exported: {reason}") from error
    return content.getvalue()


def _free_batch(model) -> None:
    """Make the batch size dynamic in inputs, outputs and the targets of reshapes."""
    from onnx import numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
        elif node.op_type == "Reshape" and node.input[1] in constants:
            tensor = constants[node.input[1]]
            shape = numpy_helper.to_array(tensor).copy()
            if len(shape) > 1 and shape[0] == TRACED_BATCH:
                shape[0] = 0  # in ONNX: unchanged
                tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for value, shape in zip(graph.output, OUTPUTS.values(), strict=True):
        for dim, size in zip(value.type.tensor_type.shape.dim[1:], shape, strict=True):
            dim.dim_value = size
    del graph.value_info[:]


def _quantise(model, loaded: LoadedModel, crops_rgb: Sequence[np.ndarray]):
    """Return the network with int8 convolutions; typical crops supply the ranges of values."""
    try:
        from onnxruntime import quantization
    except ImportError:
        raise ModelError(
            "Quantising needs the package onnxruntime: pip install -r requirements-backends.txt."
        ) from None
    import onnx

    class Crops(quantization.CalibrationDataReader):
        def __init__(self):
            self.starts = iter(range(0, len(crops_rgb), CALIBRATION_BATCH))

        def get_next(self) -> dict | None:
            start = next(self.starts, None)
            if start is None:
                return None
            batch = crops_rgb[start : start + CALIBRATION_BATCH]
            return {INPUT: loaded.image_processor.pixel_values(batch).numpy()}

    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "int8.onnx")
        logging.getLogger().addFilter(_no_advice)
        try:
            quantization.quantize_static(
                model,
                target,
                Crops(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        finally:
            logging.getLogger().removeFilter(_no_advice)
        return onnx.load(target)


def _no_advice(record: logging.LogRecord) -> bool:
    """Filter onnxruntime's advice, on the root logger, to preprocess: that was done already."""
    return "pre-processing" not in record.getMessage()
