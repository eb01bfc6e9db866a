"""Decodes frames in a separate thread, so that decoding overlaps with their use."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from types import TracebackType

from .frames import SampledFrame, SampledFrames
from .limits import MediaInfo

# Limits on the waiting frames: their memory and their number.
BYTES_AHEAD = 64 * 2**20
FRAMES_AHEAD = 16
CLOSING_STEP_S = 0.05


def frames_within(info: MediaInfo, budget_bytes: int, at_most: int) -> int:
    """The number of a file's frames that fit into `budget_bytes`, from 1 to `at_most`."""
    return max(1, min(at_most, budget_bytes // (info.width * info.height * 3)))


class FramePrefetch(Iterator[SampledFrame]):
    """Yields the frames of an iterator, decoded a few ahead; a context manager.

    An exception of the iterator is raised by `next` after the frames before it.

    Args:
        frames: must not be used elsewhere from now on.
        info: of the frames' file.
    """

    def __init__(self, frames: SampledFrames, info: MediaInfo):
        self._frames = frames
        self._ready: Queue[SampledFrame | BaseException | None] = Queue(
            frames_within(info, BYTES_AHEAD, FRAMES_AHEAD)
        )
        self._ended = False
        self._thread = threading.Thread(target=self._decode, name="decoding", daemon=True)

    def __enter__(self) -> "FramePrefetch":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._frames.stop()
        while self._thread.is_alive():  # the thread may wait for room in the queue
            with suppress(Empty):
                self._ready.get(timeout=CLOSING_STEP_S)
        self._thread.join()

    def __next__(self) -> SampledFrame:
        if self._ended:
            raise StopIteration
        frame = self._ready.get()
        if isinstance(frame, SampledFrame):
            return frame
        self._ended = True
        if frame is None:
            raise StopIteration
        raise frame

    def _decode(self) -> None:
        last: BaseException | None = None
        try:
            for frame in self._frames:
                self._ready.put(frame)
        except BaseException as error:  # the exception that stops a job is no `Exception`
            last = error
        finally:
            self._frames.close()
            self._ready.put(last)
