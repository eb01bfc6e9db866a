"""Runs the page's checks in the order of their requests, and stops those nobody waits for.

`Line` and `Place` belong to one event loop; no other thread may call them.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..core.errors import UserError
from ..guard.limits import JobStoppedError
from ..report.rejudging import main_person_only, rejudge
from ..report.video_report import VideoReport
from .jobs import CheckJob
from .model_choice import ModelChoices

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
Result = TypeVar("Result")

LOOK_EVERY_S = 0.1
FULL = "Too many people are waiting for a check right now; please try again in a few minutes."
UNFORESEEN = (
    "Something went wrong while checking this file; it was not judged. Please report this to the "
    "operator of this page."
)


class LineFullError(Exception):
    """The line is full."""


class Place:
    """One visitor's place in the line."""

    def __init__(self, line: "Line"):
        self._line = line

    @property
    def ahead(self) -> int:
        """The number of visitors before this one, including those being served."""
        return self._line.places.index(self)

    async def reach_front(self, on_move: Callable[[int], None]) -> None:
        """Wait for this visitor's turn.

        Args:
            on_move: called with `ahead` at first, whenever it changes and about ten times a second;
                an exception it raises ends the wait.
        """
        while self.ahead >= self._line.at_once:
            on_move(self.ahead)
            await asyncio.sleep(LOOK_EVERY_S)


class Line:
    """The visitors being served and those waiting, in order.

    Args:
        at_once: number of visitors served at the same time.
        longest: number of further visitors that may wait.
    """

    def __init__(self, at_once: int = 1, longest: int = 100):
        self.at_once = at_once
        self.longest = longest
        self.places: list[Place] = []

    @contextmanager
    def join(self) -> Iterator[Place]:
        """Take a place at the end of the line until the block ends.

        Raises:
            LineFullError: the line is full.
        """
        if len(self.places) >= self.at_once + self.longest:
            raise LineFullError
        place = Place(self)
        self.places.append(place)
        try:
            yield place
        finally:
            self.places.remove(place)


class CheckStoppedError(Exception):
    """The visitor stopped the check or left."""


class CheckFailedError(UserError):
    """The file cannot be checked; the message is one sentence for the visitor."""


@dataclass(frozen=True)
class CheckOptions:
    """A visitor's choices for a check.

    Attributes:
        frames: number of frames to sample; None for the detector's own number.
        model: folder or Hub id; empty for the page's own model.
        sensitivity: a key of `ModelFacts.sensitivities`.
        main_person: judge only the person with the largest faces.
    """

    frames: int | None = None
    model: str = ""
    sensitivity: str = ""
    main_person: bool = False


class _Job:
    """A job that a visitor waits for.

    Attributes:
        chosen: the file or files of the job.
        stop: set for the thread that runs the job.
        stopped: set for the coroutine that waits for the job.
    """

    def __init__(self, chosen: str):
        self.chosen = chosen
        self.stop = threading.Event()
        self.stopped = asyncio.Event()

    def ask_to_stop(self) -> None:
        self.stop.set()
        self.stopped.set()


class Checks:
    """The checks of all visitors.

    A visitor's name is any hashable value. All methods belong to one event loop; the work runs in
    threads.

    Args:
        models: the detectors.
        line: the line of visitors.
    """

    def __init__(self, models: ModelChoices, line: Line):
        self.models = models
        self.line = line
        self._jobs: dict[Hashable, list[_Job]] = {}
        self._ending: set[asyncio.Future] = set()

    async def run(
        self,
        path: str,
        options: CheckOptions,
        visitor: Hashable,
        on_progress: Progress,
        chosen: str | None = None,
    ) -> VideoReport:
        """Judge a file.

        Args:
            path: an uploaded file.
            options: the visitor's choices.
            visitor: name of the visitor.
            on_progress: called with (stage, done, total), in any thread.
            chosen: the visitor's choice as passed to `choose`, if not just this file.

        Raises:
            CheckStoppedError: the visitor stopped it or chose another file.
            CheckFailedError: the file cannot be used, or an unexpected error happened, which is
                logged.
        """

        def judge(stop: threading.Event) -> VideoReport:
            with self.models.runner(options.model) as runner:
                thresholds = runner.facts(stop).thresholds_for(options.sensitivity)
                job = CheckJob(path, options.frames, Path(path).name)
                report = runner.run(job, on_progress, stop)
            if thresholds is not None:
                report = rejudge(report, thresholds)
            return main_person_only(report) if options.main_person else report

        return await self.work(judge, path if chosen is None else chosen, visitor, on_progress)

    async def work(
        self,
        function: Callable[[threading.Event], Result],
        chosen: str,
        visitor: Hashable,
        on_progress: Progress,
    ) -> Result:
        """Run costly work on a file at this visitor's turn. Errors as of `run`.

        Args:
            function: called in a thread, with an event that is set when the work should stop.
            chosen, visitor, on_progress: as in `run`.
        """
        job = _Job(chosen)
        self._jobs.setdefault(visitor, []).append(job)
        # A separate task, so that the place in line is held until the work has really ended, while
        # a visitor who stops it returns at once.
        working = asyncio.ensure_future(self._in_line(function, job, on_progress))
        stopped = asyncio.ensure_future(job.stopped.wait())
        try:
            await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
            if job.stopped.is_set():
                raise CheckStoppedError
            return working.result()
        except LineFullError:
            raise CheckFailedError(FULL) from None
        except (CheckStoppedError, JobStoppedError):
            raise CheckStoppedError from None
        except UserError as error:
            raise CheckFailedError(str(error)) from error
        except Exception as error:  # the visitor gets a sentence for every error
            logger.exception("A check failed%s", _details(error))
            raise CheckFailedError(UNFORESEEN) from error
        finally:
            stopped.cancel()
            job.ask_to_stop()
            self._ending.add(working)
            working.add_done_callback(self._forget)
            self._jobs[visitor].remove(job)
            if not self._jobs[visitor]:
                del self._jobs[visitor]

    async def _in_line(
        self, function: Callable[[threading.Event], Result], job: "_Job", on_progress: Progress
    ) -> Result:
        def report_place(ahead: int) -> None:
            if job.stop.is_set():
                raise CheckStoppedError
            on_progress(f"Waiting: number {ahead + 1} in line", 0, 1)

        with self.line.join() as place:
            await place.reach_front(report_place)
            if job.stop.is_set():
                raise CheckStoppedError
            return await asyncio.to_thread(function, job.stop)

    def _forget(self, ended: asyncio.Future) -> None:
        self._ending.discard(ended)
        if not ended.cancelled():
            ended.exception()  # mark as retrieved: asyncio would warn otherwise

    def choose(self, visitor: Hashable, chosen: str | None) -> None:
        """Stop a visitor's checks of anything but `chosen`; None stops all of them."""
        for job in self._jobs.get(visitor, ()):
            if job.chosen != chosen:
                job.ask_to_stop()

    def stop(self, visitor: Hashable) -> None:
        """Stop this visitor's checks, whether they run or wait for their turn."""
        self.choose(visitor, None)


def _details(error: Exception) -> str:
    """A worker process's own report of its failure, for the log."""
    details = getattr(error, "details", "")
    return f", in a worker:\n{details}" if details else ""
