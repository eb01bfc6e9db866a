"""A pool of worker processes that may crash, hang or grow without harm to their parent.

    with WorkerPool(load, workers=1) as pool:   # load() -> handle, once in each worker
        answer = pool.run(job)                  # handle(job, progress), in a worker

A worker that crashes, uses too much memory or time, or falls silent costs one job, which raises
`WorkerLostError`. A new worker takes its place. This module does not import torch, so the parent
stays small and starts at once; the model is loaded in the workers.

What is limited, and where:
- Memory: the parent checks the resident size ten times a second, on Linux, macOS and Windows. On
  Linux, allocations beyond the limit also fail at once; elsewhere a sudden allocation may exceed
  the limit for a tenth of a second.
- Time: wall-clock seconds of a job or of each step, and seconds without a heartbeat.
- Files: workers keep temporary files in a folder that the parent deletes. If the parent is killed,
  a worker deletes the folder and exits; if all are killed at once, the next pool deletes it.
- Answers: JSON and arrays (`messages`), limited in size and never unpickled.
- Secrets: tokens and passwords are removed from a worker's environment before its first job.

A pool is no sandbox: a decoder that is taken over, rather than crashed, has the rights of the
user. Workers are spawned, not forked, because a fork of a process that uses torch can hang. A
script that starts workers therefore needs `if __name__ == "__main__":`.
"""

import os
import queue
import shutil
import signal
import stat
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock

from ..core.liveness import Progress
from .child import TERMINATED, Handle
from .limits import GuardLimits, JobStoppedError, StartError, WorkerLostError
from .process import TICK_S, WorkerProcess

FOLDER_PREFIX = "caddm-guard-"
LOCK_NAME = ".lock"  # held while the pool exists
OLD_AFTER_S = 60.0


class WorkerPool:
    """Worker processes with limits. Several threads may use a pool at once.

    Args:
        load: called once in each worker; picklable. Its result is called with each job and with
            `progress(stage, done, total)`, and may have an attribute `facts`. The message of a
            `ValueError` that it raises is a sentence for the user.
        limits: what each worker may cost.
        workers: number of jobs at once. A worker is started when it is first needed.
        keep_secrets: whether tokens and passwords stay in the environment during jobs.
    """

    def __init__(
        self,
        load: Callable[[], Handle],
        limits: GuardLimits = GuardLimits(),
        workers: int = 1,
        keep_secrets: bool = False,
    ):
        self._load = load
        self._limits = limits
        self._keep_secrets = keep_secrets
        _delete_abandoned_folders()
        self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        lock_file = FileLock(self._folder / LOCK_NAME)
        with suppress(OSError, NotImplementedError):  # the file system may not support locks
            lock_file.acquire(blocking=False)
        self._lock = threading.Lock()
        self._alive: set[WorkerProcess] = set()
        self._free: queue.LifoQueue[WorkerProcess | None] = queue.LifoQueue()
        self._closed = threading.Event()
        for _ in range(workers):
            self._free.put(None)
        # Also called when the interpreter exits, before multiprocessing ends its children.
        self._close = weakref.finalize(
            self, _end_all, self._closed, self._lock, self._alive, self._folder, lock_file
        )

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Start a worker if none is running, without waiting for it."""
        self._free.put(self._take(None))

    def facts(self, stop: threading.Event | None = None) -> Any:
        """Wait until a worker has loaded; return the `facts` of its handler, None without facts.

        Raises:
            StartError: no worker can start.
            JobStoppedError: `stop` was set.
        """
        with self._worker(stop) as worker:
            return worker.wait_until_ready(stop)

    def run(
        self, job: Any, progress: Progress | None = None, stop: threading.Event | None = None
    ) -> Any:
        """Run a job on a free worker and return its result.

        Args:
            job: picklable.
            progress: called in this thread with the job's progress. An `Exception` that it raises
                stops the job and is raised again.
            stop: setting it from any thread ends the job within seconds.

        Returns:
            JSON values and numpy arrays, as `messages.encode` accepts them.

        Raises:
            MediaError: raised by the job.
            WorkerLostError: the worker was lost. If the system killed the worker, the job is
                retried once before.
            JobStoppedError: `stop` was set, or the pool was closed.
            JobFailedError: the job raised an unexpected exception.
            StartError: no worker can start.
        """
        try:
            return self._run(job, progress, stop)
        except WorkerLostError as loss:
            if loss.cause != "killed":
                raise
        return self._run(job, progress, stop)

    def _run(self, job: Any, progress: Progress | None, stop: threading.Event | None) -> Any:
        try:
            with self._worker(stop) as worker:
                worker.wait_until_ready(stop)
                return worker.run(job, progress, stop)
        except (WorkerLostError, StartError):
            if self._closed.is_set():
                raise JobStoppedError from None
            raise

    def close(self) -> None:
        """Kill all workers, busy or not, and delete their files."""
        self._close()

    @contextmanager
    def _worker(self, stop: threading.Event | None) -> Iterator[WorkerProcess]:
        worker = self._take(stop)
        try:
            yield worker
        finally:
            self._free.put(worker)

    def _take(self, stop: threading.Event | None) -> WorkerProcess:
        """Wait for a free worker, replace it if it is dead, and return it."""
        while True:
            if self._closed.is_set() or (stop is not None and stop.is_set()):
                raise JobStoppedError
            try:
                worker = self._free.get(timeout=TICK_S)
                break
            except queue.Empty:
                continue
        if worker is not None and worker.usable:
            return worker
        try:
            if worker is not None:
                worker.end()
            with self._lock:
                self._alive.discard(worker)
                if self._closed.is_set():
                    raise JobStoppedError
                new = WorkerProcess(self._load, self._limits, self._folder, self._keep_secrets)
                self._alive.add(new)
        except BaseException:
            self._free.put(None)
            raise
        return new


def _end_all(
    closed: threading.Event,
    lock: threading.Lock,
    alive: set[WorkerProcess],
    folder: Path,
    lock_file: FileLock,
) -> None:
    closed.set()
    with lock:
        for worker in alive:
            worker.end()
        alive.clear()
    lock_file.release()
    shutil.rmtree(folder, ignore_errors=True)


def _delete_abandoned_folders() -> None:
    """Delete the folders of pools that were killed with their workers (their locks are free)."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        try:
            facts = folder.lstat()
            new = time.time() - facts.st_mtime < OLD_AFTER_S  # its pool may not have locked it yet
            if new or not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
                continue
            with FileLock(folder / LOCK_NAME, blocking=False):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, AttributeError, NotImplementedError):  # in use; Windows; no locks
            continue


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise SystemExit(143), so that `with` blocks clean up.

    Has no effect outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def leave(*_: object) -> NoReturn:
        for number in numbers:  # a second signal must not interrupt the clean-up
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(TERMINATED)

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
