"""What the page asks of a detector.

The jobs go to `GuardedWorkers`, so that a file that kills or clogs a decoder costs one process
and not the page. How they are done is in `page_worker`, which only those processes import.
"""

import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ..core.hub_ids import HUB_ID
from ..detector.config import DetectionConfig
from ..guard.pool import GuardedWorkers, GuardLimits
from ..report.video_report import VideoReport
from .model_choice import ModelChoiceError


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


def guarded_runner(
    model: str | None,
    revision: str | None,
    config: DetectionConfig,
    limits: GuardLimits = GuardLimits(),
    workers: int = 1,
) -> GuardedWorkers:
    """Worker processes for a model; none is started before it is needed.

    Args:
        model: folder or Hub id; the bundled one if None.
        revision: branch, tag or commit on the Hub.
        config: of the detector.
        limits: what a worker may cost.
        workers: jobs at once.
    """
    return GuardedWorkers(partial(_load, model, revision, config), limits, workers)


def _load(model: str | None, revision: str | None, config: DetectionConfig):
    from .worker import load_detector  # torch comes with it: not for the page's process

    # Instead of a lock shared with other processes, which a killed worker would leave behind.
    tqdm.set_lock(threading.RLock())
    return load_detector(model, revision, config)


def split_revision(name: str) -> tuple[str, str | None]:
    """`user/name@revision` as its two parts; a folder is never split."""
    model, _, revision = name.partition("@")
    if not revision or Path(name).exists():
        return name, None
    return model, revision


def named_runner(name: str, config: DetectionConfig, limits: GuardLimits) -> GuardedWorkers:
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
    return guarded_runner(model, revision, config, limits)
