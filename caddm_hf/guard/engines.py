"""Many jobs on the cores of one machine or on a Ray cluster.

    with open_engine("processes", workers=4) as engine:
        for result in engine.map(function, jobs):
            ...

Results come as they are ready. A job is a call of a module's function with one picklable
argument; what must not be lost, it writes itself. Data preparation and scoring at scale run on
these engines, behind the guard of `guard.pool`: a job whose file crashes, hangs or bloats its
worker costs that job, and `lost` says what becomes of it.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from ..core.errors import UserError
from .child import Handle, Tell
from .limits import GuardLimits, JobFailedError, StartError, WorkerLostError
from .pool import GuardedWorkers

ENGINES = ("processes", "ray")
JOBS_AHEAD = 2  # handed out for each worker, so that none waits for the next
MOST_BLOCKS = 10_000  # into which Ray Data divides the jobs


class EngineError(UserError):
    """The engine cannot start or has broken down; the message is one sentence for the user."""


@dataclass(frozen=True)
class Again:
    """What to do instead of a lost job: another one."""

    job: Any


Lost = Callable[[Any, WorkerLostError], Any]


class Engine(Protocol):
    """What runs jobs; a context manager."""

    def map(
        self,
        function: Callable[[Any], Any],
        jobs: Iterable[Any],
        lost: Lost | None = None,
    ) -> Iterator[Any]:
        """The results of `function(job)`, in the order in which they are ready.

        Args:
            function: of a module, as is `lost`.
            jobs: picklable.
            lost: called as `lost(job, loss)` for a job that took its worker along; gives a result
                in its place, or `Again`. Without it such a job ends the run.

        Raises:
            EngineError: the engine has broken down.
            JobFailedError: `function` raised something.
        """

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *exception: object) -> None: ...


def open_engine(
    name: str,
    workers: int | None = None,
    ray_address: str | None = None,
) -> Engine:
    """An engine to be used in a `with` statement.

    Args:
        name: "processes" or "ray".
        workers: how many jobs run at once; None for one a core. With "processes", 0 runs the
            jobs in this process.
        ray_address: of an existing cluster; None for that of `RAY_ADDRESS`, or else a new one on
            this machine.
    """
    if name == "ray":
        return RayEngine(workers, ray_address)
    if workers == 0:
        return SameProcess()
    return ProcessEngine(workers or os.cpu_count() or 1)


class SameProcess:
    """Jobs one after the other in this process, which nothing guards."""

    def __enter__(self) -> "SameProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def map(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], lost: Lost | None = None
    ) -> Iterator[Any]:
        """As `Engine.map`."""
        return (_outcome(_call_here, function, job, lost) for job in jobs)


class ProcessEngine:
    """Guarded worker processes on this machine. They end with this process, however it ends."""

    def __init__(self, workers: int):
        self._workers = workers
        self._guard = GuardedWorkers(load_functions, workers=workers)
        self._threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> "ProcessEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._guard.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def map(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], lost: Lost | None = None
    ) -> Iterator[Any]:
        """As `Engine.map`."""
        ahead = iter(jobs)
        running: set[Future] = set()
        while True:
            free = JOBS_AHEAD * self._workers - len(running)
            running |= {
                self._threads.submit(_outcome, self._guard.run, function, job, lost)
                for job in islice(ahead, free)
            }
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def load_functions() -> Handle:
    """For a worker that does whatever it is told."""
    return _call


def _call(job: tuple[Callable[[Any], Any], Any], tell: Tell) -> Any:
    function, argument = job
    return function(argument)


def _call_here(job: tuple[Callable[[Any], Any], Any]) -> Any:
    function, argument = job
    try:
        return function(argument)
    except MemoryError:
        raise WorkerLostError("memory", GuardLimits()) from None


def _outcome(
    run: Callable[[tuple], Any], function: Callable[[Any], Any], job: Any, lost: Lost | None
) -> Any:
    """The result of a job or of what is to be done instead."""
    while True:
        try:
            return run((function, job))
        except WorkerLostError as loss:
            if lost is None:
                raise EngineError(_broken_down(loss)) from None
            result = lost(job, loss)
        except StartError as error:
            raise EngineError(str(error)) from None
        except JobFailedError as error:
            error.add_note(error.details)
            raise
        if not isinstance(result, Again):
            return result
        job = result.job


def _broken_down(loss: WorkerLostError) -> str:
    if loss.cause != "killed":
        return f"A job took its worker process along: {loss}"
    return (
        "A worker process was killed, perhaps for want of memory: run the command again to go on, "
        "with fewer --workers."
    )


class RayEngine:
    """Ray Data on an existing cluster, or on one started on this machine.

    Jobs that were running on a node that dies are run again elsewhere. Jobs must therefore be
    able to run twice.
    """

    def __init__(self, workers: int | None, address: str | None):
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
        package = Path(__file__).resolve().parents[1]  # with all that jobs need
        try:
            ray.init(
                address=address,
                runtime_env={"py_modules": [str(package)]},
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

    def map(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], lost: Lost | None = None
    ) -> Iterator[Any]:
        """As `Engine.map`; jobs are guarded where `lost` is given."""
        rows = [{"job": pickle.dumps(job)} for job in jobs]
        if not rows:
            return
        results = self._ray.data.from_items(
            rows, override_num_blocks=min(len(rows), MOST_BLOCKS)
        ).map(partial(_run_pickled, function, lost), concurrency=self._workers)
        try:
            for row in results.iter_rows():
                yield pickle.loads(row["result"])
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise EngineError(f"Ray has broken down: {reason}") from error


def _run_pickled(
    function: Callable[[Any], Any], lost: Lost | None, row: dict[str, bytes]
) -> dict[str, bytes]:
    """In a process of Ray's."""
    job = pickle.loads(row["job"])
    if lost is None:
        return {"result": pickle.dumps(function(job))}
    return {"result": pickle.dumps(_outcome(_own_guard().run, function, job, lost))}


@lru_cache(maxsize=1)
def _own_guard() -> GuardedWorkers:
    """One in each of Ray's processes, with which it ends."""
    return GuardedWorkers(load_functions)
