"""What runs the page's jobs: guarded processes, or this process."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ..core.hub_ids import HUB_ID
from ..detector.config import DetectionConfig
from ..detector.video_detector import Progress
from ..guard.limits import GuardLimits, JobStoppedError, StartError
from ..guard.pool import GuardedWorkers
from .model_facts import ModelChoiceError, ModelFacts


def guarded_runner(
    model: str | None,
    revision: str | None,
    config: DetectionConfig,
    limits: GuardLimits = GuardLimits(),
    workers: int = 1,
    backend: str = "auto",
) -> GuardedWorkers:
    """Worker processes for a model; none is started before it is needed.

    Args:
        model: folder or Hub id; the bundled one if None.
        revision: branch, tag or commit on the Hub.
        config: of the detector.
        limits: what a worker may cost.
        workers: jobs at once.
        backend: what computes the network, as `open_network` takes it.
    """
    return GuardedWorkers(partial(_load, model, revision, config, backend), limits, workers)


def _load(model: str | None, revision: str | None, config: DetectionConfig, backend: str):
    from .worker import load_detector  # torch comes with it: not for the page's process

    # Instead of a lock shared with other processes, which a killed worker would leave behind.
    tqdm.set_lock(threading.RLock())
    return load_detector(model, revision, config, backend)


def split_revision(name: str) -> tuple[str, str | None]:
    """`user/name@revision` as its two parts; a folder is never split."""
    model, _, revision = name.partition("@")
    if not revision or Path(name).exists():
        return name, None
    return model, revision


def named_runner(
    name: str, config: DetectionConfig, limits: GuardLimits, backend: str = "auto"
) -> GuardedWorkers:
    """Worker processes for the model a visitor named.

    Raises:
        ModelChoiceError: it cannot be a model's name.
    """
    model, revision = split_revision(name)
    # Known without starting a process.
    if not (Path(model).exists() or HUB_ID.fullmatch(model)):
        raise ModelChoiceError(
            f"Model '{model}' is neither a folder nor a Hub id of the form user/name."
        )
    return guarded_runner(model, revision, config, limits, backend=backend)


class LocalRunner:
    """Does jobs in this process, in the thread that asks, as `GuardedWorkers` does in others.

    For a GPU that only this process is given, and for tests.

    Args:
        load: gives the function for jobs, when it is first needed.
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
        """The answer to a job; it can be stopped at its next step.

        Raises:
            JobStoppedError: `stop` was set.
            MediaError: the job's own.
        """

        def tell(stage: str, done: int, total: int) -> None:
            if stop is not None and stop.is_set():
                raise JobStoppedError
            if progress is not None:
                progress(stage, done, total)

        return self._loaded()(job, tell)

    def facts(self, stop: threading.Event | None = None) -> ModelFacts:
        """Of the model."""
        return self._loaded().facts

    def start(self) -> None:
        """Nothing is done ahead here: the first job loads."""

    def close(self) -> None:
        """Let go of the model."""
        self._handle = None
