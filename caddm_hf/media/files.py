"""What every reader of media files shares: limits, errors, facts, opening.

A file is hostile until checked, so these checks come before any decoder sees a byte.
"""

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from ..core.liveness import checkpoint, sign_of_life


class MediaError(ValueError):
    """A file that cannot be used; the message is one sentence for the person who chose it."""


@dataclass(frozen=True)
class MediaLimits:
    """What one file may cost; beyond any of these reading ends with a `MediaError`.

    Attributes:
        max_file_bytes: size of a video file, and of a download.
        max_image_bytes: size of a picture file.
        max_duration_s: length of a video in seconds, as claimed by its header and as found.
        max_side_px: width and height as displayed.
        max_frame_pixels: width x height of a video frame (8K is 33 million).
        max_image_pixels: width x height of a picture.
        decode_timeout_s: wall-clock seconds for probing a file, and again for decoding it.
            The time a caller spends between two frames does not count. Decoding of a single
            frame is not interrupted; the pixel limits bound it.
    """

    max_file_bytes: int = 4 * 2**30
    max_image_bytes: int = 200 * 2**20
    max_duration_s: float = 7200.0
    max_side_px: int = 8192
    max_frame_pixels: int = 36_000_000
    max_image_pixels: int = 64_000_000
    decode_timeout_s: float = 900.0


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds, found by reading it, not by believing its header.

    Attributes:
        kind: "video" or "image"; an animated GIF or PNG is a video.
        container: FFmpeg's name of the file format, or Pillow's for a picture.
        codec: name of the coding, such as "h264" or "jpeg".
        pixel_format: FFmpeg's pixel format, or Pillow's mode for a picture.
        width: displayed width in pixels, after rotation, with square pixels.
        height: displayed height, likewise.
        rotation_degrees: clockwise turn from the stored to the displayed picture
            (0, 90, 180 or 270); frames come turned already.
        frame_count: frames the file holds.
        frame_rate: average frames per second; None for a picture or where unknown.
        duration_s: from the first frame's start to the last one's end; 0 for a picture.
        start_s: timestamp of the first frame by the file's own clock.
        has_audio: whether there is sound.
        missing_frames: frames that a cut-off MP4 or MOV file lists but does not hold; they
            are not in `frame_count`. Other formats keep no such list, so there it is 0.
        file_bytes: size of the file.
    """

    kind: Literal["video", "image"]
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation_degrees: int
    frame_count: int
    frame_rate: float | None
    duration_s: float
    start_s: float
    has_audio: bool
    missing_frames: int
    file_bytes: int


def printable(name: str) -> str:
    """A name that neither breaks a line nor acts on a terminal, in any encoding."""
    return "".join(c if c.isprintable() else "?" for c in name)


def shown_name(path: Path) -> str:
    """A file's base name, quoted for a message: one line, at most 80 characters."""
    name = printable(path.name or str(path))
    return f"'{name if len(name) <= 80 else name[:77] + '...'}'"


def address_file_name(url_path: str) -> str:
    """A harmless file name out of an address; users see it in messages and reports."""
    name = re.sub(r"[^\w.-]+", "_", unquote(url_path.rsplit("/", 1)[-1])).strip(".")
    return name[-80:] or "download"


def shown_address(url: str | SplitResult) -> str:
    """An address for a message: host and file name only, for the rest may hold a secret."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else url
        host = parts.hostname
    except ValueError:
        return "This address"
    name = address_file_name(parts.path) if parts.path.strip("/") else ""
    return f"'{host}/.../{name}'" if name else f"'{host}'"


def public_name(source: str | os.PathLike) -> str:
    """What a report calls a file: a path as given, an address without what may be secret in it."""
    name = os.fspath(source)
    if "://" not in name:
        return name
    try:
        parts = urlsplit(name)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        netloc = host if parts.port is None else f"{host}:{parts.port}"
    except ValueError:
        return f"{name.partition('://')[0]}://(an address that is not valid)"
    return parts._replace(netloc=netloc, query="", fragment="").geturl()


@contextmanager
def open_media_file(path: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Opens an ordinary, readable file of 1 to `max_bytes` bytes, unbuffered.

    Raises:
        MediaError: it is not one.
    """
    try:
        mode = path.stat().st_mode
        # Opening a pipe or a device could block for ever, so look first.
        file = path.open("rb", buffering=0) if stat.S_ISREG(mode) else None
    except FileNotFoundError:
        raise MediaError(f"{shown_name(path)} does not exist.") from None
    except PermissionError:
        raise MediaError(
            f"{shown_name(path)} may not be read: its permissions forbid it."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or "its name is not a valid one"
        raise MediaError(f"{shown_name(path)} cannot be opened: {reason}.") from None
    if file is None:
        is_a = "a folder: choose a file in it" if stat.S_ISDIR(mode) else "not an ordinary file"
        raise MediaError(f"{shown_name(path)} is {is_a}.")
    with file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise MediaError(f"{shown_name(path)} is empty.")
        check_bytes(shown_name(path), size, max_bytes)
        yield file


def check_bytes(name: str, size: int, max_bytes: int) -> None:
    """Raises a `MediaError` about `name` where `size` is beyond the limit."""
    if size > max_bytes:
        raise MediaError(
            f"{name} is too large: {_in_megabytes(size)}, and the limit is "
            f"{_in_megabytes(max_bytes)}."
        )


def _in_megabytes(size: int) -> str:
    return f"{size / 1e6:,.{0 if size > 1e8 else 3}f} MB"


def check_pixels(path: Path, width: int, height: int, max_side: int, max_pixels: int) -> None:
    """Raises a `MediaError` where a picture's size is not one that can be read."""
    if width < 1 or height < 1:
        raise MediaError(f"{shown_name(path)} has no picture size: it is damaged.")
    if max(width, height) > max_side or width * height > max_pixels:
        raise MediaError(
            f"{shown_name(path)} is {width} x {height} pixels, and at most {max_side} a side "
            f"and {max_pixels / 1e6:g} million in all can be read."
        )


class WatchedFile:
    """An open file as a native decoder gets it: nameless, and ending at the deadline.

    The decoder calls `read` and `seek` from C, where an exception would be lost or come out
    elsewhere. So a fault looks to it like the end of the file, and the Python side learns of
    it by calling `check` between steps.
    """

    def __init__(self, file: BinaryIO, path: Path, timeout_s: float):
        self._file = file
        self._path = path
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._fault: str | None = None
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end, past the deadline and on a fault."""
        if time.monotonic() > self._deadline:
            return b""
        sign_of_life()
        try:
            return self._file.read(size)
        except OSError as error:
            self._fault = error.strerror
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new position, or -1 where there is none (damaged files ask for such)."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1

    def check(self) -> None:
        """Raises a `MediaError` if reading failed or the time is spent."""
        checkpoint()
        if self._fault is not None:
            raise MediaError(f"{shown_name(self._path)} cannot be read to its end: {self._fault}.")
        if time.monotonic() > self._deadline:
            raise MediaError(
                f"{shown_name(self._path)} takes more than {self._timeout_s:g} s to read: use a "
                "shorter or smaller version."
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock, for instance while the caller works on a frame."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._deadline += time.monotonic() - start
