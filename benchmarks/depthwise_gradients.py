"""Measure the gain by float32 gradients of depthwise convolutions in bfloat16 training on a CPU.

Run from the repository's root:

    python benchmarks/depthwise_gradients.py [--backbone tf_efficientnet_lite0] [--batch_size 32]

Forward and backward pass of the model with its losses on one fixed batch, under bfloat16 autocast,
with and without `caddm_hf.training.depthwise`, in turn; medians are compared.
"""

import argparse
import statistics
import time
from contextlib import AbstractContextManager, nullcontext

import torch

import _paths  # noqa: F401
from caddm_hf.model.configuration_caddm import CaddmConfig
from caddm_hf.model.modeling_caddm import CaddmForDeepfakeDetection
from caddm_hf.training.depthwise import DepthwiseGradients


def seconds(model: CaddmForDeepfakeDetection, batch: dict, mode: AbstractContextManager) -> float:
    """Wall time of one forward and backward pass."""
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16), mode:
        loss = model(**batch).loss
    loss.backward()
    took = time.perf_counter() - start
    model.zero_grad()
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--artifact_width", type=int, default=192)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    torch.manual_seed(0)
    side = options.image_size
    config = CaddmConfig(
        backbone=options.backbone, artifact_width=options.artifact_width, image_size=side
    )
    model = CaddmForDeepfakeDetection(config).to(memory_format=torch.channels_last).train()
    labels = torch.arange(options.batch_size) % 2
    batch = {
        "pixel_values": torch.rand(options.batch_size, 3, side, side)
        .mul(2)
        .sub(1)
        .contiguous(memory_format=torch.channels_last),
        "labels": labels,
        "artifact_boxes": torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]) * labels[:, None, None],
    }
    for mode in (nullcontext(), DepthwiseGradients()):
        seconds(model, batch, mode)  # warms up
    plain, ours = [], []
    for _ in range(options.rounds):
        plain.append(seconds(model, batch, nullcontext()))
        ours.append(seconds(model, batch, DepthwiseGradients()))
    plain_s, ours_s = statistics.median(plain), statistics.median(ours)
    print(f"{options.backbone}, {options.batch_size} crops of {side} px, {options.threads} threads")
    print(f"all in bfloat16: {plain_s:.2f} s")
    print(f"depthwise gradients in float32: {ours_s:.2f} s, {plain_s / ours_s:.2f} times as fast")


if __name__ == "__main__":
    main()
