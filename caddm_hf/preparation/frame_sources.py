"""Frames of one record, a video or a folder of pictures, decoded once and in order.

Decoding uses one thread: each worker has one core, and the frames decoded from a damaged file can
depend on the number of threads, while a collection must not.
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
        frame_count: number of frames.

    Raises:
        MediaError: it cannot be used; the message says why.
    """

    def __init__(self, path: Path):
        self._path = path
        self._info = probe_media(path, LIMITS)
        self.frame_count = self._info.frame_count

    def sample(self, wanted: int) -> list[int]:
        """Evenly spaced frame indexes, increasing; all indexes if there are at most `wanted`."""
        return sample_indices(self.frame_count, wanted).tolist()

    def landmarks(self, index: int) -> np.ndarray | None:
        """None: videos have no stored landmarks."""
        return None

    def read(self, indexes: Sequence[int]) -> Iterator[SampledFrame]:
        """Yield the frames at increasing indexes; the next readable one replaces a damaged one.

        Raises:
            MediaError: while iterating, if none can be decoded.
        """
        # Videos are distributed over processes, so each is decoded on one thread.
        return iterate_frames(self._path, self._info, indexes, LIMITS, threads=1)


class PictureFolder:
    """Frames stored as pictures, some with landmarks.

    Args:
        tree: file system of the pictures.
        frames: the pictures by increasing index.

    Attributes:
        frame_count: one more than the last index.
    """

    def __init__(self, tree: DirFileSystem, frames: Sequence[FramePicture]):
        self._tree = tree
        self._frames = {frame.index: frame for frame in frames}
        self.frame_count = max(self._frames, default=-1) + 1

    def sample(self, wanted: int) -> list[int]:
        """Evenly chosen stored indexes, increasing."""
        stored = sorted(self._frames)
        return [stored[number] for number in sample_indices(len(stored), wanted)]

    def landmarks(self, index: int) -> np.ndarray | None:
        """(N, 2) float64 stored landmarks of the frame, if any."""
        points_xy = self._frames[index].landmarks_xy
        return None if points_xy is None else np.array(points_xy, np.float64)

    def read(self, indexes: Sequence[int]) -> Iterator[SampledFrame]:
        """Yield the stored, readable frames at the given indexes, without times.

        Pictures beyond the limits count as unreadable.
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
    """Open a record's frames; a remote video is downloaded until the block ends.

    Raises:
        MediaError: it cannot be used.
    """
    if frames:
        yield PictureFolder(tree, frames)
    elif isinstance(tree.fs, LocalFileSystem):
        yield VideoFile(Path(posixpath.join(tree.path, path)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            # Keep the video's name for messages.
            local = Path(folder) / (posixpath.basename(path) or f"video{suffix(path)}")
            tree.get_file(path, str(local))
            yield VideoFile(local)
