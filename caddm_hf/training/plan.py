"""The plan of an epoch: which rows are drawn, and the kind of sample made of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from ..core.random_streams import RandomStream, random_generator
from ..dataset.schema import FrameDataError


class Forgery(IntEnum):
    """The kind of sample made of a drawn row; the last two start from a genuine row."""

    GENUINE = 0
    DATASET = 1
    SELF_BLEND = 2
    CROSS_BLEND = 3


@dataclass(frozen=True)
class ForgeryShares:
    """Relative shares of the sources of forged samples; at least one is positive."""

    dataset: float = 1.0
    self_blend: float = 0.0
    cross_blend: float = 0.0

    def counts(self, total: int) -> list[int]:
        """Divide `total` samples by the shares: [dataset, self_blend, cross_blend]."""
        shares = np.array([self.dataset, self.self_blend, self.cross_blend])
        ends = np.round(np.cumsum(shares) / shares.sum() * total).astype(int)
        return np.diff(ends, prepend=0).tolist()


@dataclass(frozen=True)
class Draw:
    """One sample to make.

    Attributes:
        epoch: number of the epoch, from 0.
        position: place of the sample in the epoch, from 0.
        row: number of the row in the table.
        forgery: kind of sample made of the row.
        pair: number of its pair in the epoch, from 0; None if samples are not paired.
    """

    epoch: int
    position: int
    row: int
    forgery: Forgery
    pair: int | None = None


@dataclass(frozen=True)
class Origins:
    """Where the rows of a collection come from, as `TrainingPlan` needs it.

    Attributes:
        sources: (N,) ids of the genuine videos the rows come from; "" if unknown.
        twins: (N,) int64, for a forged row the genuine row of the same moment; else -1.
        datasets: (N,) names of the rows' data sets; "" if unknown.
        shares: how often each data set is drawn, relative to the others; if empty, every row is
            drawn equally often. Otherwise every data set needs a share, which may be 0.
        paired: whether each forged draw is followed by a genuine one of the same source.

    Raises:
        FrameDataError: the shares name a data set that no row has, or leave one out.
    """

    sources: np.ndarray
    twins: np.ndarray
    datasets: np.ndarray
    shares: dict[str, float] = field(default_factory=dict)
    paired: bool = False

    def __post_init__(self):
        unknown = set(self.shares) - set(self.datasets)
        unnamed = set(self.datasets) - set(self.shares) if self.shares else set()
        if unknown or unnamed:
            problem = (
                f"names '{min(unknown)}', which the training data does not hold"
                if unknown
                else f"does not name '{min(unnamed)}'"
            )
            known = ", ".join(sorted(set(self.datasets)))
            raise FrameDataError(f"--dataset_shares {problem}: the data sets are {known}.")

    def drawn_names(self, rows: np.ndarray) -> list[str]:
        """Return the data sets of these rows that have a positive share, in the shares' order."""
        names = set(self.datasets[rows])
        return [name for name, share in self.shares.items() if share > 0 and name in names]


