"""A video or picture file -> what it holds, and evenly spaced upright RGB frames.

Serving and data preparation both read pixels through this file and no other, so a network
sees the same frames in training and in use. Size, claimed duration and dimensions are
bounded before pixels are decoded, and time while they are.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from .conversion import UprightConverter, clockwise_degrees, displayed_size
from .files import open_media_file
from .limits import MediaError, MediaInfo, MediaLimits, check_pixels
from .mp4_header import claimed_duration_s
from .names import shown_name
from .pictures import describe_picture, open_picture, picture_rgb
from .seeking import PacketPlan, PlanError, plan_packets, planned_frames
from .stream import (
    DecodingTally,
    OpenVideo,
    decode_packet,
    is_shown,
    open_video,
    readable_frames,
)


@dataclass(frozen=True)
class ProbedVideo(MediaInfo):
    """What probing a video also finds.

    Attributes:
        plan: how to read single frames of it; None where it must be read from the start.
    """

    plan: PacketPlan | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class SampledFrame:
    """One frame of a video, or the only one of a picture.

    Attributes:
        index: position among all frames in display order, from 0.
        time_s: seconds since the first frame; never negative, never decreasing.
        image_rgb: (H, W, 3) uint8, upright, H and W as in `MediaInfo`.
    """

    index: int
    time_s: float
    image_rgb: np.ndarray


def probe_media(path: str | os.PathLike, limits: MediaLimits = MediaLimits()) -> MediaInfo:
    """Reads a file through once, decoding its first frame only.

    Args:
        path: a local file; its content decides what it is, not its name.
        limits: what the file may cost.

    Raises:
        MediaError: the file cannot be used; the message says why.
    """
    path = Path(path)
    with open_media_file(path, limits.max_file_bytes) as file:
        picture = open_picture(file, path, limits)
        if picture is not None:
            return describe_picture(picture, path)
        # FFmpeg goes by the sample table; a header that claims hours is refused all the same.
        _check_duration(path, claimed_duration_s(file), limits)
    return _probe_video(path, limits)


def sample_indices(frame_count: int, wanted: int) -> np.ndarray:
    """Evenly spaced frame indices, first and last included (the CADDM paper's rule).

    Args:
        frame_count: frames there are, >= 0.
        wanted: frames wanted, >= 1.

    Returns:
        (min(wanted, frame_count),) int64, increasing: `linspace(0, frame_count - 1, wanted)`
        cut to integers; every index when there are no more frames than wanted.
    """
    if frame_count < 0 or wanted < 1:
        raise ValueError(f"cannot sample {wanted} of {frame_count} frames")
    if frame_count <= wanted:
        return np.arange(frame_count, dtype=np.int64)
    return np.unique(np.linspace(0, frame_count - 1, wanted).astype(np.int64))


class SampledFrames(Iterator[SampledFrame]):
    """What `iterate_frames` returns; the file closes at the end or on `close`."""

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        indices: list[int],
        limits: MediaLimits,
        threads: int | None,
    ):
        # The generator holds the tally, not this object: no reference cycle, so an abandoned
        # iterator closes its file at once and not at some later collection.
        self._tally = DecodingTally()
        if info.kind == "image":
            self._frames = _picture_frame(path, limits)
        else:
            self._frames = _video_frames(path, info, indices, limits, threads, self._tally)

    @property
    def unreadable_frames(self) -> int:
        """Frames met so far, sampled or not, that were damaged or depend on a damaged one.

        They are never yielded, since decoding errors look like manipulation. Frames that a
        cut-off file lacks altogether are in `MediaInfo.missing_frames` instead.
        """
        return self._tally.unreadable_frames

    def __next__(self) -> SampledFrame:
        return next(self._frames)

    def stop(self) -> None:
        """From another thread: no more frames after the packet that is being decoded."""
        self._tally.stopped = True

    def close(self) -> None:
        """Stops decoding and closes the file."""
        self._frames.close()


def iterate_sampled_frames(
    path: str | os.PathLike, info: MediaInfo, wanted: int, limits: MediaLimits = MediaLimits()
) -> SampledFrames:
    """Decodes a file once, in order, and yields evenly spaced frames as they come.

    Only the current frame is kept. What no wanted frame needs is not decoded, if the file's
    packets tell what that is (`media.seeking`); the frames are the same. In place of an
    unreadable frame comes the next readable one, under its own index; a file that ends early
    yields what there is.

    Args:
        path: the file that was probed.
        info: what `probe_media` said about it.
        wanted: how many frames to take, by `sample_indices`.
        limits: what the file may cost.

    Raises:
        MediaError: while iterating: the file has become unusable, none of its frames can be
            decoded, or time ran out.
    """
    return iterate_frames(path, info, sample_indices(info.frame_count, wanted), limits)


def iterate_frames(
    path: str | os.PathLike,
    info: MediaInfo,
    indices: Sequence[int],
    limits: MediaLimits = MediaLimits(),
    threads: int | None = None,
) -> SampledFrames:
    """As `iterate_sampled_frames`, at given frames.

    Args:
        path: the file that was probed.
        info: what `probe_media` said about it.
        indices: increasing frame indices; of a picture only frame 0 exists.
        limits: what the file may cost.
        threads: of the decoder; `None` leaves the choice to it.
    """
    return SampledFrames(Path(path), info, [int(index) for index in indices], limits, threads)


def _picture_frame(path: Path, limits: MediaLimits) -> Iterator[SampledFrame]:
    with open_media_file(path, limits.max_file_bytes) as file:
        picture = open_picture(file, path, limits)
        if picture is None:
            raise MediaError(f"{shown_name(path)} was changed while it was read.")
        image_rgb = picture_rgb(picture, path)
    yield SampledFrame(0, 0.0, image_rgb)


# --- probing ----------------------------------------------------------------------------


def _check_duration(path: Path, seconds: float, limits: MediaLimits) -> None:
    if seconds > limits.max_duration_s:
        raise MediaError(
            f"{shown_name(path)} claims to last {seconds / 60:,.1f} minutes, and the limit is "
            f"{limits.max_duration_s / 60:,.1f}: cut out the part that matters."
        )


def _probe_video(path: Path, limits: MediaLimits) -> MediaInfo:
    with open_video(path, limits) as video:
        container, stream = video.container, video.stream
        _check_duration(path, (container.duration or 0) / av.time_base, limits)
        _check_duration(path, float((stream.duration or 0) * stream.time_base), limits)

        first_frame = None
        read = shown = whole = 0
        start, end, last_duration = math.inf, -math.inf, 0
        times: list[int | None] = []
        keys: list[bool] = []
        for packet in video.packets():
            if first_frame is None:
                first_frame = next(iter(decode_packet(stream, packet) or []), None)
            read += 1
            times.append(packet.pts)
            keys.append(packet.is_keyframe)
            if not is_shown(packet):
                continue
            shown += 1
            if not packet.is_corrupt:  # so that the cut packet a cut-off file ends with is out
                whole = shown
            pts = packet.dts if packet.pts is None else packet.pts
            if pts is not None:
                start = min(start, pts)
                if pts + (packet.duration or 0) > end:
                    last_duration = packet.duration or 0
                    end = pts + last_duration
                _check_duration(path, float((end - start) * stream.time_base), limits)
        if first_frame is None:
            first_frame = next(iter(decode_packet(stream, None) or []), None)
        if first_frame is None or whole == 0:
            raise MediaError(f"{shown_name(path)} is damaged: none of its frames can be decoded.")

        frame_rate = float(stream.average_rate) if stream.average_rate else None
        if end < start:  # no timestamps at all
            start, duration_s = 0, whole / frame_rate if frame_rate else 0.0
        else:
            duration_s = float((end - start) * stream.time_base)
            if not last_duration and frame_rate:
                duration_s += 1 / frame_rate
        # Of the demuxers in the list, only this one's index lists each frame.
        listed = len(stream.index_entries) if container.format.name.startswith("mov") else read
        width, height = displayed_size(first_frame, stream)
        check_pixels(path, width, height, limits.max_side_px, limits.max_frame_pixels)
        undamaged = video.has_display_times and listed == read == shown == whole
        return ProbedVideo(
            kind="video",
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=first_frame.format.name,
            width=width,
            height=height,
            rotation_degrees=clockwise_degrees(first_frame),
            frame_count=whole,
            frame_rate=frame_rate,
            duration_s=duration_s,
            start_s=float(start * stream.time_base),
            has_audio=bool(container.streams.audio),
            missing_frames=max(0, listed - read) + shown - whole,
            file_bytes=path.stat().st_size,
            plan=plan_packets(times, keys, container.format.name) if undamaged else None,
        )


# --- decoding ---------------------------------------------------------------------------


def _video_frames(
    path: Path,
    info: MediaInfo,
    indices: list[int],
    limits: MediaLimits,
    threads: int | None,
    tally: DecodingTally,
) -> Iterator[SampledFrame]:
    if not indices:
        return
    converter = UprightConverter()
    last_time_s = 0.0
    for index, frame, video in _decoded_frames(path, info, indices, limits, threads, tally):
        if video.has_display_times and frame.pts is not None:
            time_s = float(frame.pts * video.stream.time_base) - info.start_s
        else:
            time_s = index / info.frame_rate if info.frame_rate else 0.0
        last_time_s = max(last_time_s, time_s)
        try:
            image_rgb = converter.upright_rgb(frame, info.width, info.height)
        except av.FFmpegError as error:
            raise MediaError(
                f"{shown_name(path)} has pixels in a form that cannot be converted "
                f"({frame.format.name}): save it as H.264."
            ) from error
        with video.file.paused():
            yield SampledFrame(index, last_time_s, image_rgb)


def _decoded_frames(
    path: Path,
    info: MediaInfo,
    indices: list[int],
    limits: MediaLimits,
    threads: int | None,
    tally: DecodingTally,
) -> Iterator[tuple[int, VideoFrame, OpenVideo]]:
    """Each wanted frame, or the next readable one in its place."""
    position = 0
    plan = info.plan if isinstance(info, ProbedVideo) else None
    if plan is not None and indices[-1] < len(plan.pts):
        try:
            with _opened(path, limits, threads) as video:
                for index, frame in planned_frames(video, plan, indices, tally):
                    position += 1
                    yield index, frame, video
            return
        except PlanError:
            pass
    with _opened(path, limits, threads) as video:
        for index, frame in readable_frames(video, info.frame_count, tally):
            if index < indices[position]:
                continue
            yield index, frame, video
            while position < len(indices) and indices[position] <= index:
                position += 1
            if position == len(indices):
                return
    if position == 0 and not tally.stopped:
        raise MediaError(f"{shown_name(path)} is damaged: none of its frames can be decoded.")


@contextmanager
def _opened(path: Path, limits: MediaLimits, threads: int | None) -> Iterator[OpenVideo]:
    with open_video(path, limits) as video:
        # Not by frames: there FFmpeg's threads wait for one another's pictures, and after damage
        # can do so for ever. Nothing is lost by it, as the search for faces has the other cores.
        video.stream.thread_type = "SLICE"
        if threads is not None:
            video.stream.thread_count = threads
        yield video
