"""The jobs that the page has a detector do.

They run in a `WorkerPool`, so that a file that crashes or blocks a decoder costs one process and
not the page. `worker` holds the code that does them, which only those processes import.
"""

from dataclasses import dataclass
from pathlib import Path

from ..report.video_report import VideoReport


@dataclass(frozen=True)
class CheckJob:
    """Judge a file. The result is a `VideoReport` with its provenance.

    Attributes:
        path: of the file.
        frames: to sample; None for the detector's own number.
        name: what the report calls the file.
    """

    path: str
    frames: int | None
    name: str


@dataclass(frozen=True)
class AnnotateJob:
    """Draw a report onto its video, into a file. There is no other result.

    Attributes:
        path: of the video.
        report: of the video.
        out_path: the file to write.
        strength: of the heatmap, in [0, 1].
    """

    path: str
    report: VideoReport
    out_path: Path
    strength: float