class TrainingPlan:
    """The draws of every epoch, a function of the seed and the number of the epoch.

    An epoch draws every genuine row, and the requested share of the forged rows, by default all
    of them. With `balanced`, both classes get as many draws as the larger class has rows, and
    the rows of the smaller class recur evenly. Shares of data sets change how often each row is
    drawn, not the length of the epoch. In pairs, each forged sample is followed by a genuine
    one, so both classes always get the same number of draws.

    Args:
        labels: (N,) labels of all rows, 0 genuine, 1 forged.
        seed: of the run.
        shares: where forged samples come from.
        balanced: whether both classes get the same number of draws.
        rows: (M,) numbers of the rows to use; by default all.
        origins: data sets and sources of all rows; needed for shares of data sets and for pairs.

    Raises:
        FrameDataError: the shares need rows that do not exist.
    """

    def __init__(
        self,
        labels: np.ndarray,
        seed: int,
        shares: ForgeryShares = ForgeryShares(),
        balanced: bool = True,
        rows: np.ndarray | None = None,
        origins: Origins | None = None,
    ):
        self.origins = origins
        self.paired = origins is not None and origins.paired
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
        if balanced or self.paired:
            self.genuine_count = forged_count = max(self.genuine_count, forged_count)
        self.forged_counts = shares.counts(forged_count)
        self._refuse_classes_without_share()
        self._cached: tuple[int, np.ndarray, np.ndarray] | None = None
        self._partners = _Partners(self.genuine_rows, origins) if self.paired else None

    def _refuse_classes_without_share(self) -> None:
        """Raise a FrameDataError if a class is drawn, but none of its data sets has a share."""
        if self.origins is None or not self.origins.shares:
            return
        blended = sum(self.forged_counts[1:])
        drawn = {
            "genuine": (self.genuine_rows, blended if self.paired else self.genuine_count),
            "fake": (self.forged_rows, self.forged_counts[0]),
        }
        for name, (rows, count) in drawn.items():
            if count and not self.origins.drawn_names(rows):
                raise FrameDataError(
                    f"--dataset_shares gives no share to a data set with {name} rows."
                )

    def __len__(self) -> int:
        """Draws of one epoch."""
        return self.genuine_count + sum(self.forged_counts)

    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the (L,) row numbers and (L,) `Forgery` numbers of an epoch, in order."""
        if self._cached is None or self._cached[0] != epoch:
            rng = random_generator(self.seed, RandomStream.ORDER, epoch)
            if self.paired:
                self._cached = (epoch, *self._pairs(rng))
                return self._cached[1:]
            sources = [self.genuine_rows, self.forged_rows, self.genuine_rows, self.genuine_rows]
            counts = [self.genuine_count, *self.forged_counts]
            rows = [self._drawn(*part, rng) for part in zip(sources, counts, strict=True)]
            order = rng.permutation(len(self))
            forgeries = np.repeat(np.arange(len(counts)), counts)
            self._cached = (epoch, np.concatenate(rows)[order], forgeries[order])
        return self._cached[1:]

    def _drawn(self, rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `count` rows, evenly or by the shares of their data sets."""
        shares = self.origins.shares if self.origins else {}
        if not shares or not count:
            return _repeat_evenly(rows, count, rng)
        names = self.origins.datasets[rows]
        present = self.origins.drawn_names(rows)
        ends = np.cumsum([shares[name] for name in present])
        counts = np.diff(np.round(ends / ends[-1] * count).astype(int), prepend=0)
        parts = [
            _repeat_evenly(rows[names == name], part, rng)
            for name, part in zip(present, counts, strict=True)
        ]
        return np.concatenate(parts)

    def _pairs(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and forgeries of an epoch, each forged draw before its genuine partner."""
        sources = [self.forged_rows, self.genuine_rows, self.genuine_rows]
        rows = [self._drawn(*part, rng) for part in zip(sources, self.forged_counts, strict=True)]
        order = rng.permutation(sum(self.forged_counts))
        forgeries = np.repeat([1, 2, 3], self.forged_counts)[order]
        forged = np.concatenate(rows)[order]
        genuine = [
            self._partners.draw(row, rng) if forgery == Forgery.DATASET else row
            for row, forgery in zip(forged, forgeries, strict=True)
        ]
        return (
            np.stack([forged, genuine], axis=1).reshape(-1),
            np.stack([forgeries, np.zeros_like(forgeries)], axis=1).reshape(-1),
        )

    def draws(self, start: int, stop: int) -> Iterator[Draw]:
        """Yield the draws numbered `start` to `stop - 1`, counted over all epochs."""
        for number in range(start, stop):
            epoch, position = divmod(number, len(self))
            rows, forgeries = self.epoch(epoch)
            pair = position // 2 if self.paired else None
            yield Draw(epoch, position, int(rows[position]), Forgery(forgeries[position]), pair)

    def rows_drawn(self, count: int) -> np.ndarray:
        """Return the sorted numbers of the rows that the first `count` draws may read.

        Any genuine row may be the donor of a cross-blend.
        """
        drawn = set(self.genuine_rows.tolist()) if self.forged_counts[2] else set()
        everything = len(self.genuine_rows) + len(self.forged_rows)
        for start in range(0, count, len(self)):
            rows, _ = self.epoch(start // len(self))
            drawn.update(rows[: count - start].tolist())
            if len(drawn) == everything:
                break
        return np.array(sorted(drawn), np.int64)


class _Partners:
    """Chooses the genuine row that follows a forged one.

    The partner is the row's twin; else a row of the same source video; else one of the same data
    set; else any genuine row.
    """

    def __init__(self, genuine_rows: np.ndarray, origins: Origins):
        self.origins = origins
        self.genuine_rows = genuine_rows
        self.known = set(genuine_rows.tolist())
        self.by_source = _grouped(origins.sources, genuine_rows)
        self.by_dataset = _grouped(origins.datasets, genuine_rows)

    def draw(self, row: int, rng: np.random.Generator) -> int:
        """Return the number of the partner of a forged row."""
        twin = int(self.origins.twins[row])
        if twin in self.known:
            return twin
        for groups, key in (
            (self.by_source, self.origins.sources[row]),
            (self.by_dataset, self.origins.datasets[row]),
        ):
            if key in groups:
                return int(rng.choice(groups[key]))
        return int(rng.choice(self.genuine_rows))


def _grouped(keys: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Group row numbers by key; `keys` has one key for each row of the table."""
    found: dict[str, list[int]] = {}
    for row in rows.tolist():
        found.setdefault(keys[row], []).append(row)
    return {key: np.array(numbers) for key, numbers in found.items()}


def _repeat_evenly(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` rows so that no row occurs more than once more often than another."""
    if not count:
        return rows[:0]
    whole, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])
