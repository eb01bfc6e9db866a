"""The detector in a guarded worker: called like `VideoDetector`, with harm kept from this process.

    with GuardedDetector(DetectorSource(model="user/name")) as detector:
        report = detector("clip.mp4")

It is there before the model is: `start` loads that in the background, and torch with it, which
this process need not import unless it wants whole reports.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..guard.limits import GuardLimits, StartError, WorkerLostError
from ..guard.pool import GuardedWorkers
from ..media.names import shown_address, shown_name
from .config import DetectionConfig

if TYPE_CHECKING:
    from ..report.video_report import VideoReport
    from .video_detector import VideoDetector

__all__ = ["DetectorFacts", "DetectorSource", "GuardedDetector", "StartError"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DetectorFacts:
    """What a worker says of its detector; as the attributes of `VideoDetector`."""

    name: str
    revision: str | None
    trained: bool


@dataclass(frozen=True)
class DetectorSource:
    """Which detector workers load.

    Attributes:
        model: folder or Hub id; None for the bundled one.
        revision: on the Hub.
        device: of torch; None for a GPU where there is one.
        config: how videos are looked at.
        backend: what computes the network, as `runtime.backends` names it.
        one_thread: whether a worker keeps to one thread, as where there are several.
    """

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    config: DetectionConfig = field(default_factory=DetectionConfig)
    backend: str = "auto"
    one_thread: bool = False

    def __call__(self) -> "_DetectorAtWork":
        """Loads it; in a worker.

        Raises:
            ValueError: in one sentence, why it cannot be used.
        """
        # Only workers need torch, and loading it takes seconds.
        import torch
        from huggingface_hub.utils import logging as hub_logging
        from transformers.utils import logging as transformers_logging

        from .video_detector import VideoDetector

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        # One sentence is told when the Hub does not answer; its client would print each retry.
        hub_logging.set_verbosity(hub_logging.CRITICAL)
        if self.one_thread:
            torch.set_num_threads(1)
        try:
            detector = VideoDetector.from_pretrained(
                self.model,
                self.config,
                self.device,
                self.backend,
                revision=None if self.model is None else self.revision,
            )
        except RuntimeError as error:  # torch's, such as of a device that is not there
            raise ValueError(str(error)) from error
        return _DetectorAtWork(detector)


@dataclass(frozen=True)
class _Look:
    """A job: arguments of `VideoDetector.__call__`, and whether its JSON is enough."""

    video: str
    frames: int | None
    name: str | None
    as_dict: bool


class _DetectorAtWork:
    """In a worker: answers jobs."""

    def __init__(self, detector: "VideoDetector"):
        self._detector = detector
        self.facts = DetectorFacts(
            detector.name, detector.revision, bool(detector.model.config.trained)
        )

    def __call__(self, job: _Look, tell: Progress) -> Any:
        report = self._detector(job.video, frames=job.frames, progress=tell, name=job.name)
        return report.to_dict() if job.as_dict else report


class GuardedDetector:
    """A detector behind a guard; safe to use from several threads.

    Args:
        source: which detector.
        limits: what a video may cost beyond `DetectionConfig.limits`.
        workers: videos at once.
    """

    def __init__(
        self,
        source: DetectorSource = DetectorSource(),
        limits: GuardLimits = GuardLimits(),
        workers: int = 1,
    ):
        self._workers = GuardedWorkers(source, limits, workers)

    def __enter__(self) -> "GuardedDetector":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Has a worker load the model, and does not wait for it."""
        self._workers.start()

    def facts(self) -> DetectorFacts:
        """What there is to know of the detector; waits until it is loaded.

        Raises:
            StartError: in one sentence, why it cannot be used.
        """
        return self._workers.facts()

    def close(self) -> None:
        """Ends the workers, at work or not, and removes their files."""
        self._workers.close()

    def __call__(
        self,
        video: str | os.PathLike,
        frames: int | None = None,
        progress: Progress | None = None,
        name: str | None = None,
        stop: threading.Event | None = None,
    ) -> "VideoReport":
        """Judge one video or image; as `VideoDetector.__call__`.

        Args:
            video: path or http(s) URL.
            frames: sampled frames, if not the configured number.
            progress: called in this thread with (stage, done, total); an `Exception` it raises
                stops the work and is raised again.
            name: what the report calls the video, if not by its path or URL.
            stop: setting it ends the work within seconds.

        Raises:
            MediaError: in one sentence, why the file cannot be used; `WorkerLostError` where it
                took the worker along.
            JobStoppedError: `stop` was set, or the detector was closed.
            JobFailedError: something unforeseen happened.
            StartError: the detector cannot be loaded.
        """
        return self._run(video, frames, progress, name, stop, as_dict=False)

    def summary(
        self,
        video: str | os.PathLike,
        frames: int | None = None,
        progress: Progress | None = None,
        name: str | None = None,
        stop: threading.Event | None = None,
    ) -> dict:
        """As calling it, but `VideoReport.to_dict()` alone, for which torch is not imported."""
        return self._run(video, frames, progress, name, stop, as_dict=True)

    def _run(
        self,
        video: str | os.PathLike,
        frames: int | None,
        progress: Progress | None,
        name: str | None,
        stop: threading.Event | None,
        as_dict: bool,
    ) -> Any:
        job = _Look(os.fspath(video), frames, name, as_dict)
        try:
            return self._workers.run(job, progress, stop)
        except WorkerLostError as loss:
            raise loss.about(_shown(job)) from None


def _shown(job: _Look) -> str:
    if job.name is None and "://" in job.video:
        return shown_address(job.video)
    return shown_name(Path(job.name or job.video))
