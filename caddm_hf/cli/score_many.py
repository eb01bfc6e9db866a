"""Scoring many videos on all cores or a Ray cluster, into Parquet or JSON lines; resumable.

    python -m caddm_hf score --output scores "videos/**/*.mp4"
    python -m caddm_hf score --engine ray --output s3://bucket/scores "s3://bucket/videos/*.mp4"

Results are saved as they arrive, in a folder of small files, each written atomically. Running the
same command again scores the videos without a result. If there are none, torch is not loaded.

Parts of a URL that may be secret (query, password) are not saved. A digest replaces them, so that
two URLs of one server remain distinct.
"""

import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from tqdm import tqdm

from ..core.atomic_files import remove_abandoned, write_atomically
from ..core.liveness import heartbeat
from ..guard.child import is_want_of_memory
from ..guard.engines import Engine, EngineError, open_engine
from ..guard.limits import WorkerLostError
from ..media.names import printable, public_name, shown_name
from .arguments import FAILED, UNFINISHED, WRONG_USE
from .options import ScoreOptions

if TYPE_CHECKING:
    from ..detector.video_detector import VideoDetector

RUN_FILE = "run.json"
MOST_UNDONE = 5  # give up the run after this many videos that must be tried again
RESULTS_PER_FILE = 100
SECONDS_PER_FILE = 60.0  # at most this much work is lost when a run is killed
GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True)
class ScoringSettings:
    """Settings on which the scores depend.

    Attributes:
        model: folder or Hub id; on a cluster every node must be able to read it.
        revision: of the model on the Hub.
        frames: number of frames sampled per video.
        device: torch device; None for a GPU if there is one.
        allow_private_addresses: whether URLs may lead into private networks.
        backend: one of `runtime.names.BACKENDS`.
    """

    model: str
    revision: str | None = None
    frames: int = 32
    device: str | None = None
    allow_private_addresses: bool = False
    backend: str = "auto"


@dataclass(frozen=True)
class ScoreJob:
    """One video: a path, http(s) URL or fsspec URL. `model_name` is the model's name in reports."""

    video: str
    settings: ScoringSettings
    model_name: str


def score_at_scale(options: ScoreOptions) -> int:
    """Run `score --output` and return the exit status.

    0 if every video was scored, 1 if one could not be read, 2 if the command or the model cannot
    be used, 3 if videos remain to be scored.
    """

    try:
        settings = ScoringSettings(
            model=_resolved_model(options.model),
            revision=options.revision,
            frames=options.frames,
            device=options.device,
            allow_private_addresses=options.allow_private_addresses,
            backend=options.backend,
        )
        videos = expand_videos(options.videos)
        folder = ScoreFolder(options.output, options.output_format, settings)
        done = folder.errors()
        missing = [video for video in videos if kept_name(video) not in done]
        if missing:
            # Check the model before any worker starts.
            model_name = _detector(settings).name
            jobs = [ScoreJob(video, settings, model_name) for video in missing]
            with (
                open_engine(
                    options.engine,
                    options.workers,
                    options.ray_address,
                    partial(_load_in_worker, settings),
                    keep_secrets=any(is_remote(video) for video in missing),
                ) as engine,
                tqdm(total=len(videos), initial=len(videos) - len(jobs), unit="file") as bar,
            ):
                if not _score_jobs(engine, jobs, folder, bar):
                    return UNFINISHED
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNFINISHED
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    except OSError as error:  # e.g. a full disk
        print(f"error: {error}; the same command goes on from here", file=sys.stderr)
        return UNFINISHED
    errors = folder.errors()
    failed = sum(errors[kept_name(video)] is not None for video in videos)
    print(f"{options.output}: {len(videos):,} files, {failed:,} of them could not be read")
    return FAILED if failed else 0


def _score_jobs(engine: Engine, jobs: list[ScoreJob], folder: "ScoreFolder", bar: tqdm) -> bool:
    """Score videos and save the results; return whether all could be scored."""
    undone = 0
    try:
        for result in engine.map(score_video, jobs, lost_video):
            if "undone" in result:
                undone += 1
                name = printable(result["video"])
                tqdm.write(f"error: {name}: {result['undone']}", file=sys.stderr)
                if undone == MOST_UNDONE:
                    break
            else:
                folder.add(result)
                bar.update()
    finally:
        folder.flush()
    return not undone


