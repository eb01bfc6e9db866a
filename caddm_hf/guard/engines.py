"""Many jobs on the cores of one machine or on a Ray cluster.

    with open_engine("processes", workers=4) as engine:
        for result in engine.map(function, jobs):
            ...

Results are yielded as they are ready. A job is a call of a module-level function with one picklable
argument. Its result is JSON values and arrays, as `messages.encode` accepts them. A job must itself
write to disk what must not be lost. Data preparation and scoring at scale run on these engines, in
the workers of `pool`. If a file crashes, hangs or bloats a worker, only its job is lost, and the
callback `lost` decides what replaces the result.
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

from ..core.errors import UserError, first_cause, first_line
from ..core.liveness import Progress
from .child import Handle
from .limits import GuardLimits, JobFailedError, StartError, WorkerLostError
from .messages import decode, encode
from .pool import WorkerPool

JOBS_AHEAD = 2  # submitted for each worker, so that no worker waits for its next job
MAX_BLOCKS = 10_000  # the most blocks into which Ray Data divides the jobs


class EngineError(UserError):
    """The engine cannot start or has broken down; the message is one sentence for the user."""


@dataclass(frozen=True)
class Retry:
    """Returned by a `LostHandler`: run this job instead of the lost one."""

    job: Any


# Called with a job and the error that lost its worker. Returns a substitute result, or `Retry`.
LostHandler = Callable[[Any, WorkerLostError], Any]


class Engine(Protocol):
    """Runs jobs; a context manager."""

    def map(
        self,
        function: Callable[[Any], Any],
        jobs: Iterable[Any],
        lost: LostHandler | None = None,
    ) -> Iterator[Any]:
        """Run `function(job)` for each job, and yield the results as they are ready.

        Args:
            function: defined at module level, as is `lost`.
            jobs: picklable.
            lost: called for a job whose worker was lost. Without it such a job ends the run.

        Raises:
            EngineError: the engine has broken down.
            JobFailedError: `function` raised an exception.
        """

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *exception: object) -> None: ...


def open_engine(
    name: str,
    workers: int | None = None,
    ray_address: str | None = None,
    load: Callable[[], object] | None = None,
    keep_secrets: bool = True,
) -> Engine:
    """Return an engine for use in a `with` statement.

    Args:
        name: "processes" or "ray".
        workers: how many jobs run at once; None for one per core. With "processes", 0 runs the
            jobs in this process.
        ray_address: of an existing cluster; None for that of `RAY_ADDRESS`, or else a new one on
            this machine.
        load: called once in each worker of "processes" before its first job; picklable.
        keep_secrets: whether jobs need the tokens and passwords in the environment. If not,
            workers of "processes" remove them after `load`.
    """
    if name == "ray":
        return RayEngine(workers, ray_address)
    if workers == 0:
        return SameProcess()
    return ProcessEngine(workers or os.cpu_count() or 1, load, keep_secrets)


class SameProcess:
    """Runs jobs one after the other in this process, without limits."""

    def __enter__(self) -> "SameProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def map(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], lost: LostHandler | None = None
    ) -> Iterator[Any]:
        """As `Engine.map`."""
        return (_outcome(_call_here, function, job, lost) for job in jobs)


class ProcessEngine:
    """Runs jobs in a `WorkerPool` on this machine. Workers exit with this process.

    The arguments are those of `open_engine`.
    """

    def __init__(
        self, workers: int, load: Callable[[], object] | None = None, keep_secrets: bool = True
    ):
        self._workers = workers
        self._pool = WorkerPool(
            partial(load_functions, load), workers=workers, keep_secrets=keep_secrets
        )
        self._threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> "ProcessEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def map(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], lost: LostHandler | None = None
    ) -> Iterator[Any]:
        """As `Engine.map`."""
        ahead = iter(jobs)
        running: set[Future] = set()
        while True:
            free = JOBS_AHEAD * self._workers - len(running)
            running |= {
                self._threads.submit(_outcome, self._pool.run, function, job, lost)
                for job in islice(ahead, free)
            }
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def load_functions(load: Callable[[], object] | None = None) -> Handle:
    """Return the handler of a worker whose jobs are (function, argument) pairs."""
    if load is not None:
        load()
    return _call


def _call(job: tuple[Callable[[Any], Any], Any], progress: Progress) -> Any:
    function, argument = job
    return function(argument)


def _call_here(job: tuple[Callable[[Any], Any], Any]) -> Any:
    function, argument = job
    try:
        return function(argument)
    except MemoryError:
        raise WorkerLostError("memory", GuardLimits()) from None


def _outcome(
    run: Callable[[tuple], Any],
    function: Callable[[Any], Any],
    job: Any,
    lost: LostHandler | None,
) -> Any:
    """Return the result of a job, or what `lost` substitutes for it."""
    while True:
        try:
            return run((function, job))
        except WorkerLostError as loss:
            if lost is None:
                raise EngineError(_breakdown(loss)) from None
            result = lost(job, loss)
        except StartError as error:
            raise EngineError(str(error)) from None
        except JobFailedError as error:
            error.add_note(error.details)
            raise
        if not isinstance(result, Retry):
            return result
        job = result.job


def _breakdown(loss: WorkerLostError) -> str:
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
        # By default Ray sends usage statistics to its developers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            import ray.data
        except ImportError:
            raise EngineError(
                "The engine 'ray' needs the package ray: pip install 'ray[data]'."
            ) from None
        self._ray = ray
        package = Path(__file__).resolve().parents[1]  # has everything that jobs import
        try:
            ray.init(
                address=address,
                runtime_env={"py_modules": [str(package)]},
                log_to_driver=False,
                logging_level="ERROR",
            )
        except Exception as error:  # Ray raises many types
            raise EngineError(
                f"Ray cannot be reached or started: {first_line(first_cause(error))}"
            ) from error
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)

    def __enter__(self) -> "RayEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._ray.shutdown()

    def map(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], lost: LostHandler | None = None
    ) -> Iterator[Any]:
        """As `Engine.map`. Jobs run in a separate worker process only if `lost` is given."""
        rows = [{"job": pickle.dumps(job)} for job in jobs]
        if not rows:
            return
        results = self._ray.data.from_items(
            rows, override_num_blocks=min(len(rows), MAX_BLOCKS)
        ).map(partial(_run_pickled, function, lost), concurrency=self._workers)
        try:
            for row in results.iter_rows():
                yield decode(row["result"])[-1]
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise EngineError(f"Ray has broken down: {reason}") from error


def _run_pickled(
    function: Callable[[Any], Any], lost: LostHandler | None, row: dict[str, bytes]
) -> dict[str, bytes]:
    """Run a job in a Ray process."""
    job = pickle.loads(row["job"])
    run = function if lost is None else partial(_outcome, _own_pool().run, function, lost=lost)
    return {"result": encode(GuardLimits().answer_bytes, "result", 0, run(job))}


@lru_cache(maxsize=1)
def _own_pool() -> WorkerPool:
    """Return this Ray process's pool, which is closed when the process exits."""
    return WorkerPool(load_functions, keep_secrets=True)
