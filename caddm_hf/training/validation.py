"""Score a validation split on one or more processes, and compute metrics of the scores."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn
from torch.utils.data import DataLoader

from ..core.random_streams import RandomStream, random_generator
from ..dataset.frame_table import FrameTable
from ..dataset.schema import FrameDataError
from ..detector.scoring import score_batches
from ..metrics.statistics import bootstrap_interval
from ..metrics.video_metrics.video_scores import aggregate_by_video, area_under_roc
from ..runtime.network import TorchNetwork, answer_filled
from .samples import EvaluationFrames, worker_options

METRIC_FOLDER = Path(__file__).resolve().parents[1] / "metrics" / "video_metrics"
INTERVAL_SAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of "fake" of a split's rows.

    Attributes:
        rows: (N,) int64 row numbers, sorted.
        probabilities: (N,) float64 in [0, 1].
    """

    rows: np.ndarray
    probabilities: np.ndarray

    def write_csv(self, table: FrameTable, path: Path) -> None:
        """One line a row: video_id, label, fake_probability."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["video_id", "label", "fake_probability"])
            for row, probability in zip(self.rows, self.probabilities, strict=True):
                label = ("real", "fake")[table.labels[row]]
                writer.writerow([table.video_ids[row], label, f"{probability:.9g}"])


def evaluation_loader(frames: EvaluationFrames, batch_size: int, workers: int) -> DataLoader:
    """Batches of a split in order, for `accelerator.prepare`."""
    return DataLoader(frames, batch_size, shuffle=False, **worker_options(workers))


@torch.inference_mode()
def predict(
    accelerator: Accelerator, model: nn.Module, loader: DataLoader, batch_size: int
) -> Predictions:
    """Score a split.

    A row's score is bit-identical on any number of processes: batches are never divided, and
    every forward pass has the same number of rows. The precision is that of inference.

    Args:
        model: in eval mode, on the accelerator's device.
        loader: prepared by the accelerator.
        batch_size: the loader's.

    Returns:
        the scores of all rows, on every process.
    """
    for buffer in model.buffers():
        # Each process has its own batch normalisation statistics; those of the first are saved.
        buffer.copy_(broadcast(buffer.clone()))
    network = TorchNetwork(model, accelerator.device)

    def score(batch: dict) -> torch.Tensor:
        return model.fake_probability(answer_filled(network, batch["pixel_values"], batch_size))

    rows, probabilities = [], []
    # One call at a time: gathering depends on the loader's position.
    for batch, fake in score_batches(score, loader, calls_at_once=1):
        gathered = accelerator.gather_for_metrics((batch["rows"], fake))
        rows.append(gathered[0].cpu().numpy())
        probabilities.append(gathered[1].cpu().double().numpy())
    numbers = np.concatenate(rows)
    order = np.argsort(numbers, kind="stable")
    expected = np.sort(loader.dataset.rows)
    if not np.array_equal(numbers[order], expected):
        raise RuntimeError("the gathered predictions are not one for each row")
    return Predictions(numbers[order], np.concatenate(probabilities)[order])


def video_metrics(predictions: Predictions, table: FrameTable, seed: int) -> dict:
    """The metrics of `video_metrics`, and "interval" of the video AUC.

    The interval resamples source videos with all their forgeries, which are not independent.

    Raises:
        FrameDataError: a video has rows of both labels.
    """
    # Importing `evaluate` takes seconds, so it is delayed until the first evaluation.
    import evaluate

    labels = table.labels[predictions.rows]
    video_ids = [table.video_ids[row] for row in predictions.rows]
    metric = evaluate.load(str(METRIC_FOLDER), keep_in_memory=True)
    try:
        metrics = metric.compute(
            predictions=predictions.probabilities, references=labels, video_ids=video_ids
        )
        videos = aggregate_by_video(predictions.probabilities, labels, video_ids)
    except ValueError as error:
        raise FrameDataError(f"The validation data cannot be evaluated: {error}.") from error
    source_of = {
        table.video_ids[row]: table.source_ids[row] or table.video_ids[row]
        for row in predictions.rows
    }
    groups = [source_of[video_id] for video_id in videos.video_ids]
    related = len(set(groups)) > 1
    interval = bootstrap_interval(
        area_under_roc,
        videos.scores,
        videos.labels,
        random_generator(seed, RandomStream.VALIDATION_INTERVAL),
        samples=INTERVAL_SAMPLES,
        groups=groups if related else None,
    )
    metrics["interval"] = {
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "samples": interval.samples,
        "groups": "source videos" if related else "videos",
    }
    return metrics
