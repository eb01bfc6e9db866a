"""One worker process, its limits, and the guard's end of the line to `guard.child`."""

import multiprocessing
import pickle
import queue
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from ..media.limits import MediaError
from .child import CHILD_SIGNALS, TERMINATED, Handle, Tell, work
from .limits import (
    Cause,
    GuardLimits,
    JobFailedError,
    JobStoppedError,
    StartError,
    WorkerLostError,
)

TICK_S = 0.1  # how often limits are looked at
END_WITHIN_S = 5.0  # a killed process is gone by then, or the system cannot end it
MESSAGES_AHEAD = 64
GONE = ("gone",)
TOO_LARGE = ("too large",)


class GuardedProcess:
    """A worker; used by one thread at a time, ended by any.

    Args:
        load: what it runs first.
        limits: what it may cost.
        folder: in which it gets one of its own for temporary files.

    Attributes:
        was_ready: whether it has finished loading.
    """

    def __init__(self, load: Callable[[], Handle], limits: GuardLimits, folder: Path):
        self.was_ready = False
        self._limits = limits
        folder.mkdir(mode=0o700, exist_ok=True)  # a worker told to go removes it if it is empty
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._facts: Any = None
        self._idle_bytes = 0
        self._number = 0
        self._ended_for: Cause | None = None
        self._ended = False
        self._end_lock = threading.Lock()
        self._born_at = time.monotonic()
        context = multiprocessing.get_context("spawn")
        self._line, far_end = context.Pipe()
        self._process = context.Process(
            target=work,
            args=(
                far_end,
                load,
                str(self._folder),
                limits.memory_bytes,
                limits.job_s,
                limits.answer_bytes,
            ),
            daemon=True,
        )
        try:
            with _signals_kept_from_children():
                self._process.start()
        except BaseException:
            self._line.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            far_end.close()
        self._seen = psutil.Process(self._process.pid)
        # A thread reads, so that a worker that stops in the middle of a message holds up nobody.
        self._messages: queue.Queue[tuple] = queue.Queue(MESSAGES_AHEAD)
        threading.Thread(
            target=_listen,
            args=(self._line, self._messages, limits.answer_bytes, lambda: self._ended),
            daemon=True,
        ).start()

    @property
    def usable(self) -> bool:
        """Whether it runs and nobody has ended it."""
        return not self._ended and self._process.is_alive()

    @property
    def resident_bytes(self) -> int:
        """What it has in memory now; 0 where it is gone."""
        try:
            return self._seen.memory_info().rss
        except psutil.Error:
            return 0

    def wait_until_ready(self, stop: threading.Event | None) -> Any:
        """The worker's facts, once it has finished loading.

        Raises:
            StartError: it cannot start.
            JobStoppedError: `stop` was set; it goes on loading.
        """
        while not self.was_ready:
            message = self.next_message()
            if message is None:
                if stop is not None and stop.is_set():
                    raise JobStoppedError
                self._check_start()
            elif message[0] == "ready":
                self._facts = message[1]
                self._idle_bytes = self.resident_bytes
                self.was_ready = True
            else:
                self.end()
                if message[0] == "no start":
                    raise StartError(message[1])
                raise StartError(
                    "The process that does the work ended while it was started, perhaps for want "
                    "of memory."
                )
        return self._facts

    def _check_start(self) -> None:
        sentence = None
        if self.resident_bytes > self._limits.memory_bytes:
            sentence = (
                "The model does not fit into the memory that one worker may use "
                f"({self._limits.memory_bytes / 1e9:.1f} GB)."
            )
        elif time.monotonic() - self._born_at > self._limits.start_s:
            sentence = f"The model could not be loaded within {self._limits.start_s:g} s."
        if sentence is not None:
            self.end()
            raise StartError(sentence)

    def run(self, job: Any, progress: Tell | None, stop: threading.Event | None) -> Any:
        """The answer to a job; as `GuardedWorkers.run`."""
        self._number += 1
        data = pickle.dumps(("job", self._number, job))
        try:
            self._line.send_bytes(data)
        except OSError:  # it has died since the last one
            raise WorkerLostError("killed", self._limits) from None
        current = _Job(self, self._limits, self._number, progress, stop)
        try:
            answer = current.outcome()
        finally:
            if not current.has_ended:  # it was lost, or an interrupt came
                self.end()
        grown = self.resident_bytes - self._idle_bytes
        if grown > (self._limits.memory_bytes - self._idle_bytes) / 2:
            self.end()  # what earlier jobs left behind is not to be charged to the next
        return answer

    def next_message(self) -> tuple | None:
        """What the worker says within a tick; `GONE` once it says no more."""
        try:
            return self._messages.get(timeout=TICK_S)
        except queue.Empty:
            return GONE if self._ended else None

    def ask_to_stop(self) -> None:
        """Ends the job where it next looks."""
        with suppress(OSError):  # it has ended already
            self._line.send(("stop", self._number))

    def end(self, cause: Cause | None = None) -> None:
        """Kills the process, if it runs, and removes its files."""
        with self._end_lock:
            if self._ended:
                return
            self._ended_for = cause
            self._ended = True
            self._process.kill()
            self._process.join(END_WITHIN_S)
            shutil.rmtree(self._folder, ignore_errors=True)

    def fate(self) -> Cause:
        """Why it hung up."""
        self._process.join(END_WITHIN_S)
        # One that lives and yet says nothing that can be understood is as good as dead.
        self.end("died" if self._process.is_alive() else None)
        if self._ended_for is not None:
            return self._ended_for
        by_system = (TERMINATED, -signal.SIGTERM, -getattr(signal, "SIGKILL", 0))
        return "killed" if self._process.exitcode in by_system else "died"


