"""What the page asks of a detector.

The jobs go to `GuardedWorkers`, so that a file that kills or clogs a decoder costs one process
and not the page. How they are done is in `page.worker`, which only those processes import.
"""

from dataclasses import dataclass
from pathlib import Path

from ..report.video_report import VideoReport


@dataclass(frozen=True)
class CheckJob:
    """Judge a file; the answer is a `VideoReport` with its provenance.

    Attributes:
        path: of the file.
        frames: to sample; as the detector is configured if None.
        name: what the report calls it.
    """

    path: str
    frames: int | None
    name: str


@dataclass(frozen=True)
class AnnotateJob:
    """Draw a report onto its video; the answer is an `AnnotatedVideo`.

    Attributes:
        path: of the video.
        report: on it.
        out_path: where the annotated clip is written.
        strength: of the heatmap, in [0, 1].
    """

    path: str
    report: VideoReport
    out_path: Path
    strength: float