def _resolved_model(model: str | None) -> str:
    """Return the bundled model's folder if no model is given; make folders absolute.

    Workers have other working folders and may lack the bundled model.
    """
    from ..checkpoint.bundled import bundled_model

    if model is None:
        return str(bundled_model())
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def expand_videos(inputs: Iterable[str]) -> list[str]:
    """Expand files, http(s) URLs, folders and globs, local or fsspec, to a list of files.

    Raises:
        ValueError: an input has no media files or cannot be opened; the message names it.
    """
    from ..media.names import MEDIA_SUFFIXES

    videos: dict[str, None] = {}  # in order, each once
    for entry in inputs:
        if entry.startswith(("http://", "https://")):
            videos[entry] = None
            continue
        try:
            fs, path = url_to_fs(entry)
        except (ImportError, ValueError) as error:
            raise ValueError(f"'{entry}' cannot be opened: {error}") from None
        if GLOB_CHARACTERS & set(path) and not fs.exists(path):
            found = sorted(fs.glob(path))
        elif fs.isdir(path):
            found = sorted(f for f in fs.find(path) if Path(f).suffix.lower() in MEDIA_SUFFIXES)
        else:
            found = [path]
        if not found:
            raise ValueError(f"There are no video or image files in '{entry}'.")
        local = isinstance(fs, LocalFileSystem)
        videos.update((name if local else fs.unstrip_protocol(name), None) for name in found)
    return list(videos)


def kept_name(video: str) -> str:
    """Return the name of a video in the results, which also identifies it when a run is resumed.

    The name is the path or URL as given, except that a digest replaces parts that may be secret.
    """
    if "://" not in video:
        return video
    try:
        parts = urlsplit(video)
        is_open = not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        is_open = False
    if is_open:
        return video
    return f"{public_name(video)}#{hashlib.sha256(video.encode()).hexdigest()[:16]}"


def score_video(job: ScoreJob) -> dict:
    """Return a report's dictionary with `error`, or `undone` with the reason to try again.

    Raises:
        MemoryError: there is not enough memory for this video.
    """
    import torch

    from ..media.limits import MediaError
    from .score import failure_dict

    torch.set_num_threads(1)
    name = kept_name(job.video)
    try:
        detector = _detector(job.settings)
        with _local_copy(job.video) as path:
            report = detector(path, progress=lambda *_: heartbeat(), name=name)
        return report.to_dict() | {"error": None}
    except MediaError as error:
        return failure_dict(name, job.model_name, str(error))
    except Exception as error:
        if is_want_of_memory(error):
            raise MemoryError from error
        reason = type(error).__name__
        said = str(error).strip().splitlines()
        if said and name == job.video:  # else the message may contain the secret
            reason += f": {said[0]}"
        return {"video": name, "undone": reason}


def lost_video(job: ScoreJob, loss: WorkerLostError) -> dict:
    """Return the result, as `score_video`, of a video whose worker was lost."""
    from .score import failure_dict

    name = kept_name(job.video)
    if loss.cause == "killed":  # by the system, twice: the video need not be the cause
        return {"video": name, "undone": str(loss)}
    return failure_dict(
        name, job.model_name, str(loss.about(shown_name(Path(public_name(job.video)))))
    )


def _load_in_worker(settings: ScoringSettings) -> None:
    """Load the detector before the first job, while the Hub's token is in the environment."""
    import torch

    torch.set_num_threads(1)
    _detector(settings)


@lru_cache(maxsize=1)
def _detector(settings: ScoringSettings) -> "VideoDetector":
    """Return this worker's detector."""
    from ..detector.config import DetectionConfig
    from ..detector.video_detector import VideoDetector

    config = DetectionConfig(
        frames=settings.frames, allow_private_addresses=settings.allow_private_addresses
    )
    return VideoDetector.from_pretrained(
        settings.model, config, settings.device, settings.backend, revision=settings.revision
    )


