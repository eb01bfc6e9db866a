"""What computes the network: torch, ONNX Runtime or OpenVINO, behind `CropNetwork`.

    network = open_network(loaded, device, "auto")
    detector = VideoDetector(loaded, config, device, network=network)

Torch is always available. The other two compute an exported file (`runtime.exported`), kept in
the model's folder or in a cache, and is made on first use where that takes a few seconds. Every
export has to answer like torch on two crops before it is used.
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
# Which runtime serves where both are installed and no export states another one; see docs/speed.md.
PREFERRED = ("openvino", "onnx")
# Networks up to this size are exported on first use; of the paper's only ResNet-34 is.
MOST_EXPORTED_UNASKED = 60_000_000
# Largest difference of probabilities, from torch: an int8 network is another network, this only
# only finds a broken one.
TOLERANCE = 1e-3
INT8_TOLERANCE = 0.25


class OnnxNetwork:
    """An exported network in ONNX Runtime; each call computes on the core of its caller.

    Args:
        exported: what passed the checks.
    """

    def __init__(self, exported: ExportedNetwork):
        import onnxruntime

        self.backend = "onnx" + (INT8_SUFFIX if exported.int8 else "")
        self.calls_at_once = torch.get_num_threads()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep the largest batch's memory for good
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            exported.hand_over(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixel_values: Tensor) -> CaddmOutput:
        """As `CropNetwork`."""
        return _output(self._session.run(list(OUTPUTS), {INPUT: pixel_values.float().numpy()}))


class OpenVinoNetwork:
    """An exported network in OpenVINO; each call computes on one core.

    Args:
        exported: what passed the checks.
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
                # On some CPUs it would compute in bfloat16.
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": self.calls_at_once,
                "NUM_STREAMS": self.calls_at_once,
                # Workers of `score --workers` must not all sit on the same cores.
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
            # Copied: the request's own arrays are overwritten by its next call.
            return _output([request.get_tensor(name).data.copy() for name in OUTPUTS])
        finally:
            self._requests.put(request)


def _output(arrays: list[np.ndarray]) -> CaddmOutput:
    return CaddmOutput(**dict(zip(OUTPUTS, map(torch.from_numpy, arrays), strict=True)))


def installed_runtimes() -> list[str]:
    """Those of "openvino" and "onnx" that can be used here, the preferred one first."""
    if not onnx_installed():
        return []
    return [name for name in PREFERRED if importlib.util.find_spec(PACKAGES[name])]


def open_network(
    loaded: LoadedModel, device: torch.device | str | None = None, backend: str = "auto"
) -> CropNetwork:
    """What computes a model's answers.

    "auto" is torch on a GPU, for a model without training and where no runtime is installed;
    else the runtime of the export that is found, or that can quickly be made. What goes wrong
    with that is logged, and torch serves. Int8 is never chosen automatically: it answers
    differently.

    Args:
        loaded: the model.
        device: torch device; by default a GPU if there is one.
        backend: one of `BACKENDS`.

    Raises:
        ModelError: in one sentence, why the backend that was asked for cannot be used.
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
    """The export in the model's folder, else in the cache, else a new one.

    Raises:
        ModelError: the folder's export cannot be used, or there is none and making one is left
            to its own command.
        OSError: a new one cannot be written.
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
    """An export in a runtime, once it has answered like torch.

    Args:
        exported: what passed the checks; its content is handed over.
        runtime: one of `RUNTIMES`.
        loaded: the model it stands for.

    Raises:
        ModelError: the runtime refuses it, or it answers differently.
    """
    assert runtime in RUNTIMES, runtime
    # While a runtime builds its own weights, several copies of them are in memory.
    return_freed_memory()
    try:
        network = (OnnxNetwork if runtime == "onnx" else OpenVinoNetwork)(exported)
        return_freed_memory()
        difference = largest_difference(network, loaded)
    except Exception as error:  # both have exception types of their own, which may be absent
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
    """Largest difference of a probability, of the crop or of an anchor, from float32 torch.

    Args:
        network: what is compared.
        loaded: the model.
        crops_rgb: (S, S, 3) uint8 each; two coloured clouds by default.
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
    """Pictures (size, size, 3) uint8 to compare networks on, smooth and rough by turns."""
    grids = [(5, 23)[number % 2] for number in range(count)]
    coarse = [rng.integers(20, 236, (cells, cells, 3), np.uint8) for cells in grids]
    return [cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC) for c in coarse]
