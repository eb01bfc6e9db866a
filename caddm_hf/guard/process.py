"""One worker process, seen from its parent: its limits, and the parent's end of the connection."""

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

from ..core.liveness import Progress
from ..media.limits import MediaError
from .child import CHILD_SIGNALS, TERMINATED, Handle, run_worker
from .limits import (
    Cause,
    GuardLimits,
    JobFailedError,
    JobStoppedError,
    StartError,
    WorkerLostError,
)
from .messages import MessageError, decode

TICK_S = 0.1  # between two checks of the limits
KILL_WITHIN_S = 5.0  # wait no longer than this for a killed process to exit
# Pseudo-messages: the worker has closed the connection, or sent an invalid message.
CLOSED = ("closed",)
GARBLED = ("refused", "died")
TOO_LONG = ("refused", "answer")


class WorkerProcess:
    """A worker process. Only one thread at a time may use it; any thread may end it.

    Args:
        load: called once in the worker; its result is called with each job.
        limits: what the worker may cost.
        folder: parent of the worker's own folder for temporary files.
        keep_secrets: whether jobs need the secrets in the environment, too.
    """

    def __init__(
        self, load: Callable[[], Handle], limits: GuardLimits, folder: Path, keep_secrets: bool
    ):
        self._limits = limits
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._ready = False
        self._facts: Any = None
        self._idle_bytes = 0
        self._number = 0
        self._ended = False
        self._ended_for: Cause | None = None
        self._end_lock = threading.Lock()
        self._started_at = time.monotonic()
        context = multiprocessing.get_context("spawn")
        self._connection, far_end = context.Pipe()
        arguments = (far_end, load, str(self._folder), limits, keep_secrets)
        self._process = context.Process(target=run_worker, args=arguments, daemon=True)
        try:
            with _signals_blocked_in_children():
                self._process.start()
        except BaseException:
            self._connection.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            far_end.close()
        self._resources = psutil.Process(self._process.pid)
        # A thread reads, so that a worker that stops within a message does not block the caller.
        # The queue holds one message: a worker that keeps sending must not fill this process.
        self._messages: queue.Queue[tuple] = queue.Queue(1)
        threading.Thread(
            target=_read_messages,
            args=(self._connection, self._messages, limits.answer_bytes, lambda: self._ended),
            daemon=True,
        ).start()

    @property
    def usable(self) -> bool:
        """Whether the process is running and `end` was not called."""
        return not self._ended and self._process.is_alive()

    @property
    def resident_bytes(self) -> int:
        """Resident size of the process; 0 if it is gone."""
        try:
            return self._resources.memory_info().rss
        except psutil.Error:
            return 0

    def wait_until_ready(self, stop: threading.Event | None) -> Any:
        """Wait until the worker has loaded, and return its facts.

        Raises:
            StartError: the worker cannot start.
            JobStoppedError: `stop` was set; the worker keeps loading.
        """
        while not self._ready:
            message = self.next_message()
            if message is None:
                if stop is not None and stop.is_set():
                    raise JobStoppedError
                self._check_start()
                continue
            kind, *contents = message
            if kind == "ready":
                (self._facts,) = contents
                self._idle_bytes = self.resident_bytes
                self._ready = True
            elif kind == "no start":
                self._fail_start(*contents)
            else:
                self._fail_start(
                    "The process that does the work ended while it was started, perhaps for want "
                    "of memory."
                )
        return self._facts

    def _check_start(self) -> None:
        if self.resident_bytes > self._limits.memory_bytes:
            self._fail_start(
                "The model does not fit into the memory that one worker may use "
                f"({self._limits.memory_bytes / 1e9:.1f} GB)."
            )
        if time.monotonic() - self._started_at > self._limits.start_s:
            self._fail_start(f"The model could not be loaded within {self._limits.start_s:g} s.")

    def _fail_start(self, sentence: str) -> None:
        self.end()
        raise StartError(sentence)

    def run(self, job: Any, progress: Progress | None, stop: threading.Event | None) -> Any:
        """Run a job. Arguments, result and errors are those of `WorkerPool.run`."""
        self._number += 1
        data = pickle.dumps(("job", self._number, job))
        try:
            self._connection.send_bytes(data)
        except OSError:  # the worker has died since the last job
            raise WorkerLostError("killed", self._limits) from None
        current = _Job(self, self._limits, self._number, progress, stop)
        try:
            answer = current.wait()
        finally:
            if not current.ended:  # the worker was lost, or this thread was interrupted
                self.end()
        grown = self.resident_bytes - self._idle_bytes
        if grown > (self._limits.memory_bytes - self._idle_bytes) / 2:
            self.end()  # memory left by earlier jobs must not count against the next one
        return answer

    def next_message(self) -> tuple | None:
        """Return the next message, None if none arrives within a tick, or `CLOSED` at the end."""
        try:
            return self._messages.get(timeout=TICK_S)
        except queue.Empty:
            return CLOSED if self._ended else None

    def ask_to_stop(self) -> None:
        """Ask the job to stop at its next checkpoint."""
        with suppress(OSError):  # the worker has exited
            self._connection.send(("stop", self._number))

    def end(self, cause: Cause | None = None) -> None:
        """Kill the process if it is running, and delete its files."""
        with self._end_lock:
            if self._ended:
                return
            self._ended_for = cause
            self._ended = True
            self._process.kill()
            self._process.join(KILL_WITHIN_S)
            shutil.rmtree(self._folder, ignore_errors=True)

    def cause_of_end(self) -> Cause:
        """Return why the worker has closed the connection."""
        self._process.join(KILL_WITHIN_S)
        # A running worker without a connection is of no use.
        self.end("died" if self._process.is_alive() else None)
        if self._ended_for is not None:
            return self._ended_for
        by_system = (TERMINATED, -signal.SIGTERM, -getattr(signal, "SIGKILL", 0))
        return "killed" if self._process.exitcode in by_system else "died"


