"""Runs the page's jobs, with a loaded detector."""

from dataclasses import asdict

from ..checkpoint.bundled import bundled_model
from ..checkpoint.loading import load_model
from ..detector.config import DetectionConfig
from ..detector.provenance import record_provenance
from ..detector.video_detector import Progress, VideoDetector
from ..media.limits import MediaError
from ..report.annotated_video import AnnotationError, write_annotated_video
from ..report.transport import report_to_data
from ..report.video_report import VideoReport
from ..runtime.zero_gpu import ZeroGpuNetwork
from .jobs import AnnotateJob, CheckJob
from .model_facts import model_facts


class DetectorHandle:
    """A loaded detector that runs jobs.

    Attributes:
        facts: facts about its model.
    """

    def __init__(self, detector: VideoDetector):
        self.detector = detector
        self.facts = model_facts(detector.name, detector.revision, detector.model.config)

    def __call__(self, job: CheckJob | AnnotateJob, progress: Progress) -> VideoReport | None:
        """Run a job.

        Args:
            job: the job.
            progress: called with (stage, done, total); an exception that it raises stops the work.

        Returns:
            the report of a `CheckJob`.

        Raises:
            MediaError: the file cannot be used; the message is one sentence.
        """
        if isinstance(job, AnnotateJob):
            try:
                write_annotated_video(
                    job.path,
                    job.report,
                    job.out_path,
                    job.strength,
                    on_progress=progress,
                    limits=self.detector.config.limits,
                )
            except AnnotationError as error:
                raise MediaError(str(error)) from error
            return None
        report = self.detector(job.path, frames=job.frames, progress=progress, name=job.name)
        return record_provenance(report, self.detector, job.path, job.frames)


class DataHandle:
    """Runs jobs in a worker process; results and facts are JSON values and arrays.

    Args:
        handle: runs the jobs.
    """

    def __init__(self, handle: DetectorHandle):
        self._handle = handle
        self.facts = asdict(handle.facts)

    def __call__(self, job: CheckJob | AnnotateJob, progress: Progress) -> dict | None:
        """Run a job. Arguments and errors as of `DetectorHandle`."""
        report = self._handle(job, progress)
        return None if report is None else report_to_data(report)


def load_detector(
    model: str | None, revision: str | None, config: DetectionConfig, backend: str = "auto"
) -> DetectorHandle:
    """Load a detector for jobs in this process.

    Args:
        model: folder or Hub id; the bundled one if None.
        revision: branch, tag or commit on the Hub.
        config: configuration of the detector.
        backend: backend of the network, as for `open_network`.

    Raises:
        ModelError: the model cannot be used; the message is one sentence.
    """
    return DetectorHandle(
        VideoDetector.from_pretrained(model, config, backend=backend, revision=revision)
    )


def load_zero_gpu_detector(
    model: str | None, revision: str | None, config: DetectionConfig
) -> DetectorHandle:
    """As `load_detector`, for the page's own process on a Space with ZeroGPU."""
    import spaces

    loaded = load_model(bundled_model() if model is None else model, revision)
    network = ZeroGpuNetwork(loaded.model, spaces.GPU)
    return DetectorHandle(VideoDetector(loaded, config, "cpu", network=network))
