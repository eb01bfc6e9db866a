"""Measure the speed of each backend, and the difference of its results from torch.

Run from the repository's root, with requirements-backends.txt installed:

    python benchmarks/backends.py [--rounds 5] [--networks resnet34 tf_efficientnet_lite0]
    python benchmarks/backends.py --cpu-time --threads 1        on a machine with other work

Networks have random weights. "torch eager" is the original's method: contiguous tensors, one call,
all threads. The others are used as by `score`, with batches of eight divided among the cores
(`torch` is channels-last). Each round times every backend once on the same 32 crops, so that other
load on the machine affects all; medians are compared. The difference is the largest one of any
probability, of a crop or an anchor, from float32 torch.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import _paths  # noqa: F401
from caddm_hf.checkpoint.loading import LoadedModel
from caddm_hf.detector.scoring import CROPS_A_CORE
from caddm_hf.detector.threads import worker_threads
from caddm_hf.model.configuration_caddm import CaddmConfig
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.model.modeling_caddm import CaddmForDeepfakeDetection
from caddm_hf.runtime.backends import (
    coloured_clouds,
    installed_runtimes,
    largest_difference,
    run_exported,
)
from caddm_hf.runtime.export import export_network
from caddm_hf.runtime.exported import export_in_folder, fingerprint, read_exported
from caddm_hf.runtime.network import TorchNetwork

ARTIFACT_WIDTHS = {"tf_efficientnet_lite0": 192}  # the paper's module for the paper's backbones
NETWORKS = ("resnet34", "tf_efficientnet_lite0", "tf_efficientnet_b4")


def random_model(backbone: str, crops_rgb: list[np.ndarray]) -> LoadedModel:
    """Return a random network whose outputs depend on its input.

    Normalisation is fitted to some pictures: otherwise a deep random network is nearly constant.
    """
    torch.manual_seed(0)
    config = CaddmConfig(backbone=backbone, artifact_width=ARTIFACT_WIDTHS.get(backbone))
    model = CaddmForDeepfakeDetection(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(CaddmImageProcessor().pixel_values(crops_rgb))
    return LoadedModel(model.eval(), CaddmImageProcessor(), backbone)


def seconds(action: Callable[[], object], clock: Callable[[], float]) -> float:
    """Duration of a call by a clock."""
    start = clock()
    action()
    return clock() - start


def measure(backbone: str, options: argparse.Namespace) -> None:
    """Print the lines of one network."""
    clock = time.process_time if options.cpu_time else time.perf_counter
    crops = coloured_clouds(224, options.crops, np.random.default_rng(0))
    loaded = random_model(backbone, crops[:8])
    pixel_values = loaded.image_processor.pixel_values(crops)
    model_fingerprint = fingerprint(loaded)
    networks = {}
    with tempfile.TemporaryDirectory() as folder:
        path = export_in_folder(Path(folder), int8=False)
        runtimes = installed_runtimes()
        if runtimes:
            exporting = seconds(
                lambda: export_network(loaded, path, model_fingerprint, runtimes[0]), clock
            )
            print(f"{backbone}: exported in {exporting:.1f} s, {path.stat().st_size / 1e6:.0f} MB")
        for runtime in runtimes:
            exported = read_exported(path, loaded, model_fingerprint)
            networks[runtime] = run_exported(exported, runtime, loaded)
    eager = random_model(backbone, crops[:8]).model
    networks["torch"] = TorchNetwork(loaded.model, torch.device("cpu"))

    def divided(network) -> None:
        with worker_threads(network.calls_at_once) as pool, torch.inference_mode():
            list(pool.map(network, pixel_values.split(CROPS_A_CORE)))

    def as_original() -> None:
        with torch.no_grad():
            eager(pixel_values)

    ways = {"torch eager": as_original}
    ways |= {name: lambda network=network: divided(network) for name, network in networks.items()}
    times = {name: [] for name in ways}
    for _ in range(options.rounds + 1):
        for name, way in ways.items():
            times[name].append(seconds(way, clock))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, median in medians.items():
        line = f"{backbone:24} {name:12} {len(crops) / median:7.1f} img/s"
        line += f"  {medians['torch eager'] / median:5.2f} x eager"
        if name in networks:
            line += f"  difference {largest_difference(networks[name], loaded, crops[:8]):.1e}"
        print(line, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--crops", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="processor time of all threads instead of wall time: other work disturbs it less",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for backbone in options.networks:
        measure(backbone, options)


if __name__ == "__main__":
    main()
