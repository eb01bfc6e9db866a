"""Reads the duration that the header of an MP4 or MOV file claims.

FFmpeg uses the sample table and ignores the duration in the movie header. A header that claims
hours while the table lists seconds belongs to a damaged or crafted file, which is refused before
anything is decoded. Box layout: ISO/IEC 14496-12, sections 4.2 and 8.2.2.
"""

import io
import struct
from typing import BinaryIO

# A file has a handful of boxes on its top level. A file with more was crafted to cost time.
MAX_BOXES = 1000


def _find_box(file: BinaryIO, name: bytes, end: int) -> tuple[int, int] | None:
    """Start and end of the content of the first box `name` from the position to `end`."""
    for _ in range(MAX_BOXES):
        start = file.tell()
        header = file.read(8)
        if len(header) < 8 or start >= end:
            return None
        size, kind = struct.unpack(">I4s", header)
        content = start + 8
        if size == 1:  # a 64-bit size follows
            large = file.read(8)
            if len(large) < 8:
                return None
            size, content = struct.unpack(">Q", large)[0], start + 16
        elif size == 0:  # to the end of the file
            size = end - start
        stop = min(start + size, end)
        if stop < content:
            return None
        if kind == name:
            return content, stop
        file.seek(stop)
    return None


def claimed_duration_s(file: BinaryIO) -> float:
    """The duration in seconds that the movie header of an MP4 or MOV file claims.

    Args:
        file: seekable; its position is restored.

    Returns:
        0 if there is no such header, it cannot be read, or it states no duration.
    """
    position = file.tell()
    try:
        end = file.seek(0, io.SEEK_END)
        file.seek(0)
        movie = _find_box(file, b"moov", end)
        if movie is None:
            return 0.0
        file.seek(movie[0])
        header = _find_box(file, b"mvhd", movie[1])
        if header is None:
            return 0.0
        file.seek(header[0])
        fields = file.read(32)
        # Version and flags, creation and modification times, time scale, duration.
        layout, unknown = (">QQIQ", 2**64 - 1) if fields[:1] == b"\1" else (">IIII", 2**32 - 1)
        if len(fields) < 4 + struct.calcsize(layout):
            return 0.0
        _, _, scale, duration = struct.unpack_from(layout, fields, 4)
        return duration / scale if scale and duration != unknown else 0.0
    except OSError:  # reading the frames will fail as well, with a message
        return 0.0
    finally:
        file.seek(position)
