"""Training samples and evaluation crops of the rows of a collection, and their loaders.

The plan of an epoch is a function of (seed, epoch). The randomness of one sample is a function of
(seed, epoch, position in the epoch), that shared by a pair of (seed, epoch, number of the pair).
So samples and their order do not depend on interruptions or on the number of workers and
processes.
"""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from ..augmentation.donors import DONOR_CANDIDATES, face_pose, most_similar
from ..augmentation.facial_swap import FacialSwapConfig, TrainingSample, make_training_sample
from ..augmentation.self_blending import cross_blend, self_blend
from ..core.random_streams import RandomStream, random_generator
from ..dataset.frame_table import FrameRow, FrameTable
from ..faces.landmarks import five_points
from ..model.image_processing_caddm import CaddmImageProcessor
from .plan import Draw, Forgery, TrainingPlan

# Kinds of samples: `TrainingSample.kind`, and fakes that could not be swapped with their twin.
UNPAIRED = "fake-unpaired"
KINDS = (
    "genuine",
    "genuine-fallback",
    "fake",
    UNPAIRED,
    "fake-fallback",
    "global-fake-background",
    "global-source-background",
    "partial",
    "self-blended",
    "self-blended-partial",
    "cross-blended",
    "cross-blended-partial",
)


class SampleMaker:
    """A decoded row and its place in the run -> the keyword arguments of `forward`.

    Args:
        swap_config: settings of swaps, blends and crops.
        processor: the processor that the model will be saved with.
        seed: seed of the run.
        swap_faces: whether the collection's fakes are mixed with their genuine frames.
    """

    def __init__(
        self,
        swap_config: FacialSwapConfig,
        processor: CaddmImageProcessor,
        seed: int,
        swap_faces: bool = True,
    ):
        self.swap_config = swap_config
        self.processor = processor
        self.seed = seed
        self.swap_faces = swap_faces

    def rng(self, epoch: int, position: int) -> np.random.Generator:
        """The generator of one sample."""
        return random_generator(self.seed, RandomStream.SAMPLE, epoch, position)

    def shared_rng(self, draw: Draw) -> np.random.Generator | None:
        """Return a new generator for what a pair shares; None without pairs."""
        if draw.pair is None:
            return None
        return random_generator(self.seed, RandomStream.PAIR, draw.epoch, draw.pair)

    def sample(
        self,
        row: FrameRow,
        forgery: Forgery,
        rng: np.random.Generator,
        donor: FrameRow | None = None,
        shared: np.random.Generator | None = None,
    ) -> TrainingSample:
        """Make the crop; `donor` is needed for a cross-blend. Its `kind` is one of `KINDS`.

        `shared` draws what both samples of a pair have in common.
        """
        config = self.swap_config
        image, points = row.image_rgb, row.points_xy
        if forgery == Forgery.SELF_BLEND:
            return self_blend(image, points, rng, config, shared)
        if forgery == Forgery.CROSS_BLEND:
            return cross_blend(image, points, donor.image_rgb, donor.points_xy, rng, config, shared)
        if not self.swap_faces:
            return make_training_sample(image, points, row.label, rng, config, shared=shared)
        swappable = row.label == 1 and row.is_same_frame()
        sample = make_training_sample(
            image, points, row.label, rng, config, row.source_rgb, swappable, shared
        )
        return replace(sample, kind=UNPAIRED) if row.label == 1 and not swappable else sample

    def inputs(self, sample: TrainingSample) -> dict:
        """`pixel_values` (3, S, S), `labels`, `artifact_boxes` (K, 4), and `kinds`.

        `kinds` is an index into `KINDS`, for counting; the rest is what `forward` takes.
        """
        return {
            "pixel_values": self.processor.pixel_values(sample.image_rgb[None])[0],
            "labels": sample.label,
            "artifact_boxes": torch.from_numpy(sample.boxes_xyxy),
            "kinds": KINDS.index(sample.kind),
        }


class TrainingFrames(Dataset):
    """Draws -> model inputs, over a table in random access."""

    def __init__(self, table: FrameTable, plan: TrainingPlan, maker: SampleMaker):
        self.table = table
        self.plan = plan
        self.maker = maker

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, draw: Draw) -> dict:
        return self.maker.inputs(self.sample(draw))

    def sample(self, draw: Draw) -> TrainingSample:
        """The crop of a draw."""
        rng = self.maker.rng(draw.epoch, draw.position)
        row = self.table.row(draw.row)
        donor = None
        if draw.forgery == Forgery.CROSS_BLEND:
            donor = self.table.row(self._donor(draw.row, row, rng))
        return self.maker.sample(row, draw.forgery, rng, donor, self.maker.shared_rng(draw))

    def _donor(self, number: int, row: FrameRow, rng: np.random.Generator) -> int:
        """Choose the face in the most similar pose from some genuine rows of other videos."""
        candidates = rng.choice(self.plan.genuine_rows, DONOR_CANDIDATES)
        source = self.table.source_ids[number]
        others = [c for c in map(int, candidates) if self.table.source_ids[c] != source]
        if not others:
            # A collection of hardly more than one video: any other row, or the row itself.
            others = [int(candidates[0])]
        poses = [face_pose(self.table.landmarks(other)) for other in others]
        return others[most_similar(face_pose(row.points_xy), poses)]


class EvaluationFrames(Dataset):
    """Rows -> aligned crops as at inference, with `labels` and the row number as `rows`."""

    def __init__(self, table: FrameTable, rows: np.ndarray, processor: CaddmImageProcessor):
        self.table = table
        self.rows = rows
        self.processor = processor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        number = int(self.rows[index])
        points_xy = five_points(self.table.landmarks(number))
        crop, _ = self.processor.align(self.table.image_rgb(number), points_xy)
        return {
            "pixel_values": self.processor.pixel_values(crop[None])[0],
            "labels": int(self.table.labels[number]),
            "rows": number,
        }


class _DrawSampler(Sampler):
    """The draws of a plan from one number to another."""

    def __init__(self, plan: TrainingPlan, start: int, stop: int):
        self.plan, self.start, self.stop = plan, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Draw]:
        return self.plan.draws(self.start, self.stop)


def training_loader(
    frames: TrainingFrames, start: int, stop: int, micro_batch: int, workers: int
) -> DataLoader:
    """Batches of the draws `start` to `stop - 1`, in order, for `accelerator.prepare`.

    Args:
        micro_batch: samples of one forward pass of one process.
        workers: loader processes; 0 makes samples in this process.
    """
    sampler = BatchSampler(_DrawSampler(frames.plan, start, stop), micro_batch, drop_last=False)
    return DataLoader(frames, batch_sampler=sampler, **worker_options(workers))


def worker_options(workers: int) -> dict:
    """The options of a DataLoader that concern its `workers` processes."""
    # OpenCV joins its threads when their number changes. A forked process does not have them, so
    # joining there would hang. End the threads here, before the fork.
    cv2.setNumThreads(1)
    return {
        "num_workers": workers,
        "worker_init_fn": _use_one_thread,
        "pin_memory": torch.cuda.is_available(),
        "prefetch_factor": 4 if workers else None,
    }


def _use_one_thread(worker: int) -> None:
    """Run a loader process on one thread, to leave the cores to the training process."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
