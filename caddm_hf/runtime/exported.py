"""An exported network: one ONNX file, its required metadata, and its location.

ONNX Runtime and OpenVINO both read ONNX, so there is one format and one set of checks. A file is
untrusted until `read_exported` has checked that it is small enough, refers to no other file, uses
standard ONNX operators only, computes three outputs of the right shapes with intermediate values of
bounded size, and was made from the weights and input contract of the model in use. Custom operator
libraries are never loaded.
"""

import importlib.util
import json
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.constants import HF_ASSETS_CACHE

from ..checkpoint.loading import LoadedModel, weights_digest
from ..core.errors import ModelError
from ..model.multibox import NUM_ANCHORS
from .names import INT8_SUFFIX

FORMAT = 1  # bump this when older exports must no longer be accepted
METADATA_KEY = "caddm"
FILE_NAME = "caddm-network"
INPUT = "pixel_values"
OUTPUTS = {"logits": (2,), "anchor_offsets": (NUM_ANCHORS, 4), "anchor_logits": (NUM_ANCHORS, 2)}

MOST_BYTES = 2**31 - 1  # the largest message in protobuf
SPARE_BYTES = 16 * 2**20  # for the graph without the weights
MOST_METADATA = 16_384
MOST_NODES = 20_000
MOST_CONSTANT = 4096  # values of a tensor inside the graph
# Values of an intermediate map per pixel of the crop: EfficientNet-b4's largest map has 36.
VALUES_PER_PIXEL = 256
KEPT_IN_CACHE = 8

NETWORK_FIELDS = ("backbone", "artifact_width", "image_size")
PROCESSOR_FIELDS = (
    "size",
    "align_scale",
    "eye_height",
    "channel_order",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)


@dataclass
class ExportedNetwork:
    """An export that passed every check.

    Attributes:
        content: the ONNX file; None after `hand_over`.
        runtime: the intended one, "onnx" or "openvino"; both can read the file.
        int8: whether the network is quantised.
    """

    content: bytes | None
    runtime: str
    int8: bool

    def hand_over(self) -> bytes:
        """Return the file once, and release it: a runtime makes its own copy of the weights."""
        content, self.content = self.content, None
        if content is None:
            raise ValueError("This export was handed over already: read it again.")
        return content


def onnx_installed() -> bool:
    """Return whether the packages for exporting and reading exports are installed."""
    return all(importlib.util.find_spec(package) for package in ("onnx", "onnxslim"))


def contract(loaded: LoadedModel) -> dict:
    """Return the values that, besides the weights, determine the network and its input."""
    config, processor = loaded.model.config, loaded.image_processor
    return {
        "network": {name: getattr(config, name) for name in NETWORK_FIELDS},
        "processor": {name: getattr(processor, name) for name in PROCESSOR_FIELDS},
    }


def fingerprint(loaded: LoadedModel) -> str:
    """Return a digest of the weights and the contract."""
    stated = json.dumps([FORMAT, contract(loaded)], sort_keys=True).encode()
    return weights_digest(loaded.model, stated)


def export_in_folder(folder: Path, int8: bool) -> Path:
    """Return the path of the export in a model folder."""
    return folder / f"{FILE_NAME}{INT8_SUFFIX if int8 else ''}.onnx"


def cache_folder() -> Path:
    """Return the folder for exports made on first use, or of models without a local folder."""
    return Path(HF_ASSETS_CACHE) / "caddm-hf" / "networks"


def export_in_cache(model_fingerprint: str, int8: bool) -> Path:
    """Return the path of a model's export in the cache."""
    return cache_folder() / f"{model_fingerprint}{INT8_SUFFIX if int8 else ''}.onnx"


def trim_cache() -> None:
    """Remove all but the latest exports of the cache."""
    found = [(path.stat().st_mtime, path) for path in cache_folder().glob("*.onnx")]
    for _, path in sorted(found, reverse=True)[KEPT_IN_CACHE:]:
        path.unlink(missing_ok=True)


def read_exported(path: Path, loaded: LoadedModel, model_fingerprint: str) -> ExportedNetwork:
    """Read an export and run all checks.

    Args:
        path: the file.
        loaded: the model from which the export must have been made.
        model_fingerprint: of that model.

    Raises:
        ModelError: the file cannot be used; the message is one sentence.
    """
    import onnx
    from google.protobuf.message import DecodeError

    content = _read_bounded(path, loaded)
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise ModelError(f"Export '{path}' is not an ONNX file, or is damaged.") from None
    stated = _metadata(path, model)
    if stated.get("format") != FORMAT:
        raise _stale(path, "is of another format")
    for part, mine in json.loads(json.dumps(contract(loaded))).items():
        if stated.get(part) != mine:
            raise _stale(path, f"was made for another {part}")
    if stated.get("fingerprint") != model_fingerprint:
        raise _stale(path, "was made from other weights")
    runtime, int8 = stated.get("runtime"), stated.get("int8")
    if runtime not in ("onnx", "openvino") or not isinstance(int8, bool):
        raise ModelError(f"Export '{path}' does not say what it is meant for.")
    try:
        check_graph(model, loaded.model.config.image_size)
    except ValueError as error:
        raise ModelError(f"Export '{path}' is refused: {error}.") from None
    return ExportedNetwork(content, runtime, int8)


def write_metadata(model, loaded: LoadedModel, model_fingerprint: str, runtime: str, int8: bool):
    """Write the metadata that `read_exported` requires into an `onnx.ModelProto`."""
    stated = {
        "format": FORMAT,
        **contract(loaded),
        "fingerprint": model_fingerprint,
        "runtime": runtime,
        "int8": int8,
    }
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(stated, sort_keys=True))