class _Job:
    """One job, from its being sent to its outcome."""

    def __init__(
        self,
        process: GuardedProcess,
        limits: GuardLimits,
        number: int,
        progress: Tell | None,
        stop: threading.Event | None,
    ):
        self._process = process
        self._limits = limits
        self._number = number
        self._progress = progress
        self._stop = stop
        self._stopped_at: float | None = None
        self._stopped_by: Exception = JobStoppedError()
        self.has_ended = False  # by what the worker said
        self._step = ""
        self._began_at = self._moved_at = self._looked_at = time.monotonic()

    def outcome(self) -> Any:
        while True:
            message = self._process.next_message()
            if message is not None:
                ended, answer = self._heard(message)
                if ended:
                    return answer
                self._moved_at = time.monotonic()
            self._check(time.monotonic())

    def _heard(self, message: tuple) -> tuple[bool, Any]:
        """Whether this ends the job, and its answer."""
        kind, *rest = message
        if message == GONE:
            if self._stopped_at is not None:
                raise self._stopped_by
            raise self._loss(self._process.fate())
        if message == TOO_LARGE:
            self._process.end()
            raise self._loss("answer")
        number, *content = rest
        if number != self._number:
            return False, None
        if kind in ("progress", "step", "alive"):
            self._note(kind, content)
            return False, None
        self.has_ended = True
        if self._stopped_at is not None:
            raise self._stopped_by
        if kind == "result":
            return True, content[0]
        if kind == "unusable":
            raise MediaError(content[0])
        if kind == "failed":
            raise JobFailedError(*content)
        raise self._loss("memory" if kind == "memory" else "answer")

    def _note(self, kind: str, content: list) -> None:
        if kind == "step":
            (self._step,) = content
            self._began_at = time.monotonic()
        elif kind == "progress" and self._progress is not None and self._stopped_at is None:
            try:
                self._progress(*content)
            except Exception as error:
                self._ask_to_stop(error)

    def _check(self, now: float) -> None:
        """Ends the job where it is no longer wanted or goes beyond a limit."""
        if self._stopped_at is None and self._stop is not None and self._stop.is_set():
            self._ask_to_stop(JobStoppedError())
        if self._stopped_at is not None and now - self._stopped_at > self._limits.stop_grace_s:
            self._process.end()
            raise self._stopped_by
        since_last_look = now - self._looked_at
        if since_last_look < TICK_S:
            return
        self._looked_at = now
        # Whatever held this process up (a machine that was paused) held its hearing up, too, and
        # is no silence of the worker's.
        self._moved_at = min(now, self._moved_at + max(0.0, since_last_look - 2 * TICK_S))
        cause: Cause | None = None
        if self._process.resident_bytes > self._limits.memory_bytes:
            cause = "memory"
        elif now - self._began_at > self._limits.job_s:
            cause = "time"
        elif now - self._moved_at > self._limits.silence_s:
            cause = "silent"
        if cause is not None:
            self._process.end(cause)
            raise self._loss(cause)

    def _ask_to_stop(self, error: Exception) -> None:
        self._stopped_at, self._stopped_by = time.monotonic(), error
        self._process.ask_to_stop()

    def _loss(self, cause: Cause) -> WorkerLostError:
        return WorkerLostError(cause, self._limits, self._step)


def _listen(
    line: Connection, messages: queue.Queue, most_bytes: int, given_up: Callable[[], bool]
) -> None:
    """Hands on what a worker says until it hangs up, then closes the line."""
    last: tuple = GONE
    with line:
        while True:
            try:
                data = line.recv_bytes(most_bytes)
            except EOFError:
                break
            except OSError as error:
                # Without an error number it is the length that was refused.
                last = GONE if error.errno else TOO_LARGE
                break
            try:
                message = pickle.loads(data)
            except Exception:  # whatever garbled bytes provoke
                break
            if not _put(messages, message, given_up):
                return
    _put(messages, last, given_up)


def _put(messages: queue.Queue, message: tuple, given_up: Callable[[], bool]) -> bool:
    while not given_up():
        try:
            messages.put(message, timeout=1.0)
        except queue.Full:
            continue
        return True
    return False


@contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Blocks signals in a child started meanwhile, until it has said what it does with them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, CHILD_SIGNALS)
    try:
        # With the first child comes a process of multiprocessing's own, which unblocks some.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, CHILD_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
