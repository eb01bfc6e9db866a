"""Many jobs on the cores of one machine or on a Ray cluster.

    with open_engine("processes", workers=4) as engine:
        for result in engine.map(function, jobs):
            ...

Results come as they are ready. A job is a call of a module's function with one picklable
argument; what must not be lost, it writes itself. Data preparation and scoring at scale run on
these engines.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing.connection import wait as wait_for_objects
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

ENGINES = ("processes", "ray")
JOBS_AHEAD = 2  # handed out for each worker, so that none waits for the next
MOST_BLOCKS = 10_000  # into which Ray Data divides the jobs


class EngineError(RuntimeError):
    """The engine cannot start or has broken down; the message is one sentence for the user."""


class Engine(Protocol):
    """What runs jobs; a context manager."""

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        """The results of `function(job)`, in the order in which they are ready."""

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *exception: object) -> None: ...


def open_engine(
    name: str,
    workers: int | None = None,
    ray_address: str | None = None,
    packages: Sequence[Path] = (),
) -> Engine:
    """An engine to be used in a `with` statement.

    Args:
        name: "processes" or "ray".
        workers: how many jobs run at once; None for one a core. With "processes", 0 runs the
            jobs in this process.
        ray_address: of an existing cluster; None for that of `RAY_ADDRESS`, or else a new one on
            this machine.
        packages: folders of modules that jobs need beside this package; they are sent to the
            nodes of a cluster.
    """
    if name == "ray":
        return RayEngine(workers, ray_address, packages)
    if workers == 0:
        return SameProcess()
    return ProcessEngine(workers or os.cpu_count() or 1)


class SameProcess:
    """Jobs one after the other in this process."""

    def __enter__(self) -> "SameProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        """As `Engine.map`."""
        return map(function, jobs)


class ProcessEngine:
    """Worker processes on this machine.

    They end with this process, however it ends. If one of them dies, `map` raises an
    `EngineError`.
    """

    def __init__(self, workers: int):
        self._workers = workers
        # Not forked: a copy of a process that has used torch can hang.
        self._pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_stay_with_parent
        )

    def __enter__(self) -> "ProcessEngine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        """As `Engine.map`."""
        ahead = iter(jobs)
        running: set[Future] = set()
        try:
            while True:
                free = JOBS_AHEAD * self._workers - len(running)
                running |= {self._pool.submit(function, job) for job in islice(ahead, free)}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise EngineError(
                "A worker process was killed, perhaps for want of memory: run the command again "
                "to go on, with fewer --workers."
            ) from None


def _stay_with_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait_for_objects([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class RayEngine:
    """Ray Data on an existing cluster, or on one started on this machine.

    Jobs that were running on a node that dies are run again elsewhere. Jobs must therefore be
    able to run twice.
    """

    def __init__(self, workers: int | None, address: str | None, packages: Sequence[Path] = ()):
        self._workers = workers
        # Ray's wheels report their use to the makers unless told not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            import ray.data
        except ImportError:
            raise EngineError(
                "The engine 'ray' needs the package ray: pip install 'ray[data]'."
            ) from None
        self._ray = ray
        code = [Path(__file__).resolve().parent, *packages]
        try:
            ray.init(
                address=address,
                runtime_env={"py_modules": [str(folder) for folder in code]},
                log_to_driver=False,
                logging_level="ERROR",
            )
        except Exception as error:  # Ray raises whatever it meets
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise EngineError(f"Ray cannot be reached or started: {reason[0]}") from error
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)

    def __enter__(self) -> "RayEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._ray.shutdown()

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        """As `Engine.map`."""
        rows = [{"job": pickle.dumps(job)} for job in jobs]
        if not rows:
            return
        results = self._ray.data.from_items(
            rows, override_num_blocks=min(len(rows), MOST_BLOCKS)
        ).map(partial(_run_pickled, function), concurrency=self._workers)
        try:
            for row in results.iter_rows():
                yield pickle.loads(row["result"])
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise EngineError(f"Ray has broken down: {reason}") from error


def _run_pickled(function: Callable[[Any], Any], row: dict[str, bytes]) -> dict[str, bytes]:
    return {"result": pickle.dumps(function(pickle.loads(row["job"])))}
