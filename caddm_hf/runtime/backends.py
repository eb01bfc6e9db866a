"""The network in torch, ONNX Runtime or OpenVINO, behind the interface `CropNetwork`.

    network = open_network(loaded, device, "auto")
    detector = VideoDetector(loaded, config, device, network=network)

Torch is always available. The other two run an exported file (`runtime.exported`) from the model's
folder or a cache. It is exported on first use if that takes only seconds. Before an export is used,
its output on two crops is compared with torch.
"""

import importlib.util
import logging
from pathlib import Path
from queue import SimpleQueue

import cv2
import numpy as np
import torch
from torch import Tensor

from ..checkpoint.loading import LoadedModel
from ..core.errors import ModelError
from ..core.memory import return_freed_memory
from ..model.modeling_caddm import CaddmOutput
from .export import export_network
from .exported import (
    INPUT,
    OUTPUTS,
    ExportedNetwork,
    cache_folder,
    export_in_cache,
    export_in_folder,
    fingerprint,
    onnx_installed,
    read_exported,
    trim_cache,
)
from .names import BACKENDS, INT8_SUFFIX, RUNTIMES
from .network import DTYPES, CropNetwork, TorchNetwork

logger = logging.getLogger(__name__)

PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
# Order of preference if both are installed and no export states a runtime; see docs/speed.md.
PREFERRED = ("openvino", "onnx")
# Networks up to this size are exported on first use; of the paper's networks only ResNet-34.
MOST_EXPORTED_UNASKED = 60_000_000
# Largest allowed difference of probabilities from torch. Int8 changes probabilities, so its limit
# detects only broken exports.
TOLERANCE = 1e-3
INT8_TOLERANCE = 0.25