class _Job:
    """A job that a worker is running."""

    def __init__(
        self,
        worker: WorkerProcess,
        limits: GuardLimits,
        number: int,
        progress: Progress | None,
        stop: threading.Event | None,
    ):
        self.ended = False  # True once the worker has sent a final message
        self._worker = worker
        self._limits = limits
        self._number = number
        self._progress = progress
        self._stop = stop
        self._stopped_at: float | None = None
        self._stopped_by: Exception = JobStoppedError()
        self._step = ""
        self._silent_s = 0.0
        self._began_at = self._checked_at = time.monotonic()

    def wait(self) -> Any:
        while True:
            message = self._worker.next_message()
            if message is not None:
                self._silent_s = 0.0
                self._handle(message)
                if self.ended:
                    return self._outcome(*message)
            self._check(time.monotonic())

    def _handle(self, message: tuple) -> None:
        """Process a message; set `ended` if it is the last one of the job."""
        if message == CLOSED:
            if self._stopped_at is not None:
                raise self._stopped_by
            raise self._loss(self._worker.cause_of_end())
        if message in (GARBLED, TOO_LONG):
            self._worker.end()
            raise self._loss(message[1])
        kind, number, *contents = message
        if kind in ("ready", "no start", "alive") or number != self._number:
            return
        if kind == "step":
            (self._step,) = contents
            self._began_at = time.monotonic()
        elif kind == "progress":
            if self._progress is not None and self._stopped_at is None:
                try:
                    self._progress(*contents)
                except Exception as error:
                    self._ask_to_stop(error)
        else:
            self.ended = True

    def _outcome(self, kind: str, _: int, *contents: Any) -> Any:
        if self._stopped_at is not None:
            raise self._stopped_by
        if kind == "result":
            return contents[0]
        if kind == "unusable":
            raise MediaError(contents[0])
        if kind == "failed":
            raise JobFailedError(*contents)
        raise self._loss("memory" if kind == "memory" else "answer")

    def _check(self, now: float) -> None:
        """Stop the job if it is no longer wanted, or end its worker if it exceeds a limit."""
        if self._stopped_at is None and self._stop is not None and self._stop.is_set():
            self._ask_to_stop(JobStoppedError())
        if self._stopped_at is not None and now - self._stopped_at > self._limits.stop_grace_s:
            self._worker.end()
            raise self._stopped_by
        passed_s = now - self._checked_at
        if passed_s < TICK_S:
            return
        self._checked_at = now
        # If this process itself was suspended, e.g. with its machine, it received nothing
        # meanwhile. Do not count that time as the worker's silence.
        self._silent_s += min(passed_s, 2 * TICK_S)
        cause: Cause | None = None
        if self._worker.resident_bytes > self._limits.memory_bytes:
            cause = "memory"
        elif now - self._began_at > self._limits.job_s:
            cause = "time"
        elif self._silent_s > self._limits.silence_s:
            cause = "silent"
        if cause is not None:
            self._worker.end(cause)
            raise self._loss(cause)

    def _ask_to_stop(self, error: Exception) -> None:
        self._stopped_at, self._stopped_by = time.monotonic(), error
        self._worker.ask_to_stop()

    def _loss(self, cause: Cause) -> WorkerLostError:
        return WorkerLostError(cause, self._limits, self._step)


def _read_messages(
    connection: Connection, messages: queue.Queue, max_bytes: int, ended: Callable[[], bool]
) -> None:
    """Queue a worker's messages until it closes the connection, then close this end."""
    with connection:
        last = None
        while last is None:
            try:
                message = decode(connection.recv_bytes(max_bytes))
            except EOFError:
                message = last = CLOSED
            except MessageError:
                message = last = GARBLED
            except OSError as error:
                # An error without a number means that the message was too long.
                message = last = CLOSED if error.errno else TOO_LONG
            while not ended():
                try:
                    messages.put(message, timeout=1.0)
                    break
                except queue.Full:
                    continue
            else:
                return


@contextmanager
def _signals_blocked_in_children() -> Iterator[None]:
    """Block signals in a child started meanwhile, until the child has set up its handlers."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, CHILD_SIGNALS)
    try:
        # With the first child, multiprocessing starts its resource tracker, which unblocks some.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, CHILD_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
