"""Work on strangers' files in processes that may die, hang or grow without harm to this one.

    with GuardedWorkers(load, workers=1) as guard:   # load() -> handle, once in each worker
        answer = guard.run(job)                      # handle(job, tell) in the worker

A worker that crashes, uses too much memory or time, or falls silent costs that one job, with one
sentence (`WorkerLostError`), and is replaced. Nothing here imports torch, so a process that only
guards stays small and starts at once; the model is loaded in the worker.

What is limited, and where:
- Memory: the resident size, looked at ten times a second, on Linux, macOS and Windows. On Linux
  allocations beyond the limit fail outright as well; elsewhere a sudden one may go beyond it for a
  tenth of a second.
- Wall-clock time of a job, or of each step where it tells its steps; time without a sign of life.
- Files: workers' temporary files lie in a folder that the guard removes; if the guard itself is
  killed, a worker removes it and goes; if all are killed at once, the next guard does.

A guard is no sandbox: a decoder that is taken over, rather than crashed, has the rights of the
user. Workers are spawned, not forked, because a fork of a process that uses torch can hang; so a
script that starts them needs its `if __name__ == "__main__":`.
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

from .child import TERMINATED, Handle, Tell
from .limits import (
    GuardLimits,
    JobStoppedError,
    StartError,
    WorkerLostError,
)
from .process import TICK_S, GuardedProcess

FOLDER_PREFIX = "caddm-guard-"
LOCK_NAME = ".lock"  # held as long as the guard lives
OLD_AFTER_S = 60.0


class GuardedWorkers:
    """Worker processes behind limits; safe to use from several threads.

    Args:
        load: called once in each worker; picklable. Returns the function that is called with
            each job and with `tell(stage, done, total)`; what its attribute `facts` holds, if it
            has one, is told here. A `ValueError` it raises is a sentence for the user.
        limits: what each worker may cost.
        workers: jobs at once; each worker is started when it is first needed.
    """

    def __init__(
        self, load: Callable[[], Handle], limits: GuardLimits = GuardLimits(), workers: int = 1
    ):
        self._load = load
        self._limits = limits
        _remove_what_was_left()
        self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self._lock_file = FileLock(self._folder / LOCK_NAME)
        with suppress(OSError, NotImplementedError):  # a file system without locks
            self._lock_file.acquire(blocking=False)
        self._lock = threading.Lock()
        self._alive: set[GuardedProcess] = set()
        self._free: queue.LifoQueue[GuardedProcess | None] = queue.LifoQueue()
        self._closed = threading.Event()
        for _ in range(workers):
            self._free.put(None)
        # Also at the end of the interpreter, before multiprocessing's own.
        self._clean_up = weakref.finalize(
            self,
            _end_all,
            self._closed,
            self._lock,
            self._alive,
            self._folder,
            self._lock_file,
        )

    def __enter__(self) -> "GuardedWorkers":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts a worker, if none runs, and does not wait for it."""
        worker = self._take(None)
        self._free.put(worker)

    def facts(self, stop: threading.Event | None = None) -> Any:
        """What a worker says of itself; waits for it.

        Raises:
            StartError: it cannot start.
            JobStoppedError: `stop` was set.
        """
        worker = self._take(stop)
        try:
            return worker.wait_until_ready(stop)
        finally:
            self._give_back(worker, replace=False)

    def run(
        self, job: Any, progress: Tell | None = None, stop: threading.Event | None = None
    ) -> Any:
        """The answer to a job; waits for a free worker.

        Args:
            job: picklable.
            progress: called in this thread with what the job tells. If it raises an `Exception`
                the job is stopped and the exception raised again.
            stop: setting it from any thread ends the job within seconds.

        Raises:
            MediaError: the job's own.
            WorkerLostError: it took the worker along. A worker that the system ended costs a
                second try first.
            JobStoppedError: `stop` was set, or the workers were closed.
            JobFailedError: the job raised something unforeseen.
            StartError: no worker can start.
        """
        for last_try in (False, True):
            worker = self._take(stop)
            replace = True
            try:
                worker.wait_until_ready(stop)
                return worker.run(job, progress, stop)
            except (WorkerLostError, StartError) as loss:
                if self._closed.is_set():
                    raise JobStoppedError from None
                if isinstance(loss, StartError) or loss.cause != "killed" or last_try:
                    raise
            except (KeyboardInterrupt, SystemExit):
                replace = False
                raise
            finally:
                self._give_back(worker, replace)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Ends all workers, jobs or not, and removes their files."""
        self._clean_up()

    def _take(self, stop: threading.Event | None) -> GuardedProcess:
        while True:
            if self._closed.is_set() or (stop is not None and stop.is_set()):
                raise JobStoppedError
            try:
                worker = self._free.get(timeout=TICK_S)
            except queue.Empty:
                continue
            return worker if worker is not None and worker.usable else self._replacement(worker)

    def _replacement(self, old: GuardedProcess | None) -> GuardedProcess:
        try:
            if old is not None:
                self._forget(old)
            with self._lock:
                if self._closed.is_set():
                    raise JobStoppedError
                worker = GuardedProcess(self._load, self._limits, self._folder)
                self._alive.add(worker)
        except BaseException:
            self._free.put(None)
            raise
        return worker

    def _give_back(self, worker: GuardedProcess, replace: bool) -> None:
        """Makes a worker free; one that was lost is replaced, at once if the next may come soon."""
        if worker.usable or self._closed.is_set():
            self._free.put(worker)
        elif replace and worker.was_ready:
            with suppress(JobStoppedError, OSError):  # the next job tries again
                self._free.put(self._replacement(worker))
        else:
            self._forget(worker)
            self._free.put(None)

    def _forget(self, worker: GuardedProcess) -> None:
        worker.end()
        with self._lock:
            self._alive.discard(worker)


def _end_all(
    closed: threading.Event,
    lock: threading.Lock,
    alive: set[GuardedProcess],
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


def _remove_what_was_left() -> None:
    """Folders of guards that were killed together with their workers: nobody holds their locks."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        try:
            facts = folder.lstat()
            new = time.time() - facts.st_mtime < OLD_AFTER_S  # its lock may be about to be taken
            if new or not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
                continue
            with FileLock(folder / LOCK_NAME, blocking=False):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, AttributeError, NotImplementedError):  # in use; Windows; no locks there
            continue


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """A stop from outside leaves `with` blocks, so that they clean up.

    SIGTERM, and SIGHUP where there is one, raise SystemExit(143) in the main thread; in another
    thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def leave(*_: object) -> NoReturn:
        for number in numbers:  # a second one is not to break off the cleaning up
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(TERMINATED)

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
