"""Measure the overhead of a training step over the network's forward and backward pass.

Run from the repository's root:

    python benchmarks/training_step.py [--backbone tf_efficientnet_lite0] [--batch_size 16]

"bare" is forward and backward of the backbone and the artifact module alone, on a fixed batch,
with the sum of the outputs for a loss. "step" is the complete step of `train_accelerate.py`:
matching anchors, losses, clipping, AdamW, the moving average of the weights. Its batches are made
in advance, so that neither waits for data. "step, loaded" takes its batches from the loader; its
share of waiting is the one that `train_accelerate.py` reports. Bare passes and steps alternate, so
that other load on the machine affects both; medians are compared.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import torch

import _paths  # noqa: F401
from caddm_hf.cli.arguments import Parser
from caddm_hf.training.config import TrainingConfig
from support.made_collection import write_collection
from train_accelerate import TrainingRun


def bare_pass(run: TrainingRun, pixel_values: torch.Tensor) -> None:
    """Run forward and backward of backbone and artifact module only."""
    model = run.accelerator.unwrap_model(run.model)
    features = model.backbone.forward_features(pixel_values)
    offsets, logits, last = model.artifact_module(model.projection(features))
    (features.mean() + offsets.sum() + logits.sum() + last.sum()).backward()
    run.optimizer.zero_grad()


def seconds(action: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def copies(batches: list[dict]) -> Iterator[dict]:
    """Repeat copies of the batches for ever; a step modifies its batch."""
    return (dict(batch) for batch in cycle(batches))


def main() -> None:
    """Measure and print."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--artifact-width", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    with tempfile.TemporaryDirectory() as folder:
        data = write_collection(Path(folder) / "data", 40, 2, frames=1, side=options.image_size)
        run = TrainingRun(
            TrainingConfig(
                data=str(data),
                output_dir=str(Path(folder) / "run"),
                backbone=options.backbone,
                artifact_width=options.artifact_width,
                image_size=options.image_size,
                batch_size=options.batch_size,
                max_steps=10_000,
            )
        )
        run.model.train()
        draws = range(4 * options.batch_size)
        made = list(run.data.batches(draws, run.micro_batch, 0, run.accelerator))
        batches = copies(made)
        pixel_values = made[0]["pixel_values"].contiguous(memory_format=torch.channels_last)
        loaded = run.data.batches(
            range(10_000 * options.batch_size), run.micro_batch, run.workers, run.accelerator
        )
        bare, step = [], []
        for _ in range(options.rounds + 2):
            bare.append(seconds(lambda: bare_pass(run, pixel_values)))
            step.append(seconds(lambda: run.step(batches)))
        waited, total = 0.0, 0.0
        for number in range(options.rounds):
            start = time.perf_counter()
            _, waiting = run.step(loaded)
            if number:  # the first starts the workers
                waited += waiting
                total += time.perf_counter() - start

    bare_s, step_s = (statistics.median(times[2:]) for times in (bare, step))
    print(
        f"{options.backbone}, artifact width {options.artifact_width}, {options.image_size} px, "
        f"batch {options.batch_size}, {run.accelerator.device.type}, {options.threads} threads, "
        f"median of {options.rounds}"
    )
    print(f"bare          {bare_s * 1000:8.1f} ms")
    print(f"step          {step_s * 1000:8.1f} ms   {step_s / bare_s:.3f} x bare")
    loaded_s = total / (options.rounds - 1)
    print(f"step, loaded  {loaded_s * 1000:8.1f} ms   {waited / total:.1%} waiting for data")


if __name__ == "__main__":
    main()
