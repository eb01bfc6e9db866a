"""The data of an evaluation: frame collections, and folders of videos.

Collections have the schema of `dataset.frame_table`, and are a folder or file of Parquet or a Hub
id. A folder of videos contains folders `real` and `fake`, or a `videos.csv`:

    real/**/*.mp4, fake/**/*.mp4       a folder directly in `fake` names its method, one directly
                                       in `real` the origin of its videos
    videos.csv                         columns path, label (real or fake); may have method,
                                       source (path of the genuine clip), compression, dataset,
                                       origin

Both are lists of items (rows, or videos) with `VideoFacts`; `faces.FaceCrops` cuts their faces.
"""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..dataset.lost_videos import LostVideo, lost_videos
from ..dataset.opening import open_rows
from ..dataset.rows import OpenedRows
from ..dataset.schema import FrameDataError, label_numbers
from ..media.frames import sample_indices
from ..media.names import MEDIA_SUFFIXES

NEEDED_COLUMNS = ("image", "label", "video_id")
VIDEO_LIST = "videos.csv"
ANY_METHOD = "fake"  # if the method is unknown
NO_FACE = "no face found"
UNREADABLE = "unreadable"  # followed by ": " and a sentence


@dataclass(frozen=True)
class VideoFacts:
    """Facts about an item's video, without scores.

    `origin` is the source of a genuine video, such as a camera or a site, if known.
    """

    dataset: str
    compression: str | None
    method: str | None
    video_id: str
    source_video_id: str | None
    label: int
    origin: str | None = None


@dataclass(frozen=True, eq=False)
class FoundFace:
    """The largest face of a frame.

    Attributes:
        frame_index: position in the video; None if unknown.
        points_xy: (5, 2) in pixels of the frame; None without a face.
        failure: why there is no face, unless the search found none.
    """

    frame_index: int | None
    points_xy: np.ndarray | None
    failure: str | None = None


@dataclass(frozen=True, eq=False)
class FrameView:
    """A frame with the face to score, or the reason why there is none.

    Attributes:
        frame_index: position in the video; None if unknown.
        image_rgb: (H, W, 3) uint8; None after a failure.
        points_xy: (5, 2) float64; None after a failure.
        failure: why the frame cannot be scored, else None.
    """

    frame_index: int | None
    image_rgb: np.ndarray | None = None
    points_xy: np.ndarray | None = None
    failure: str | None = None


