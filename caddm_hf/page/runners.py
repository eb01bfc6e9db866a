"""Runners of the page's jobs: in worker processes, or in this process."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from ..core.hub_ids import HUB_ID
from ..core.liveness import Progress
from ..detector.config import DetectionConfig
from ..guard.limits import GuardLimits, JobFailedError, JobStoppedError, StartError
from ..guard.pool import WorkerPool
from ..report.files import ReportError
from ..report.transport import report_from_data
from ..report.video_report import VideoReport
from .jobs import AnnotateJob, CheckJob
from .model_facts import ModelChoiceError, ModelFacts


class PoolRunner:
    """Runs jobs in worker processes.

    Args:
        pool: workers that have loaded a `worker.DataHandle`.
    """

    def __init__(self, pool: WorkerPool):
        self._pool = pool

    def run(
        self,
        job: CheckJob | AnnotateJob,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> VideoReport | None:
        """The result of a job. Arguments and errors as of `WorkerPool.run`."""
        data = self._pool.run(job, progress, stop)
        if not isinstance(job, CheckJob):
            return None
        try:
            return report_from_data(data)
        except ReportError as error:
            raise JobFailedError(str(error), "") from error

    def facts(self, stop: threading.Event | None = None) -> ModelFacts:
        """Facts about the model, waiting until it is loaded. Errors as of `WorkerPool.facts`."""
        data = self._pool.facts(stop)
        try:
            return TypeAdapter(ModelFacts).validate_python(data)
        except ValidationError as error:
            raise StartError("The process that does the work did not load a model.") from error

    def start(self) -> None:
        """Start loading the model in a worker, without waiting for it."""
        self._pool.start()

    def close(self) -> None:
        """End the workers, even if they have jobs."""
        self._pool.close()


def guarded_runner(
    model: str | None,
    revision: str | None,
    config: DetectionConfig,
    limits: GuardLimits = GuardLimits(),
    workers: int = 1,
    backend: str = "auto",
) -> PoolRunner:
    """A runner with worker processes for a model. Processes start when first needed.

    Args:
        model: folder or Hub id; the bundled one if None.
        revision: branch, tag or commit on the Hub.
        config: configuration of the detector.
        limits: limits of a worker's memory and time.
        workers: number of jobs at once.
        backend: backend of the network, as for `open_network`.
    """
    pool = WorkerPool(partial(_load, model, revision, config, backend), limits, workers)
    return PoolRunner(pool)


def _load(model: str | None, revision: str | None, config: DetectionConfig, backend: str):
    from .worker import DataHandle, load_detector  # only workers load models

    # tqdm's default lock is shared between processes; a worker killed while holding it would
    # block the others.
    tqdm.set_lock(threading.RLock())
    return DataHandle(load_detector(model, revision, config, backend))


def split_revision(name: str) -> tuple[str, str | None]:
    """Split `user/name@revision` into its two parts; a folder is never split."""
    model, _, revision = name.partition("@")
    if not revision or Path(name).exists():
        return name, None
    return model, revision


def named_runner(
    name: str, config: DetectionConfig, limits: GuardLimits, backend: str = "auto"
) -> PoolRunner:
    """A runner with worker processes for the model that a visitor named.

    Raises:
        ModelChoiceError: `name` cannot be a model's name.
    """
    model, revision = split_revision(name)
    # Checked here, without starting a process.
    if not (Path(model).exists() or HUB_ID.fullmatch(model)):
        raise ModelChoiceError(
            f"Model '{model}' is neither a folder nor a Hub id of the form user/name."
        )
    return guarded_runner(model, revision, config, limits, backend=backend)


class LocalRunner:
    """Runs jobs in this process, in the caller's thread, with the interface of `PoolRunner`.

    Used for a GPU that only this process may use, and in tests.

    Args:
        load: returns the function that runs the jobs; called when first needed.
    """

    def __init__(self, load: Callable[[], Callable]):
        self._load = load
        self._handle: Callable | None = None
        self._lock = threading.Lock()

    def _loaded(self) -> Callable:
        with self._lock:
            if self._handle is None:
                try:
                    self._handle = self._load()
                except ValueError as error:
                    raise StartError(str(error)) from error
            return self._handle

    def run(
        self,
        job: object,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> object:
        """Run a job, which can be stopped at its next step.

        Raises:
            JobStoppedError: `stop` was set.
            MediaError: raised by the job.
        """

        def report_progress(stage: str, done: int, total: int) -> None:
            if stop is not None and stop.is_set():
                raise JobStoppedError
            if progress is not None:
                progress(stage, done, total)

        return self._loaded()(job, report_progress)

    def facts(self, stop: threading.Event | None = None) -> ModelFacts:
        """Facts about the model."""
        return self._loaded().facts

    def start(self) -> None:
        """Do nothing: the first job loads the model."""

    def close(self) -> None:
        """Drop the model."""
        self._handle = None