def is_remote(video: str) -> bool:
    """Whether a video is on another file system, which may ask for credentials."""
    return "://" in video and not video.startswith(("http://", "https://"))


@contextmanager
def _local_copy(video: str) -> Iterator[str]:
    """Yield a path that the detector can open; a remote file is copied and deleted afterwards."""
    if not is_remote(video):
        yield video
        return
    fs, path = url_to_fs(video)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / (Path(public_name(video)).name or "video")
        fs.get_file(path, str(local))
        yield str(local)


class ScoreFolder:
    """Results of a run, in files of at most `RESULTS_PER_FILE`.

    A Parquet file has the columns of the summary, and `report`, the full report as JSON.

    Raises:
        ValueError: the folder holds results of another model or other settings.
    """

    def __init__(self, url: str, output_format: str, settings: ScoringSettings):
        try:
            self._fs, self._path = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ValueError(f"--output '{url}' cannot be opened: {error}") from None
        self._format = output_format
        self._waiting: list[dict] = []
        self._written_at = time.monotonic()
        self._fs.makedirs(self._path, exist_ok=True)
        if isinstance(self._fs, LocalFileSystem):
            remove_abandoned(Path(self._path))
        run = asdict(settings) | {"output_format": output_format}
        if self._fs.isfile(f"{self._path}/{RUN_FILE}"):
            begun = json.loads(self._fs.cat_file(f"{self._path}/{RUN_FILE}"))
            for name, value in run.items():
                if begun.get(name) != value:
                    raise ValueError(
                        f"--output '{url}' was begun with {name} {begun.get(name)}, not {value}: "
                        "use the same options or another folder."
                    )
        else:
            self._write(RUN_FILE, json.dumps(run, indent=2).encode())

    def add(self, result: dict) -> None:
        """Add a result, and write a file if enough results or time have accumulated."""
        self._waiting.append(result)
        late = time.monotonic() - self._written_at > SECONDS_PER_FILE
        if late or len(self._waiting) == RESULTS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Write the results that are not in a file yet."""
        self._written_at = time.monotonic()
        if not self._waiting:
            return
        if self._format == "jsonl":
            data = "".join(json.dumps(result) + "\n" for result in self._waiting).encode()
        else:
            data = _as_parquet(self._waiting)
        name = hashlib.sha256(data).hexdigest()[:16]  # unique per content
        self._write(f"scores-{name}.{self._format}", data)
        self._waiting = []

    def errors(self) -> dict[str, str | None]:
        """Return for every video with a result the reading error, or None."""
        self._fs.invalidate_cache()
        found: dict[str, str | None] = {}
        for path in self._fs.glob(f"{self._path}/scores-*.{self._format}"):
            data = self._fs.cat_file(path)
            if self._format == "jsonl":
                results = map(json.loads, data.splitlines())
            else:
                results = pq.read_table(io.BytesIO(data), columns=["video", "error"]).to_pylist()
            found.update((result["video"], result["error"]) for result in results)
        return found

    def _write(self, name: str, data: bytes) -> None:
        if isinstance(self._fs, LocalFileSystem):
            with write_atomically(Path(self._path) / name) as file:
                file.write(data)
            return
        temporary = f"{self._path}/.tmp-{name}"
        self._fs.pipe_file(temporary, data)
        self._fs.mv(temporary, f"{self._path}/{name}")


SUMMARY = pa.schema(
    [
        ("video", pa.string()),
        ("verdict", pa.string()),
        ("reason_code", pa.string()),
        ("fake_probability", pa.float64()),
        ("duration_s", pa.float64()),
        ("frames_sampled", pa.int32()),
        ("model", pa.string()),
        ("error", pa.string()),
        ("report", pa.string()),
    ]
)


def _as_parquet(results: list[dict]) -> bytes:
    rows = [
        {name: result.get(name) for name in SUMMARY.names} | {"report": json.dumps(result)}
        for result in results
    ]
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SUMMARY), data)
    return data.getvalue()
