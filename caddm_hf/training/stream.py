"""Training samples from a stream of rows, in an order that depends on the seed alone.

A stream has no random access, so there are two passes over it, one for each class, each shuffled
through a buffer. Every process reads all rows and decodes only those of its own batches; the
reading is repeated in each process, and `datasets` caches nothing. Resuming reads from the
beginning, without decoding. The buffer mixes only neighbouring rows, so rows of one video should
not be stored side by side.
"""

from collections.abc import Iterator
from itertools import count

import datasets
from torch.utils.data import DataLoader, IterableDataset

from ..core.random_streams import RandomStream, random_generator
from ..dataset.frame_table import read_row
from ..dataset.schema import FrameDataError, label_numbers
from .plan import Forgery, ForgeryShares
from .samples import SampleMaker, worker_options

SHUFFLE_BUFFER = 1000


class StreamedFrames(IterableDataset):
    """The samples of one process.

    Args:
        rows: a stream from `open_split`.
        maker: makes the samples.
        shares: where forged samples come from, without cross-blends; half of all samples are
            genuine.
        draws: numbers of the run's samples to make, from a step's first to the last.
        micro_batch: samples of one forward pass of one process.
        processes, process: number of processes that share the batches, and index of this one.

    Raises:
        FrameDataError: the rows have no landmarks.
    """

    def __init__(
        self,
        rows: datasets.IterableDataset,
        maker: SampleMaker,
        shares: ForgeryShares,
        draws: range,
        micro_batch: int,
        processes: int = 1,
        process: int = 0,
    ):
        if "landmarks" not in rows.features:
            raise FrameDataError("--streaming needs rows with landmarks; these have none.")
        self.rows = rows
        self.maker = maker
        self.shares = shares
        self.draws = draws
        self.micro_batch = micro_batch
        self.processes = processes
        self.process = process

    def __iter__(self) -> Iterator[dict]:
        streams = [self._endless(0), self._endless(1)]
        for number in range(self.draws.stop):
            forgery = self._forgery(number)
            row = next(streams[forgery == Forgery.DATASET])
            if number < self.draws.start:
                continue
            batch = (number - self.draws.start) // self.micro_batch
            if batch % self.processes == self.process:
                yield self._inputs(row, forgery, number)

    def _inputs(self, row: dict, forgery: Forgery, number: int) -> dict:
        frame = read_row(row, int(forgery == Forgery.DATASET))
        if frame.points_xy is None:
            raise FrameDataError(f"A row of video '{row['video_id']}' has no landmarks.")
        return self.maker.inputs(self.maker.sample(frame, forgery, self.maker.rng(0, number)))

    def _forgery(self, number: int) -> Forgery:
        rng = random_generator(self.maker.seed, RandomStream.ORDER, number)
        if rng.random() < 0.5:
            return Forgery.GENUINE
        from_dataset = self.shares.dataset / (self.shares.dataset + self.shares.self_blend)
        return Forgery.DATASET if rng.random() < from_dataset else Forgery.SELF_BLEND

    def _endless(self, label: int) -> Iterator[dict]:
        """Rows of a class, shuffled through a buffer, pass after pass.

        The order from the buffer of `datasets` would depend on the loader's workers.
        """
        for epoch in count():
            rng = random_generator(self.maker.seed, RandomStream.BUFFER, label, epoch)
            buffer: list[dict] = []
            for row in self._rows_of(label):
                if len(buffer) < SHUFFLE_BUFFER:
                    buffer.append(row)
                    continue
                chosen = rng.integers(len(buffer))
                yield buffer[chosen]
                buffer[chosen] = row
            if not buffer:
                raise FrameDataError(f"The stream holds no {('genuine', 'fake')[label]} rows.")
            yield from (buffer[chosen] for chosen in rng.permutation(len(buffer)))

    def _rows_of(self, label: int) -> Iterator[dict]:
        feature = self.rows.features["label"]
        return (row for row in self.rows if label_numbers([row["label"]], feature)[0] == label)


def streaming_loader(frames: StreamedFrames, workers: int) -> DataLoader:
    """Batches of this process, in order; not to be prepared by the accelerator.

    At most one worker is used: `datasets` would divide the rows among several.
    """
    return DataLoader(frames, frames.micro_batch, **worker_options(min(workers, 1)))
