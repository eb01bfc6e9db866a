"""What a media file may cost, what it holds, and the error for files that cannot be used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import UserError
from .names import shown_name


class MediaError(UserError):
    """A file that cannot be used; the message is one sentence for the person who chose it."""


@dataclass(frozen=True)
class MediaLimits:
    """What one file may cost. Reading a file that exceeds a limit raises a `MediaError`.

    Attributes:
        max_file_bytes: size of a video file, and of a download.
        max_image_bytes: size of a picture file.
        max_duration_s: length of a video in seconds, both claimed by its header and measured.
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
    """What a file holds, found by reading the whole file rather than its header.

    Attributes:
        kind: "video" or "image"; an animated GIF or PNG is a video.
        container: FFmpeg's name of the file format, or Pillow's for a picture.
        codec: name of the codec, such as "h264" or "jpeg".
        pixel_format: FFmpeg's pixel format, or Pillow's mode for a picture.
        width: displayed width in pixels, after rotation, with square pixels.
        height: displayed height, likewise.
        rotation_degrees: clockwise turn from the stored to the displayed picture
            (0, 90, 180 or 270); frames are returned turned.
        frame_count: number of frames in the file.
        frame_rate: average frames per second; None for a picture or if unknown.
        duration_s: from the first frame's start to the last one's end; 0 for a picture.
        start_s: timestamp of the first frame on the file's own clock.
        has_audio: whether the file has sound.
        missing_frames: frames that a cut-off MP4 or MOV file lists but does not hold; they
            are not in `frame_count`. 0 for other formats, which keep no such list.
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


def check_bytes(name: str, size: int, max_bytes: int) -> None:
    """Raise a `MediaError` about `name` if `size` exceeds the limit."""
    if size > max_bytes:
        raise MediaError(
            f"{name} is too large: {_in_megabytes(size)}, and the limit is "
            f"{_in_megabytes(max_bytes)}."
        )


def _in_megabytes(size: int) -> str:
    return f"{size / 1e6:,.{0 if size > 1e8 else 3}f} MB"


def check_pixels(path: Path, width: int, height: int, max_side: int, max_pixels: int) -> None:
    """Raise a `MediaError` if a picture of this size cannot be read."""
    if width < 1 or height < 1:
        raise MediaError(f"{shown_name(path)} has no picture size: it is damaged.")
    if max(width, height) > max_side or width * height > max_pixels:
        raise MediaError(
            f"{shown_name(path)} is {width} x {height} pixels, and at most {max_side} a side "
            f"and {max_pixels / 1e6:g} million in all can be read."
        )
