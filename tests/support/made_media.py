"""Makes small media files for tests, with PyAV alone.

`numbered_frames` are pictures that carry their number, so that a test can tell whether the
frame it got is the one that was asked for; `write_video` writes any frames.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace

NUMBER_BITS = 10
INDEX_FIRST = {"movflags": "faststart"}  # muxer options: an MP4 readable before it is complete
TIME_BASE = Fraction(1, 90_000)  # fine enough for any time a test writes


def numbered_frame(number: int, size_hw: tuple[int, int] = (64, 96)) -> np.ndarray:
    """A picture that carries a number below 1024 and shows which way up it is.

    Args:
        number: what `read_number` is to give back.
        size_hw: height and width in pixels; from about 32 x 80 it survives compression.

    Returns:
        (H, W, 3) uint8: in the upper half ten bars, bright for a set bit, the lowest bit on
        the left; below, the left half red and the right half blue.
    """
    height, width = size_hw
    frame = np.full((height, width, 3), 40, np.uint8)
    for bit, columns in enumerate(np.array_split(np.arange(width), NUMBER_BITS)):
        frame[: height // 2, columns] = 215 if number >> bit & 1 else 40
    frame[height // 2 :, : width // 2] = (200, 40, 40)
    frame[height // 2 :, width // 2 :] = (40, 40, 200)
    return frame


def numbered_frames(count: int, size_hw: tuple[int, int] = (64, 96)) -> Iterator[np.ndarray]:
    """Frames numbered 0 .. count - 1."""
    return (numbered_frame(number, size_hw) for number in range(count))


def read_number(image_rgb: np.ndarray) -> int:
    """The number in an upright `numbered_frame`, after any codec."""
    height, width = image_rgb.shape[:2]
    band = image_rgb[height // 8 : height * 3 // 8].mean(axis=(0, 2))
    bars = [np.median(band[c]) for c in np.array_split(np.arange(width), NUMBER_BITS)]
    return sum(int(bar > 128) << bit for bit, bar in enumerate(bars))


def is_upright(image_rgb: np.ndarray) -> bool:
    """Whether the lower half of a `numbered_frame` is red on the left and blue on the right."""
    height, width = image_rgb.shape[:2]
    red, blue = (
        image_rgb[height * 3 // 4, column].astype(int) for column in (width // 4, width * 3 // 4)
    )
    return red[0] > red[2] + 80 and blue[2] > blue[0] + 80


def write_video(
    path: Path,
    frames_rgb: Iterable[np.ndarray],
    *,
    fps: float = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rotation_degrees: int = 0,
    mirrored: bool = False,
    times_s: Sequence[float] | None = None,
    audio: str | None = None,
    colorspace: Colorspace | None = None,
    full_range: bool = False,
    pixel_aspect: Fraction | None = None,
    options: Mapping[str, str] | None = None,
    container_format: str | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Writes frames as a video.

    Args:
        path: where to; the suffix decides the container unless `container_format` does.
        frames_rgb: (H, W, 3) uint8 each, as they are to be displayed.
        fps: frames per second where `times_s` is not given.
        codec: name of an encoder.
        pixel_format: what it shall store.
        rotation_degrees: clockwise turn (0, 90, 180, 270) a player has to make; frames are
            stored turned back.
        mirrored: whether a player has to mirror left to right before it turns.
        times_s: when each frame is shown, increasing: a variable frame rate.
        audio: name of an audio encoder ("aac", "libopus") for a second of silence.
        colorspace: matrix to convert and tag with; untagged if None.
        full_range: whether to store and tag full range; goes with `colorspace`.
        pixel_aspect: width of a pixel in heights; frames are stored as they come.
        options: for the encoder.
        container_format: name of a muxer.
        container_options: for the muxer.

    Returns:
        The path.
    """
    # Bit-exact: Matroska would write random identifiers.
    muxer = {"fflags": "+bitexact"} | dict(container_options or {})
    with av.open(str(path), "w", format=container_format, options=muxer) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=dict(options or {}))
        if times_s is not None:
            stream.codec_context.time_base = TIME_BASE
        sound = _silence(container, audio) if audio else []
        for number, shown_rgb in enumerate(frames_rgb):
            stored_rgb = np.rot90(shown_rgb, rotation_degrees // 90)
            if mirrored:
                stored_rgb = stored_rgb[:, ::-1]
            if number == 0:
                stream.height, stream.width = stored_rgb.shape[:2]
                stream.pix_fmt = pixel_format
                if rotation_degrees or mirrored:
                    # FFmpeg counts counter-clockwise, and mirrors after the turn.
                    turn = rotation_degrees if mirrored else -rotation_degrees
                    stream.set_display_rotation(turn, hflip=mirrored)
                if pixel_aspect is not None:
                    stream.sample_aspect_ratio = pixel_aspect
                if colorspace is not None:
                    stream.codec_context.colorspace = colorspace
                    stream.codec_context.color_range = 2 if full_range else 1
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored_rgb), "rgb24")
            if colorspace is not None:
                frame = frame.reformat(
                    format=pixel_format,
                    dst_colorspace=colorspace,
                    dst_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
                )
            if times_s is not None:
                frame.time_base = TIME_BASE
                frame.pts = round(times_s[number] / TIME_BASE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        container.mux(sound)
    return path


def _silence(container: av.container.OutputContainer, codec: str) -> list[av.Packet]:
    """Adds an audio stream; its packets are to be muxed after all streams have been added."""
    stream = container.add_stream(codec, rate=48_000, layout="stereo")
    stream.codec_context.open()
    size = stream.codec_context.frame_size or 1024
    packets = []
    for start in range(0, 48_000, size):
        frame = av.AudioFrame(stream.codec_context.format.name, "stereo", size)
        frame.sample_rate, frame.pts = 48_000, start
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        packets += stream.encode(frame)
    return packets + stream.encode()


def write_audio(path: Path, *, codec: str = "aac", cover_rgb: np.ndarray | None = None) -> Path:
    """Writes a second of silence, with a cover picture if one is given."""
    with av.open(str(path), "w") as container:
        packets = _silence(container, codec)
        if cover_rgb is not None:
            cover = container.add_stream("mjpeg", rate=1)
            cover.height, cover.width = cover_rgb.shape[:2]
            cover.pix_fmt = "yuvj420p"
            cover.disposition = Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(cover_rgb, "rgb24")
            frame.pts = 0
            container.mux(cover.encode(frame))
            container.mux(cover.encode())
        container.mux(packets)
    return path


def claim_mp4_duration(path: Path, seconds: int) -> None:
    """Makes the headers and the edit list of an MP4 file claim another duration."""
    data = bytearray(path.read_bytes())
    (movie_scale,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    (media_scale,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)
    # Version 0 boxes: type, version and flags, two dates, then the fields in question.
    struct.pack_into(">I", data, data.index(b"mvhd") + 20, seconds * movie_scale)
    struct.pack_into(">I", data, data.index(b"mdhd") + 20, seconds * media_scale)
    struct.pack_into(">I", data, data.index(b"tkhd") + 24, seconds * movie_scale)
    struct.pack_into(">I", data, data.index(b"elst") + 12, seconds * movie_scale)
    path.write_bytes(data)


def claim_mp4_frame_length(path: Path, seconds: float) -> None:
    """Makes the sample table of an MP4 file say that each frame lasts so long."""
    data = bytearray(path.read_bytes())
    (media_scale,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)
    entries_at = data.index(b"stts") + 8
    (entries,) = struct.unpack_from(">I", data, entries_at)
    for entry in range(entries):  # each: number of frames, length of one
        struct.pack_into(">I", data, entries_at + 8 * entry + 8, round(seconds * media_scale))
    path.write_bytes(data)


def claim_mkv_duration(path: Path, seconds: float) -> None:
    """Makes the header of a Matroska or WebM file claim another duration."""
    data = bytearray(path.read_bytes())
    duration = data.index(b"\x44\x89\x88") + 3  # element id, then its length: 8 bytes
    struct.pack_into(">d", data, duration, seconds * 1000)
    path.write_bytes(data)
