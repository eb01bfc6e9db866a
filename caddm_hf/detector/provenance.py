"""The file, model and settings behind a report, so that others can check it."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from ..core.versions import installed_versions
from ..media.files import open_media_file
from ..report.video_report import JudgedFile, Provenance, VideoReport
from ..report.words import shown_model_name
from .video_detector import VideoDetector

# Packages that influence a score: decoding, face search, network.
PACKAGES = (
    "av",
    "facenet-pytorch",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "timm",
    "torch",
    "transformers",
)
WEIGHTS_FILE = "model.safetensors"


def record_provenance(
    report: VideoReport,
    detector: VideoDetector,
    path: str | os.PathLike,
    frames: int | None = None,
) -> VideoReport:
    """Return a copy of a report with its provenance.

    Args:
        report: what `detector` returned for the file.
        detector: the detector that made the report.
        path: the local file that was judged.
        frames: number of sampled frames; None for the configured number.

    Raises:
        MediaError: the file cannot be read any more.
    """
    path = Path(path)
    config = detector.config if frames is None else replace(detector.config, frames=frames)
    with open_media_file(path, config.limits.max_file_bytes) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = os.fstat(file.fileno()).st_size
    provenance = Provenance(
        file=JudgedFile(digest, size),
        model_trained=bool(detector.model.config.trained),
        model_sha256=None if detector.revision else _weights_sha256(Path(detector.name)),
        settings=_plain(asdict(config) | {"rules": asdict(detector.rules)}),
        versions=installed_versions(PACKAGES),
        checked_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    # Readers of the report need not know where the model is stored on this machine.
    model = shown_model_name(report.model, report.model_revision)
    return replace(report, provenance=provenance, model=model)


def _plain(value: object) -> object:
    """Return a JSON value; values of other types become text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _weights_sha256(folder: Path) -> str | None:
    """Return the digest of a model folder's weights file; None if there is no such file."""
    try:
        facts = (folder / WEIGHTS_FILE).stat()
        return _file_sha256(folder / WEIGHTS_FILE, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=8)
def _file_sha256(path: Path, size: int, changed_ns: int) -> str:
    """Return the digest of a file, cached until its size or date changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
