"""Runs the page's checks, one at a time, and stops those whose visitor wants no result."""

import logging
import threading
from collections.abc import Hashable
from pathlib import Path

from .media_files import MediaError
from .report import VideoReport
from .video_detection import Progress, VideoDetector

logger = logging.getLogger(__name__)


class CheckStoppedError(Exception):
    """The visitor stopped the check or left."""


class CheckFailedError(Exception):
    """The file cannot be checked; the message is one sentence for the visitor."""


class Checks:
    """The checks of all visitors, around the one detector of the process.

    A visitor is named by anything hashable. Once they have chosen a file, checks of any other
    file are stopped, whether they run or wait for their turn.

    Args:
        detector: used by one check at a time.
    """

    def __init__(self, detector: VideoDetector):
        self.detector = detector
        self._in_use = threading.Lock()
        self._running: dict[Hashable, tuple[str, threading.Event]] = {}
        self._chosen: dict[Hashable, str | None] = {}

    def run(
        self,
        path: str,
        frames: int | None,
        visitor: Hashable,
        progress: Progress,
    ) -> VideoReport:
        """Judge a file.

        Args:
            path: an uploaded file.
            frames: to sample; by default as the detector is configured.
            visitor: whose check it is.
            progress: called with (stage, done, total).

        Raises:
            CheckStoppedError: the visitor stopped it or chose another file.
            CheckFailedError: the file cannot be used, or something unforeseen happened, which
                is logged.
        """
        stop = threading.Event()

        def tell(stage: str, done: int, total: int) -> None:
            if stop.is_set():
                raise CheckStoppedError
            progress(stage, done, total)

        with self._in_use:
            self._running[visitor] = (path, stop)
            try:
                if self._chosen.get(visitor, path) != path:
                    raise CheckStoppedError
                return self.detector(path, frames=frames, progress=tell, name=Path(path).name)
            except CheckStoppedError:
                raise
            except MediaError as error:
                raise CheckFailedError(str(error)) from error
            except Exception as error:  # a visitor gets a sentence, whatever happens
                logger.exception("A check failed")
                raise CheckFailedError(
                    "Something went wrong while checking this file; it was not judged. Please "
                    "report it to whoever runs this page."
                ) from error
            finally:
                del self._running[visitor]

    def choose(self, visitor: Hashable, path: str | None) -> None:
        """From now on only checks of this file matter to the visitor; None is no file."""
        self._chosen[visitor] = path
        running, stop = self._running.get(visitor, (path, None))
        if stop is not None and running != path:
            stop.set()

    def stop(self, visitor: Hashable) -> None:
        """Stop this visitor's running check, if there is one, at its next step."""
        _, stop = self._running.get(visitor, (None, None))
        if stop is not None:
            stop.set()

    def leave(self, visitor: Hashable) -> None:
        """The visitor is gone: stop their check and forget them."""
        self.stop(visitor)
        self._chosen.pop(visitor, None)
