"""The detector in a worker process: a safe replacement for `VideoDetector`.

    with GuardedDetector(DetectorSource(model="user/name")) as detector:
        report = detector("clip.mp4")

A `GuardedDetector` can be used before its model is loaded: `start` loads torch and the model in the
background. The calling process imports torch only for whole reports.
"""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.liveness import Progress
from ..guard.limits import GuardLimits, JobFailedError, StartError, WorkerLostError
from ..guard.pool import WorkerPool
from ..media.names import shown_address, shown_name
from .config import DetectionConfig

if TYPE_CHECKING:
    from ..report.video_report import VideoReport
    from .video_detector import VideoDetector

__all__ = ["DetectorFacts", "DetectorSource", "GuardedDetector", "StartError"]


@dataclass(frozen=True)
class DetectorFacts:
    """Facts about the detector in a worker, named like the attributes of `VideoDetector`."""

    name: str
    revision: str | None
    trained: bool


@dataclass(frozen=True)
class DetectorSource:
    """The detector that workers load.

    Attributes:
        model: folder or Hub id; None for the bundled one.
        revision: branch, tag or commit on the Hub.
        device: torch device; None for a GPU if there is one.
        config: settings of the detector.
        backend: one of `runtime.names.BACKENDS`.
        one_thread: whether torch uses only one thread in each worker.
    """

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    config: DetectionConfig = field(default_factory=DetectionConfig)
    backend: str = "auto"
    one_thread: bool = False

    def __call__(self) -> "_LoadedDetector":
        """Load the detector, in a worker.

        Raises:
            ValueError: the detector cannot be used; the message is one sentence.
        """
        # Only workers need torch, and loading it takes seconds.
        import torch
        from huggingface_hub.utils import logging as hub_logging
        from transformers.utils import logging as transformers_logging

        from .video_detector import VideoDetector

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        # One error reports that the Hub does not answer; its client would also log each retry.
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
        except RuntimeError as error:  # from torch, e.g. for a missing device
            raise ValueError(str(error)) from error
        return _LoadedDetector(detector)


@dataclass(frozen=True)
class _Job:
    """Arguments of `VideoDetector.__call__`, and whether to return the report without pictures."""

    video: str
    frames: int | None
    name: str | None
    as_dict: bool


class _LoadedDetector:
    """Runs jobs in a worker and returns JSON values and arrays."""

    def __init__(self, detector: "VideoDetector"):
        self._detector = detector
        self.facts = {
            "name": detector.name,
            "revision": detector.revision,
            "trained": bool(detector.model.config.trained),
        }

    def __call__(self, job: _Job, progress: Progress) -> dict[str, Any]:
        # Imported here because the parent, which must not import torch, imports this module, too.
        from ..report.transport import report_to_data

        report = self._detector(job.video, frames=job.frames, progress=progress, name=job.name)
        return report.to_dict() if job.as_dict else report_to_data(report)


class GuardedDetector:
    """A detector in worker processes. Several threads may use it at once.

    Args:
        source: the detector that workers load.
        limits: what a video may cost, in addition to `DetectionConfig.limits`.
        workers: number of videos at once.
    """

    def __init__(
        self,
        source: DetectorSource = DetectorSource(),
        limits: GuardLimits = GuardLimits(),
        workers: int = 1,
    ):
        self._workers = WorkerPool(source, limits, workers)

    def __enter__(self) -> "GuardedDetector":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Start loading the model in a worker, without waiting for it."""
        self._workers.start()

    def facts(self) -> DetectorFacts:
        """Wait until the detector is loaded, and return facts about it.

        Raises:
            StartError: the detector cannot be used; the message is one sentence.
        """
        match self._workers.facts():
            case {
                "name": str(name),
                "revision": str() | None as revision,
                "trained": bool(trained),
            }:
                return DetectorFacts(name, revision, trained)
        raise StartError("The process that does the work did not load a detector.")

    def close(self) -> None:
        """Kill the workers, busy or not, and delete their files."""
        self._workers.close()

    def __call__(
        self,
        video: str | os.PathLike,
        frames: int | None = None,
        progress: Progress | None = None,
        name: str | None = None,
        stop: threading.Event | None = None,
    ) -> "VideoReport":
        """Judge one video or image, as `VideoDetector.__call__` does.

        Args:
            video: path or http(s) URL.
            frames: number of sampled frames; by default the configured number.
            progress: called in this thread with (stage, done, total). An `Exception` that it
                raises stops the work and is raised again.
            name: of the video in the report; by default its path or URL.
            stop: setting it ends the work within seconds.

        Raises:
            MediaError: the file cannot be used; the message is one sentence.
            WorkerLostError: a MediaError; the worker was lost.
            JobStoppedError: `stop` was set, or the detector was closed.
            JobFailedError: an unexpected exception, or the worker did not return a report.
            StartError: the detector cannot be loaded.
        """
        from ..report.files import ReportError
        from ..report.transport import report_from_data

        data = self._run(video, frames, progress, name, stop, as_dict=False)
        try:
            return report_from_data(data)
        except ReportError as error:
            raise JobFailedError(str(error), "") from error

    def summary(
        self,
        video: str | os.PathLike,
        frames: int | None = None,
        progress: Progress | None = None,
        name: str | None = None,
        stop: threading.Event | None = None,
    ) -> dict:
        """As `__call__`, but return `VideoReport.to_dict()`. Does not import torch."""
        summary = self._run(video, frames, progress, name, stop, as_dict=True)
        match summary:
            case {"video": str(), "verdict": "real" | "fake", "fake_probability": float()} | {
                "video": str(),
                "verdict": "cannot_tell",
                "reason": str(),
            } if isinstance(summary.get("people"), list):
                return summary
        raise JobFailedError("The worker did not return a report.", "")

    def _run(
        self,
        video: str | os.PathLike,
        frames: int | None,
        progress: Progress | None,
        name: str | None,
        stop: threading.Event | None,
        as_dict: bool,
    ) -> Any:
        job = _Job(os.fspath(video), frames, name, as_dict)
        try:
            return self._workers.run(job, progress, stop)
        except WorkerLostError as loss:
            raise loss.about(_shown(job)) from None


def _shown(job: _Job) -> str:
    if job.name is None and "://" in job.video:
        return shown_address(job.video)
    return shown_name(Path(job.name or job.video))
