"""The jobs that the page runs with a detector.

Jobs run in a `WorkerPool`, so that a file that crashes or blocks a decoder ends one process and
not the page. Their code is in `worker`, which only those processes import.
"""

from dataclasses import dataclass
from pathlib import Path

from ..report.video_report import VideoReport


@dataclass(frozen=True)
class CheckJob:
    """Judge a file. The result is a `VideoReport` with its provenance.

    Attributes:
        path: path of the file.
        frames: number of frames to sample; None for the detector's own number.
        name: name of the file in the report.
    """

    path: str
    frames: int | None
    name: str


@dataclass(frozen=True)
class AnnotateJob:
    """Draw a report onto its video, and write it to a file. The job returns nothing.

    Attributes:
        path: path of the video.
        report: report on the video.
        out_path: the file to write.
        strength: strength of the heatmap, in [0, 1].
    """

    path: str
    report: VideoReport
    out_path: Path
    strength: float
