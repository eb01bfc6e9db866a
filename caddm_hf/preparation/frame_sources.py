"""Frames of one record, decoded once and in order, whether it is a video or a folder of pictures.

Decoding uses one thread: workers share the cores among themselves, and what a decoder makes of a
damaged file can depend on its threads, while a collection must not.
"""

import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ..media.frames import SampledFrame, iterate_frames, probe_media, sample_indices
from ..media.limits import MediaLimits
from ..media.pictures import is_decodable
from .records import FramePicture, suffix

LIMITS = MediaLimits()


class VideoFile:
    """A video.

    Args:
        path: a file on this machine.

    Attributes:
        frame_count: frames it holds.

    Raises:
        MediaError: it cannot be used; the message says why.
    """

    def __init__(self, path: Path):
        self._path = path
        self._info = probe_media(path, LIMITS)
        self.frame_count = self._info.frame_count

    def sample(self, wanted: int) -> list[int]:
        """Evenly spaced frame indexes, increasing; all of them if there are no more."""
        return sample_indices(self.frame_count, wanted).tolist()

    def landmarks(self, index: int) -> np.ndarray | None:
        """Landmarks that come with the frame: none."""
        return None

    def read(self, indexes: Sequence[int]) -> Iterator[SampledFrame]:
        """The frames at increasing indexes; in place of an unreadable one the next readable.

        Raises:
            MediaError: while iterating, if none can be decoded.
        """
        # Videos are shared out among processes, so each is decoded on one thread.
        return iterate_frames(self._path, self._info, indexes, LIMITS, threads=1)


class PictureFolder:
    """Frames stored as pictures, some with landmarks.

    Args:
        tree: where they are.
        frames: by increasing index.

    Attributes:
        frame_count: one more than the last index.
    """

    def __init__(self, tree: DirFileSystem, frames: Sequence[FramePicture]):
        self._tree = tree
        self._frames = {frame.index: frame for frame in frames}
        self.frame_count = max(self._frames, default=-1) + 1

    def sample(self, wanted: int) -> list[int]:
        """Evenly chosen ones of the stored indexes, increasing."""
        stored = sorted(self._frames)
        return [stored[number] for number in sample_indices(len(stored), wanted)]

    def landmarks(self, index: int) -> np.ndarray | None:
        """(N, 2) float64 landmarks that come with the frame, if any."""
        points_xy = self._frames[index].landmarks_xy
        return None if points_xy is None else np.array(points_xy, np.float64)

    def read(self, indexes: Sequence[int]) -> Iterator[SampledFrame]:
        """The frames at the given indexes that are stored and readable; times are not known.

        A picture beyond the limits is not readable.
        """
        for index in indexes:
            if index not in self._frames:
                continue
            data = self._tree.cat_file(
                self._frames[index].path, start=0, end=LIMITS.max_image_bytes + 1
            )
            if not is_decodable(data, LIMITS):
                continue
            try:
                image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
            except cv2.error:
                image = None
            if image is not None:
                yield SampledFrame(index, float("nan"), image)


FrameSource = VideoFile | PictureFolder


@contextmanager
def open_frames(
    tree: DirFileSystem, path: str, frames: Sequence[FramePicture]
) -> Iterator[FrameSource]:
    """Opens a record's frames; a video on another machine is fetched for as long.

    Raises:
        MediaError: it cannot be used.
    """
    if frames:
        yield PictureFolder(tree, frames)
    elif isinstance(tree.fs, LocalFileSystem):
        yield VideoFile(Path(posixpath.join(tree.path, path)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            # Its own name stays in the messages.
            local = Path(folder) / (posixpath.basename(path) or f"video{suffix(path)}")
            tree.get_file(path, str(local))
            yield VideoFile(local)