class FrameCollection:
    """Rows of a collection to be scored; an item is a row, or a video without rows.

    Args:
        opened: with the columns of `NEEDED_COLUMNS`.
        frames: the most rows to use per video, evenly spread.
        lost: videos of the split without rows.

    Raises:
        FrameDataError: a row has no label, or no video id.
    """

    kind = "frames"
    pictures = "faces aligned by the collection's five points, or by MTCNN's where it has none"

    def __init__(self, opened: OpenedRows, frames: int, lost: Sequence[LostVideo] = ()):
        self.opened = opened
        self.lost = tuple(lost)
        self.name, self.split = opened.name, opened.split
        if "label" not in opened.columns:
            raise FrameDataError(f"Column 'label' of '{self.name}' does not hold labels.")
        labels = label_numbers(opened.columns["label"], opened.features["label"])
        datasets_, compressions, methods, video_ids, sources, origins = (
            opened.words(column)
            for column in (
                *("dataset", "compression", "method", "video_id", "source_video_id"),
                "origin",
            )
        )
        if None in video_ids:
            raise FrameDataError(f"A row of '{self.name}' has no video_id.")
        self._indices = opened.columns.get("frame_index", [None] * len(opened))
        facts = [
            VideoFacts(
                dataset=datasets_[n] or self.name,
                compression=compressions[n],
                method=(methods[n] or ANY_METHOD) if labels[n] else None,
                video_id=video_ids[n],
                source_video_id=sources[n],
                label=int(labels[n]),
                origin=origins[n],
            )
            for n in range(len(opened))
        ]
        chosen = self._spread(facts, frames)
        # For each item its row, or why there is none.
        self.sources: list[int | str] = [*chosen, *(video.reason for video in self.lost)]
        self.facts = [facts[n] for n in chosen] + self._lost_facts({f.dataset for f in facts})

    def _spread(self, facts: list[VideoFacts], frames: int) -> list[int]:
        """Choose at most `frames` rows per video, in the order of the collection."""
        by_video: dict[VideoFacts, list[int]] = defaultdict(list)
        for number, fact in enumerate(facts):
            by_video[fact].append(number)
        chosen: list[int] = []
        for rows in by_video.values():
            if all(self._indices[n] is not None for n in rows):
                rows.sort(key=lambda n: self._indices[n])
            chosen.extend(rows[i] for i in sample_indices(len(rows), frames))
        return sorted(chosen)

    def _lost_facts(self, names: set[str]) -> list[VideoFacts]:
        """Return facts of the lost videos, whose ids begin with the name of their dataset."""
        only = next(iter(names)) if len(names) == 1 else None
        facts = []
        for video in self.lost:
            first = video.video_id.split("/")[0]
            facts.append(
                VideoFacts(
                    dataset=only or (first if first in names else self.name),
                    compression=video.compression,
                    method=video.method,
                    video_id=video.video_id,
                    source_video_id=None,
                    label=int(video.method is not None),
                )
            )
        return facts

    def fingerprint(self) -> str:
        """Return a digest of the split's rows, including unused ones, and of the lost videos."""
        columns = ("dataset", "method", "video_id", "frame_index", "label")
        return self.opened.fingerprint(columns, repr(self.lost) if self.lost else "")

    def keep(self, items: Sequence[int]) -> None:
        """Leave only some of the items."""
        self.sources = [self.sources[item] for item in items]
        self.facts = [self.facts[item] for item in items]

    def items_without_points(self) -> list[int]:
        """Return the items in which a face must be searched for."""
        without = set(self.opened.rows_without_points())
        return [item for item, source in enumerate(self.sources) if source in without]

    def frame_index(self, item: int) -> int | None:
        """Return the position of the row's frame in its video, if known."""
        return self._indices[self.sources[item]]

    def image_rgb(self, item: int) -> np.ndarray:
        """Decode the row's picture. Raises a FrameDataError if the picture is damaged."""
        return self.opened.image_rgb(self.sources[item])

    def views(self, item: int, found: Sequence[FoundFace] = ()) -> Iterator[FrameView]:
        """Yield the item's only frame; `found` has its face if the row has no landmarks."""
        source = self.sources[item]
        if isinstance(source, str):
            yield FrameView(None, failure=source)
            return
        index = self.frame_index(item)
        try:
            image_rgb = self.image_rgb(item)
            points_xy = self.opened.points_xy(source)
        except FrameDataError as error:
            yield FrameView(index, failure=f"{UNREADABLE}: {error}")
            return
        if points_xy is None and found:
            points_xy = found[0].points_xy
        if points_xy is None:
            yield FrameView(index, failure=NO_FACE)
        else:
            yield FrameView(index, image_rgb, points_xy)