class OnnxNetwork:
    """An exported network in ONNX Runtime; each call runs on the core of its caller.

    Args:
        exported: the checked export.
    """

    def __init__(self, exported: ExportedNetwork):
        import onnxruntime

        self.backend = "onnx" + (INT8_SUFFIX if exported.int8 else "")
        self.calls_at_once = torch.get_num_threads()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # would never release the largest batch's memory
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            exported.hand_over(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        return _output(self._session.run(list(OUTPUTS), {INPUT: pixel_values.float().numpy()}))


class OpenVinoNetwork:
    """An exported network in OpenVINO; each call runs on one core.

    Args:
        exported: the checked export.
    """

    def __init__(self, exported: ExportedNetwork):
        import openvino

        self.backend = "openvino" + (INT8_SUFFIX if exported.int8 else "")
        self.calls_at_once = torch.get_num_threads()
        core = openvino.Core()
        self._compiled = core.compile_model(
            core.read_model(exported.hand_over()),
            "CPU",
            {
                # The default is bfloat16 on some CPUs.
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": self.calls_at_once,
                "NUM_STREAMS": self.calls_at_once,
                # Workers of `score --workers` must not all be pinned to the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._requests: SimpleQueue = SimpleQueue()
        for _ in range(self.calls_at_once):
            self._requests.put(self._compiled.create_infer_request())

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        request = self._requests.get()
        try:
            request.infer([pixel_values.float().numpy()], share_inputs=True)
            # Copy, because the next call overwrites the request's arrays.
            return _output([request.get_tensor(name).data.copy() for name in OUTPUTS])
        finally:
            self._requests.put(request)


def _output(arrays: list[np.ndarray]) -> CaddmOutput:
    return CaddmOutput(**dict(zip(OUTPUTS, map(torch.from_numpy, arrays), strict=True)))


def installed_runtimes() -> list[str]:
    """Return which of "openvino" and "onnx" are installed, the preferred one first."""
    if not onnx_installed():
        return []
    return [name for name in PREFERRED if importlib.util.find_spec(PACKAGES[name])]


def open_network(
    loaded: LoadedModel, device: torch.device | str | None = None, backend: str = "auto"
) -> CropNetwork:
    """Open a model's network in a backend.

    "auto" is torch on a GPU, for an untrained model, and if no runtime is installed. Otherwise it
    is the runtime of an existing export, or of a new one if exporting is quick. If that fails, the
    error is logged and torch is used. "auto" never chooses int8, which changes the output.

    Args:
        loaded: the model.
        device: torch device; by default a GPU if there is one.
        backend: one of `BACKENDS`.

    Raises:
        ModelError: the requested backend cannot be used; the message is one sentence.
    """
    if backend not in BACKENDS:
        raise ModelError(f"There is no backend '{backend}': choose from {', '.join(BACKENDS)}.")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if backend in DTYPES:
        return TorchNetwork(loaded.model, device, DTYPES[backend])
    if backend == "auto":
        runtimes = installed_runtimes()
        if device.type == "cpu" and loaded.model.config.trained and runtimes:
            try:
                exported = _find_or_make(loaded, runtimes[0], int8=False)
                runtime = exported.runtime if exported.runtime in runtimes else runtimes[0]
                return run_exported(exported, runtime, loaded)
            except (ModelError, OSError) as error:
                logger.warning("The network runs in torch. %s", error)
        return TorchNetwork(loaded.model, device)
    if backend == "torch":
        return TorchNetwork(loaded.model, device)
    runtime = backend.removesuffix(INT8_SUFFIX)
    if runtime not in installed_runtimes():
        raise ModelError(
            f"Backend {backend} needs the packages onnx, onnxslim and {PACKAGES[runtime]}: "
            "pip install -r requirements-backends.txt."
        )
    if device.type != "cpu":
        raise ModelError(f"Backend {backend} computes on the CPU, not on {device}.")
    try:
        exported = _find_or_make(loaded, runtime, int8=backend.endswith(INT8_SUFFIX))
    except OSError as error:
        raise ModelError(f"The export cannot be stored: {error}.") from error
    return run_exported(exported, runtime, loaded)


def _find_or_make(loaded: LoadedModel, runtime: str, int8: bool) -> ExportedNetwork:
    """Return the export in the model's folder, else in the cache, else a new one.

    Raises:
        ModelError: the folder's export cannot be used, or there is none and the network is too
            large to export on first use.
        OSError: a new export cannot be written.
    """
    folder = Path(loaded.name)
    in_folder = export_in_folder(folder, int8)
    cheap = not int8 and loaded.model.num_parameters() <= MOST_EXPORTED_UNASKED
    if in_folder.exists():
        return read_exported(in_folder, loaded, fingerprint(loaded))
    if cheap or cache_folder().is_dir():
        model_fingerprint = fingerprint(loaded)
        cached = export_in_cache(model_fingerprint, int8)
        if cached.exists():
            try:
                return read_exported(cached, loaded, model_fingerprint)
            except ModelError:
                if not cheap:
                    raise
        if cheap:
            export_network(loaded, cached, model_fingerprint, runtime)
            trim_cache()
            return read_exported(cached, loaded, model_fingerprint)
    option = " --int8" if int8 else ""
    raise ModelError(
        f"Model '{loaded.name}' has no {'int8 ' if int8 else ''}export: run python -m caddm_hf "
        f"export {loaded.name} --backend {runtime}{option}."
    )


def run_exported(exported: ExportedNetwork, runtime: str, loaded: LoadedModel) -> CropNetwork:
    """Open an export in a runtime, and compare its output with torch.

    Args:
        exported: the checked export; its content is released.
        runtime: one of `RUNTIMES`.
        loaded: the exported model.

    Raises:
        ModelError: the runtime cannot load the export, or its output differs.
    """
    assert runtime in RUNTIMES, runtime
    # A runtime makes its own copy of the weights, so several are in memory for a while.
    return_freed_memory()
    try:
        network = (OnnxNetwork if runtime == "onnx" else OpenVinoNetwork)(exported)
        return_freed_memory()
        difference = largest_difference(network, loaded)
    except Exception as error:  # the runtimes' exception types may not be importable
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"The export does not run in {PACKAGES[runtime]}: {reason}") from error
    tolerance = INT8_TOLERANCE if exported.int8 else TOLERANCE
    if not difference <= tolerance:  # NaN too
        raise ModelError(
            f"The export answers differently from the model's weights in {PACKAGES[runtime]} "
            f"(probabilities by up to {difference:.2g}, allowed {tolerance:.2g})."
        )
    return_freed_memory()
    return network


@torch.inference_mode()
def largest_difference(network: CropNetwork, loaded: LoadedModel, crops_rgb=None) -> float:
    """Return the largest difference of a crop's or an anchor's probability from float32 torch.

    Args:
        network: the network to compare.
        loaded: the model.
        crops_rgb: (S, S, 3) uint8 each; by default two from `coloured_clouds`.
    """
    if crops_rgb is None:
        crops_rgb = coloured_clouds(loaded.image_processor.size, 2, np.random.default_rng(0))
    pixel_values = loaded.image_processor.pixel_values(crops_rgb)
    model = loaded.model
    first = next(model.parameters())
    theirs, ours = network(pixel_values), model(pixel_values.to(first.device, first.dtype))
    both = [
        (model.fake_probability(output).float().cpu(), output.anchor_logits.float().cpu())
        for output in (theirs, ours)
    ]
    (label_a, anchors_a), (label_b, anchors_b) = both
    anchors = (anchors_a.softmax(-1) - anchors_b.softmax(-1)).abs().max()
    return float(torch.maximum((label_a - label_b).abs().max(), anchors))


def coloured_clouds(size: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return (size, size, 3) uint8 test pictures, smooth and rough in turn."""
    grids = [(5, 23)[number % 2] for number in range(count)]
    coarse = [rng.integers(20, 236, (cells, cells, 3), np.uint8) for cells in grids]
    return [cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC) for c in coarse]
