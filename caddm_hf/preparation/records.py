"""The records that layouts yield: one for each video, with the owners' facts about it.

A layout only reads names and lists; no video is opened here. Paths are relative to the dataset's
root, with forward slashes on every file system.
"""

import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fsspec.core import url_to_fs
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ..core.errors import UserError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
PICTURE_FORMATS = ("jpeg", "png")
SHOWN = 5  # names listed in a sentence


class DatasetError(UserError):
    """A tree or an option that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class FrameOptions:
    """Options that decide the rows.

    Attributes:
        frames: number of frames wanted of each video, evenly spaced.
        picture_format: "jpeg" (quality 95) or "png".
    """

    frames: int = 32
    picture_format: str = "jpeg"


@dataclass(frozen=True)
class FramePicture:
    """One frame that is stored as a picture.

    Attributes:
        index: index of the frame in its video.
        path: path below the dataset's root.
        landmarks_xy: N points (x, y) in pixels, N = 68 or 81; None if unknown.
    """

    index: int
    path: str
    landmarks_xy: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class VideoRecord:
    """One video.

    Attributes:
        dataset: value of the column of that name.
        path: path below the root of the file, or of the folder if frames are stored as pictures.
        video_id: unique over all datasets: dataset, method and compression are part of it.
        split: "train", "validation" or "test".
        method: method of the forgery; None if genuine.
        compression: the owners' name for it, such as "c23"; None if there are no variants.
        source_video_id: the genuine video a fake was made from; None if unknown. A genuine
            video has its own id here.
        source_path: path of that video; None if unknown or not in the tree.
        frames: the stored frames, by index; empty for a video file.
        source_frames: stored frames of the genuine video.
    """

    dataset: str
    path: str
    video_id: str
    split: str
    method: str | None = None
    compression: str | None = None
    source_video_id: str | None = None
    source_path: str | None = None
    frames: tuple[FramePicture, ...] = ()
    source_frames: tuple[FramePicture, ...] = ()

    @property
    def is_fake(self) -> bool:
        """Whether it is forged."""
        return self.method is not None


@dataclass
class Listing:
    """The result of a layout.

    Attributes:
        records: one for each video.
        missing: sentences on files that are missing or not part of the dataset.
        terms: a sentence on the terms of the material, for the dataset card.
    """

    records: list[VideoRecord]
    missing: list[str] = field(default_factory=list)
    terms: str = "The videos' owners decide what may be done with this collection."


def open_root(root: str) -> DirFileSystem:
    """The file system below a folder given as a path or an fsspec URL.

    Raises:
        DatasetError: there is no such folder, or its URL scheme is not supported.
    """
    tree = open_folder(root)
    if not tree.isdir(""):
        raise DatasetError(f"'{root}' is not a folder.")
    return tree


def open_folder(url: str) -> DirFileSystem:
    """The file system below a path or an fsspec URL, whether it exists or not.

    Raises:
        DatasetError: the URL scheme is not supported.
    """
    try:
        fs, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DatasetError(f"'{url}' cannot be opened: {error}") from None
    return DirFileSystem(path, fs)


def absolute(url: str) -> str:
    """Make a local path absolute; other URLs are returned unchanged."""
    fs, path = url_to_fs(url)
    return path if isinstance(fs, LocalFileSystem) else url


def every_file(tree: DirFileSystem, folder: str = "") -> list[str]:
    """Paths of all files below a folder, sorted; links to folders are followed."""
    if not isinstance(tree.fs, LocalFileSystem):
        return sorted(tree.find(folder)) if tree.isdir(folder) else []
    found, entered = [], set()
    for place, folders, names in os.walk(posixpath.join(tree.path, folder), followlinks=True):
        if os.path.realpath(place) in entered:  # a link back to a parent folder
            folders.clear()
            continue
        entered.add(os.path.realpath(place))
        found += [os.path.relpath(os.path.join(place, name), tree.path) for name in names]
    return sorted(path.replace(os.sep, "/") for path in found)


def files_below(tree: DirFileSystem, folder: str, suffixes: Iterable[str]) -> list[str]:
    """Paths of the files below a folder that have one of the suffixes, sorted."""
    return [path for path in every_file(tree, folder) if suffix(path) in suffixes]


def folders_in(tree: DirFileSystem, folder: str) -> list[str]:
    """Names of the folders directly in a folder, sorted; none if it does not exist."""
    if not tree.isdir(folder):
        return []
    paths = [path.rstrip("/") for path in tree.ls(folder, detail=False)]
    return sorted(posixpath.basename(path) for path in paths if tree.isdir(path))


def stem(path: str) -> str:
    """The file name without folders and suffix."""
    return posixpath.splitext(posixpath.basename(path))[0]


def suffix(path: str) -> str:
    """The suffix in lower case, with its dot."""
    return posixpath.splitext(path)[1].lower()


def read_text(tree: DirFileSystem, path: str) -> str:
    """Read a small text file.

    Raises:
        DatasetError: the file is not UTF-8 text.
    """
    try:
        return tree.cat_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"'{path}' is not a text file.") from None


def shown(names: Sequence[str]) -> str:
    """List names for a sentence: all of a few, else the first ones and the number of others."""
    listed = ", ".join(names[:SHOWN])
    return listed if len(names) <= SHOWN else f"{listed} and {len(names) - SHOWN:,} more"


def check_unique(records: Sequence[VideoRecord]) -> None:
    """Raise a DatasetError if two records have the same id."""
    known: dict[str, str] = {}
    for record in records:
        if record.video_id in known:
            other = known[record.video_id]
            if other == record.path:
                raise DatasetError(f"'{other}' is listed twice.")
            raise DatasetError(
                f"'{other}' and '{record.path}' are both video '{record.video_id}': remove or "
                "rename one of them."
            )
        known[record.video_id] = record.path
