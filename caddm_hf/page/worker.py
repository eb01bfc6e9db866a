"""How a process does the page's jobs: a loaded detector that takes them."""

import threading
from collections.abc import Callable

from ..checkpoint.bundled import default_detector
from ..checkpoint.loading import LoadedModel
from ..detector.config import DetectionConfig
from ..detector.provenance import record_provenance
from ..detector.video_detector import Progress, VideoDetector
from ..guard.pool import JobStoppedError, StartError
from ..media.files import MediaError
from ..report.annotated_video import AnnotatedVideo, AnnotationError, write_annotated_video
from ..report.video_report import VideoReport
from ..runtime.zero_gpu import ZeroGpuNetwork
from .jobs import AnnotateJob, CheckJob
from .model_choice import ModelFacts, model_facts


class DetectorHandle:
    """A loaded detector that takes jobs.

    Attributes:
        facts: of its model.
    """

    def __init__(self, detector: VideoDetector):
        self.detector = detector
        self.facts = model_facts(detector.name, detector.revision, detector.model.config)

    def __call__(self, job: CheckJob | AnnotateJob, tell: Progress) -> VideoReport | AnnotatedVideo:
        """Do a job.

        Args:
            job: what to do.
            tell: called with (stage, done, total); an exception it raises stops the work.

        Raises:
            MediaError: in one sentence, why the file cannot be used.
        """
        if isinstance(job, AnnotateJob):
            try:
                return write_annotated_video(
                    job.path,
                    job.report,
                    job.out_path,
                    job.strength,
                    on_progress=tell,
                    limits=self.detector.config.limits,
                )
            except AnnotationError as error:
                raise MediaError(str(error)) from error
        report = self.detector(job.path, frames=job.frames, progress=tell, name=job.name)
        return record_provenance(report, self.detector, job.path, job.frames)


def load_detector(
    model: str | None, revision: str | None, config: DetectionConfig
) -> DetectorHandle:
    """A detector ready for jobs, in the process that calls this.

    Args:
        model: folder or Hub id; the bundled one if None.
        revision: branch, tag or commit on the Hub.
        config: of the detector.

    Raises:
        ModelError: in one sentence, why the model cannot be used.
    """
    if model is None:
        return DetectorHandle(default_detector(config))
    return DetectorHandle(VideoDetector.from_pretrained(model, config, revision=revision))


def load_zero_gpu_detector(
    model: str | None, revision: str | None, config: DetectionConfig
) -> DetectorHandle:
    """The same on a Space with ZeroGPU, in the page's own process. Args and errors as above."""
    import spaces

    loaded = load_detector(model, revision, config).detector
    parts = LoadedModel(loaded.model, loaded.image_processor, loaded.name, loaded.revision)
    network = ZeroGpuNetwork(loaded.model, spaces.GPU)
    return DetectorHandle(VideoDetector(parts, config, "cpu", network=network))


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
