"""How a process does the page's jobs: a loaded detector that takes them."""

from ..checkpoint.bundled import bundled_model
from ..checkpoint.loading import load_model
from ..detector.config import DetectionConfig
from ..detector.provenance import record_provenance
from ..detector.video_detector import Progress, VideoDetector
from ..media.limits import MediaError
from ..report.annotated_video import AnnotatedVideo, AnnotationError, write_annotated_video
from ..report.video_report import VideoReport
from ..runtime.zero_gpu import ZeroGpuNetwork
from .jobs import AnnotateJob, CheckJob
from .model_facts import model_facts


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
    model: str | None, revision: str | None, config: DetectionConfig, backend: str = "auto"
) -> DetectorHandle:
    """A detector ready for jobs, in the process that calls this.

    Args:
        model: folder or Hub id; the bundled one if None.
        revision: branch, tag or commit on the Hub.
        config: of the detector.
        backend: what computes the network, as `open_network` takes it.

    Raises:
        ModelError: in one sentence, why the model cannot be used.
    """
    return DetectorHandle(
        VideoDetector.from_pretrained(model, config, backend=backend, revision=revision)
    )


def load_zero_gpu_detector(
    model: str | None, revision: str | None, config: DetectionConfig
) -> DetectorHandle:
    """The same on a Space with ZeroGPU, in the page's own process. Args and errors as above."""
    import spaces

    loaded = load_model(bundled_model() if model is None else model, revision)
    network = ZeroGpuNetwork(loaded.model, spaces.GPU)
    return DetectorHandle(VideoDetector(loaded, config, "cpu", network=network))
