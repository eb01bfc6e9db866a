"""What training sees, in which order, and why it never depends on who computes it.

Every epoch has a plan: which rows are drawn, in which order, and what is made of each. The plan
is a function of (seed, epoch); everything random about one sample is a function of (seed, epoch,
position in the epoch). So the number of loader workers and of processes, and whether a run was
killed in between, change neither the order nor a single pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

import cv2
import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from ..augmentation.facial_swap import FacialSwapConfig, TrainingSample, make_training_sample
from ..augmentation.self_blending import cross_blend, self_blend
from ..dataset.frame_table import FrameDataError, FrameRow, FrameTable
from ..faces.landmarks import five_points
from ..model.face_alignment import fit_similarity, template_points, transform_points
from ..model.image_processing_caddm import CaddmImageProcessor

# Streams of random numbers that must not meet.
ORDER_STREAM, SAMPLE_STREAM = 1, 2
DONOR_CANDIDATES = 8

# How a sample came about: `TrainingSample.kind`, and fakes whose pair could not be swapped.
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


class Forgery(IntEnum):
    """What is to be made of a drawn row."""

    GENUINE = 0
    DATASET = 1
    SELF_BLEND = 2
    CROSS_BLEND = 3


@dataclass(frozen=True)
class ForgeryShares:
    """Where forged samples come from, in relative numbers that need not sum to 1."""

    dataset: float = 1.0
    self_blend: float = 0.0
    cross_blend: float = 0.0

    def counts(self, total: int) -> list[int]:
        """`total` samples divided by the shares, as [dataset, self_blend, cross_blend]."""
        shares = np.array([self.dataset, self.self_blend, self.cross_blend])
        ends = np.round(np.cumsum(shares) / shares.sum() * total).astype(int)
        return np.diff(ends, prepend=0).tolist()


@dataclass(frozen=True)
class Draw:
    """One sample to be made: where in the run it stands, of which row, and what."""

    epoch: int
    position: int
    row: int
    forgery: Forgery


class TrainingPlan:
    """The draws of every epoch.

    An epoch shows every genuine row, and of the forged rows the share that is asked for, all by
    default. With `balanced`, both classes get as many draws as the larger one has rows, and the
    smaller one's rows recur evenly.

    Args:
        labels: (N,) of all rows, 0 genuine, 1 forged.
        rows: the numbers of those to use; all by default.

    Raises:
        FrameDataError: rows that the shares ask for do not exist.
    """

    def __init__(
        self,
        labels: np.ndarray,
        seed: int,
        shares: ForgeryShares = ForgeryShares(),
        balanced: bool = True,
        rows: np.ndarray | None = None,
    ):
        rows = np.arange(len(labels)) if rows is None else np.asarray(rows)
        self.genuine_rows = rows[labels[rows] == 0]
        self.forged_rows = rows[labels[rows] == 1]
        self.seed = seed
        if not len(self.genuine_rows):
            raise FrameDataError("The training data holds no genuine rows.")
        if shares.dataset > 0 and not len(self.forged_rows):
            raise FrameDataError(
                "The training data holds no fake rows; make fakes of the genuine ones: "
                "--fake_share 0 --self_blend_share 1."
            )
        if shares.dataset == 0:
            self.forged_rows = rows[:0]
        self.genuine_count = len(self.genuine_rows)
        forged_count = len(self.forged_rows) or self.genuine_count
        if balanced:
            self.genuine_count = forged_count = max(self.genuine_count, forged_count)
        self.forged_counts = shares.counts(forged_count)
        self._cached: tuple[int, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        """Draws of one epoch."""
        return self.genuine_count + sum(self.forged_counts)

    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(L,) row numbers and (L,) `Forgery` numbers of an epoch, in order."""
        if self._cached is None or self._cached[0] != epoch:
            rng = np.random.default_rng([self.seed, ORDER_STREAM, epoch])
            sources = [self.genuine_rows, self.forged_rows, self.genuine_rows, self.genuine_rows]
            counts = [self.genuine_count, *self.forged_counts]
            rows = [
                _repeat_evenly(source, count, rng)
                for source, count in zip(sources, counts, strict=True)
            ]
            order = rng.permutation(len(self))
            forgeries = np.repeat(np.arange(len(counts)), counts)
            self._cached = (epoch, np.concatenate(rows)[order], forgeries[order])
        return self._cached[1:]

    def draws(self, start: int, stop: int) -> Iterator[Draw]:
        """The draws numbered `start` to `stop - 1`, counted over all epochs."""
        for number in range(start, stop):
            epoch, position = divmod(number, len(self))
            rows, forgeries = self.epoch(epoch)
            yield Draw(epoch, position, int(rows[position]), Forgery(forgeries[position]))

    def rows_drawn(self, count: int) -> np.ndarray:
        """Sorted numbers of the rows that the first `count` draws touch, possible donors too."""
        drawn = set(self.genuine_rows.tolist()) if self.forged_counts[2] else set()
        everything = len(self.genuine_rows) + len(self.forged_rows)
        for start in range(0, count, len(self)):
            rows, _ = self.epoch(start // len(self))
            drawn.update(rows[: count - start].tolist())
            if len(drawn) == everything:
                break
        return np.array(sorted(drawn), np.int64)


def _repeat_evenly(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of the rows, each as often as the next but for one."""
    if not count:
        return rows[:0]
    whole, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])


class SampleMaker:
    """A decoded row and its place in the run -> the keyword arguments of `forward`.

    Args:
        swap_config: how crops are made.
        processor: the input contract the model will be saved with.
        seed: of the run.
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
        return np.random.default_rng([self.seed, SAMPLE_STREAM, epoch, position])

    def sample(
        self,
        row: FrameRow,
        forgery: Forgery,
        rng: np.random.Generator,
        donor: FrameRow | None = None,
    ) -> TrainingSample:
        """Make the crop; `donor` is needed for a cross-blend. Its `kind` is one of `KINDS`."""
        config = self.swap_config
        if forgery == Forgery.SELF_BLEND:
            return self_blend(row.image_rgb, row.points_xy, rng, config)
        if forgery == Forgery.CROSS_BLEND:
            return cross_blend(
                row.image_rgb, row.points_xy, donor.image_rgb, donor.points_xy, rng, config
            )
        if not self.swap_faces:
            return make_training_sample(row.image_rgb, row.points_xy, row.label, rng, config)
        swappable = row.label == 1 and row.is_same_frame()
        sample = make_training_sample(
            row.image_rgb, row.points_xy, row.label, rng, config, row.source_rgb, swappable
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
        return self.maker.sample(row, draw.forgery, rng, donor)

    def _donor(self, number: int, row: FrameRow, rng: np.random.Generator) -> int:
        """Of some genuine rows of other videos, the one whose face is turned most alike."""
        candidates = rng.choice(self.plan.genuine_rows, DONOR_CANDIDATES)
        source = self.table.source_ids[number]
        others = [c for c in map(int, candidates) if self.table.source_ids[c] != source]
        if not others:
            # A collection of hardly more than one video: any other row, or the row itself.
            others = [int(candidates[0])]
        pose = _pose(row.points_xy)
        return min(
            others, key=lambda other: np.abs(_pose(self.table.landmarks(other)) - pose).sum()
        )


def _pose(points_xy: np.ndarray) -> np.ndarray:
    """(5, 2) the five points after alignment, in units of the crop: what pose is left in them."""
    five_xy = five_points(points_xy)
    return transform_points(fit_similarity(five_xy, template_points(1)), five_xy)


class EvaluationFrames(Dataset):
    """Rows -> aligned crops as serving makes them, with `labels` and the row's `rows` number."""

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
    # OpenCV ends its threads when their number changes, which in a forked process, where they do
    # not run, waits for ever: they are ended here, before the fork.
    cv2.setNumThreads(1)
    return {
        "num_workers": workers,
        "worker_init_fn": _use_one_thread,
        "pin_memory": torch.cuda.is_available(),
        "prefetch_factor": 4 if workers else None,
    }


def _use_one_thread(worker: int) -> None:
    """Keep a loader process from taking the cores of the training process."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
