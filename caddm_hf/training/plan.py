"""The plan of an epoch: which rows are drawn, and what is made of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ..core.random_streams import RandomStream, random_generator
from ..dataset.schema import FrameDataError


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
            rng = random_generator(self.seed, RandomStream.ORDER, epoch)
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