def check_graph(model, image_size: int) -> None:
    """Refuse an `onnx.ModelProto` that is not a plain network of bounded cost.

    Args:
        model: the parsed file.
        image_size: side of the crops in pixels.

    Raises:
        ValueError: the graph is refused; the message is a clause without a full stop.
    """
    import onnx

    graph = model.graph
    _check_operators(model)
    initializers = {tensor.name for tensor in graph.initializer}
    if len(initializers) != len(graph.initializer):
        raise ValueError("two of its weights have one name")
    side = (3, image_size, image_size)
    _check_values(graph.input, {INPUT: side}, "inputs")
    _check_values(graph.output, OUTPUTS, "outputs")
    if {value.name for value in graph.input} & initializers:
        raise ValueError("its input is a stored weight")
    try:
        inferred = onnx.shape_inference.infer_shapes(
            _skeleton(model), check_type=True, strict_mode=True, data_prop=True
        )
    except Exception as error:  # onnx raises types of its extension module
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"its graph does not fit together ({reason})") from None
    _check_values(inferred.graph.output, OUTPUTS, "outputs")
    known = {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
    # A value may also be a dequantised weight (int8 to float32).
    weights = (math.prod(tensor.dims) for tensor in graph.initializer)
    most = max(VALUES_PER_PIXEL * image_size**2, *weights)
    for node in graph.node:
        for name in filter(None, node.output):
            dims = _dims(known[name]) if name in known else None
            if dims is None or any(not isinstance(dim, int) for dim in dims[1:]):
                raise ValueError(f"the size of its value '{name[:80]}' is not fixed")
            if math.prod(dim for dim in dims if isinstance(dim, int)) > most:
                raise ValueError(f"its value '{name[:80]}' is too large")


def _read_bounded(path: Path, loaded: LoadedModel) -> bytes:
    tensors = loaded.model.state_dict().values()
    weights = sum(4 * tensor.numel() for tensor in tensors)
    most = min(MOST_BYTES, weights + weights // 4 + SPARE_BYTES)
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ModelError(f"Export '{path}' is not a file.")
            content = file.read(most + 1)
    except OSError as error:
        raise ModelError(f"Export '{path}' cannot be read: {error.strerror}.") from None
    if len(content) > most:
        raise ModelError(f"Export '{path}' is larger than the model's weights can be.")
    return content


def _metadata(path: Path, model) -> dict:
    """Return the file's metadata; refuse other entries, which could configure a runtime."""
    entries = {entry.key: entry.value for entry in model.metadata_props}
    text = entries.get(METADATA_KEY, "")
    if set(entries) != {METADATA_KEY} or len(text) > MOST_METADATA:
        raise ModelError(f"Export '{path}' was not made by python -m caddm_hf export.")
    try:
        stated = json.loads(text)
    except (ValueError, RecursionError):
        stated = None
    if not isinstance(stated, dict):
        raise ModelError(f"Export '{path}' was not made by python -m caddm_hf export.")
    return stated


def _stale(path: Path, reason: str) -> ModelError:
    return ModelError(f"Export '{path}' {reason}: run python -m caddm_hf export again.")


def _check_operators(model) -> None:
    """Require standard operators without subgraphs, and tensors stored in the file itself."""
    import onnx

    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise ValueError("it holds functions, training steps or sparse weights")
    if {opset.domain for opset in model.opset_import} - {"", "ai.onnx"}:
        raise ValueError("it needs operators outside the ONNX standard")
    if len(graph.node) > MOST_NODES:
        raise ValueError(f"it has more than {MOST_NODES:,} operators")
    tensors = list(graph.initializer)
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ValueError("it needs operators outside the ONNX standard")
        for attribute in node.attribute:
            kind = onnx.AttributeProto
            if attribute.type in (kind.GRAPH, kind.GRAPHS) or attribute.HasField("g"):
                raise ValueError("it holds loops or branches")
            if attribute.type in (kind.SPARSE_TENSOR, kind.SPARSE_TENSORS):
                raise ValueError("it holds sparse weights")
            inner = [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
            if any(math.prod(tensor.dims) > MOST_CONSTANT for tensor in inner):
                raise ValueError("its graph holds large constants")
            tensors += inner
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError("it keeps weights in another file")


def _dims(value) -> list[int | str | None] | None:
    """Return the sizes of a value, names for dynamic ones; None if the rank is unknown."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in value.type.tensor_type.shape.dim
    ]


def _check_values(values, wanted: dict[str, tuple[int, ...]], title: str) -> None:
    """Require exactly these float32 values, each (batch, *shape) with a dynamic batch size."""
    import onnx

    if [value.name for value in values] != list(wanted):
        raise ValueError(f"its {title} are not {', '.join(wanted)}")
    for value in values:
        dims = _dims(value)
        fits = dims is not None and tuple(dims[1:]) == wanted[value.name]
        is_float = value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        if not (fits and is_float and isinstance(dims[0], str)):
            shape = ", ".join(map(str, ("batch", *wanted[value.name])))
            raise ValueError(f"its '{value.name}' is not float32 of shape ({shape})")


def _skeleton(model):
    """Return the model with large weights as inputs: shape inference needs only their shapes."""
    import onnx

    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.name = "skeleton"
    bare.graph.node.extend(model.graph.node)
    bare.graph.input.extend(model.graph.input)
    bare.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > MOST_CONSTANT:
            bare.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        else:
            bare.graph.initializer.append(tensor)
    return bare
