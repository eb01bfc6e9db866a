"""Frames decoded in a thread of their own, so that decoding and the rest overlap."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from types import TracebackType

from .frames import SampledFrame, SampledFrames
from .limits import MediaInfo

# Memory for frames that wait, and at most how many do.
BYTES_AHEAD = 64 * 2**20
FRAMES_AHEAD = 16
CLOSING_STEP_S = 0.05


def frames_within(info: MediaInfo, budget_bytes: int, at_most: int) -> int:
    """How many of a file's frames fit into some memory; at least 1."""
    return max(1, min(at_most, budget_bytes // (info.width * info.height * 3)))


class FramePrefetch(Iterator[SampledFrame]):
    """The frames of an iterator, a few ahead; to be used in a `with` statement.

    What the iterator raises comes out of `next` in its turn.

    Args:
        frames: nothing else may use it from now on.
        info: of their file.
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
        while self._thread.is_alive():  # it may wait for room
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
        except BaseException as error:  # also what stops the work, which may be no Exception
            last = error
        finally:
            self._frames.close()
            self._ready.put(last)