class VideoFolder:
    """Videos of a folder to be scored; an item is a video.

    Args:
        folder: as described in the module's docstring.
        frames: frames sampled from each video.

    Raises:
        FrameDataError: there is no video, or there are no labels.
    """

    kind = "videos"
    split = "all"
    pictures = "the largest face of each sampled frame, found by MTCNN, aligned by five points"

    def __init__(self, folder: Path, frames: int):
        self.folder, self.frames = folder, frames
        self.name = folder.resolve().name
        listing = folder / VIDEO_LIST
        found = self._listed(listing) if listing.is_file() else self._in_folders()
        self.paths = [path for path, _ in found]
        self.facts = [facts for _, facts in found]

    def _in_folders(self) -> list[tuple[Path, VideoFacts]]:
        found = []
        for path in sorted(self.folder.rglob("*")):
            parts = path.relative_to(self.folder).parts
            if parts[0] not in ("real", "fake") or path.suffix.lower() not in MEDIA_SUFFIXES:
                continue
            method = None
            if parts[0] == "fake":
                method = parts[1] if len(parts) > 2 else ANY_METHOD
            name = path.relative_to(self.folder).as_posix()
            origin = parts[1] if parts[0] == "real" and len(parts) > 2 else None
            label = int(method is not None)
            facts = VideoFacts(self.name, None, method, name, None, label, origin)
            found.append((path, facts))
        if not found:
            raise FrameDataError(
                f"Folder '{self.name}' does not say which videos are genuine: put them into "
                f"'real' and 'fake', or list them in '{VIDEO_LIST}'."
            )
        return found

    def _listed(self, listing: Path) -> list[tuple[Path, VideoFacts]]:
        try:
            with listing.open(newline="") as file:
                rows = list(csv.DictReader(file, skipinitialspace=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise FrameDataError(f"'{VIDEO_LIST}' cannot be read: {error}") from None
        if not rows or not {"path", "label"} <= set(rows[0]):
            raise FrameDataError(f"'{VIDEO_LIST}' lacks the columns 'path' and 'label'.")
        found = []
        for number, row in enumerate(rows, start=2):
            label = (row["label"] or "").strip().lower()
            if label not in ("real", "fake"):
                raise FrameDataError(
                    f"'{VIDEO_LIST}', line {number}: the label must be real or fake."
                )
            path = self.folder / (row["path"] or "")
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise FrameDataError(f"'{VIDEO_LIST}', line {number}: the path leaves the folder.")
            facts = VideoFacts(
                dataset=row.get("dataset") or self.name,
                compression=row.get("compression") or None,
                method=(row.get("method") or ANY_METHOD) if label == "fake" else None,
                video_id=row["path"],
                source_video_id=row.get("source") or None,
                label=int(label == "fake"),
                origin=row.get("origin") or None,
            )
            found.append((path, facts))
        return found

    def fingerprint(self) -> str:
        """Return a digest of every video's name, label and content."""
        digest = hashlib.blake2b(digest_size=16)
        for path, facts in zip(self.paths, self.facts, strict=True):
            content = "missing"
            if path.is_file():
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(repr((facts.video_id, facts.label, content)).encode())
        return digest.hexdigest()

    def keep(self, items: Sequence[int]) -> None:
        """Leave only some of the items."""
        self.paths = [self.paths[item] for item in items]
        self.facts = [self.facts[item] for item in items]

    def items_without_points(self) -> list[int]:
        """Return no items: faces are searched for during scoring, so each video is decoded once."""
        return []


EvaluationData = FrameCollection | VideoFolder


def open_evaluation_data(name: str, frames: int = 32, split: str | None = None) -> EvaluationData:
    """Open a collection or a folder of videos.

    Args:
        name: folder of videos, folder or file of Parquet, or a dataset id on the Hub.
        frames: the most frames per video.
        split: of a collection; by default test, else validation.

    Raises:
        FrameDataError: the data cannot be used; the message is one sentence.
    """
    path = Path(name)
    if path.is_dir() and not any(path.rglob("*.parquet")):
        listed = (path / VIDEO_LIST).is_file()
        if listed or any(file.suffix.lower() in MEDIA_SUFFIXES for file in path.rglob("*")):
            return VideoFolder(path, frames)
    opened = open_rows(name, NEEDED_COLUMNS, split)
    return FrameCollection(opened, frames, lost_videos(name, opened.split))


def choose_videos(data: EvaluationData, at_most: int, rng: np.random.Generator) -> None:
    """Keep at most `at_most` videos, drawn at random, half of each class.

    If a class has too few, more of the other are kept.
    """
    videos = list(dict.fromkeys(data.facts))
    if len(videos) <= at_most:
        return
    genuine, fake = ([v for v in videos if v.label == label] for label in (0, 1))
    n_fake = min(len(fake), max(at_most // 2, at_most - len(genuine)))
    kept = set()
    for members, count in ((genuine, at_most - n_fake), (fake, n_fake)):
        kept.update(members[i] for i in rng.permutation(len(members))[:count])
    data.keep([item for item, facts in enumerate(data.facts) if facts in kept])
