"""Probes a video or picture file, and yields evenly spaced upright RGB frames.

Serving and data preparation both read pixels through this module only, so a network gets the same
frames in training and in use. Size, claimed duration and dimensions are checked before pixels are
decoded, and time while they are decoded.
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
    """The facts about a video, with a plan for decoding.

    Attributes:
        plan: how to decode single frames; None if the video must be decoded from its start.
    """

    plan: PacketPlan | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class SampledFrame:
    """One frame of a video, or a picture as its only frame.

    Attributes:
        index: position among all frames in display order, from 0.
        time_s: seconds since the first frame; never negative, never decreasing.
        image_rgb: (H, W, 3) uint8, upright, H and W as in `MediaInfo`.
    """

    index: int
    time_s: float
    image_rgb: np.ndarray


def probe_media(path: str | os.PathLike, limits: MediaLimits = MediaLimits()) -> MediaInfo:
    """Read a whole file once, decoding its first frame only.

    Args:
        path: a local file. Its content decides what it is, not its name.
        limits: what the file may cost.

    Returns:
        what the file holds.

    Raises:
        MediaError: the file cannot be used; the message is one sentence.
    """
    path = Path(path)
    with open_media_file(path, limits.max_file_bytes) as file:
        picture = open_picture(file, path, limits)
        if picture is not None:
            return describe_picture(picture, path)
        # FFmpeg uses the sample table only, but a header that claims hours is refused, too.
        _check_duration(path, claimed_duration_s(file), limits)
    return _probe_video(path, limits)


def sample_indices(frame_count: int, wanted: int) -> np.ndarray:
    """Evenly spaced frame indices, first and last included (the CADDM paper's rule).

    Args:
        frame_count: frames of the video, >= 0.
        wanted: frames wanted, >= 1.

    Returns:
        (min(wanted, frame_count),) int64, increasing: `linspace(0, frame_count - 1, wanted)`
        truncated to integers; all indices if there are no more frames than wanted.
    """
    if frame_count < 0 or wanted < 1:
        raise ValueError(f"cannot sample {wanted} of {frame_count} frames")
    if frame_count <= wanted:
        return np.arange(frame_count, dtype=np.int64)
    return np.unique(np.linspace(0, frame_count - 1, wanted).astype(np.int64))


class SampledFrames(Iterator[SampledFrame]):
    """The frames that `iterate_frames` yields. The file closes at the end or on `close`."""

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        indices: list[int],
        limits: MediaLimits,
        threads: int | None,
    ):
        # The generator refers to the tally and not to this object. Without a reference cycle an
        # abandoned iterator closes its file at once, not when the garbage collector runs.
        self._tally = DecodingTally()
        if info.kind == "image":
            self._frames = _picture_frame(path, limits)
        else:
            self._frames = _video_frames(path, info, indices, limits, threads, self._tally)

    @property
    def unreadable_frames(self) -> int:
        """The number of frames so far, sampled or not, that are damaged or depend on damage.

        They are never yielded, because decoding errors look like manipulation. Frames that are
        missing from a cut-off file count in `MediaInfo.missing_frames` instead.
        """
        return self._tally.unreadable_frames

    def __next__(self) -> SampledFrame:
        return next(self._frames)

    def stop(self) -> None:
        """End the iteration after the packet that is being decoded; any thread may call this."""
        self._tally.stopped = True

    def close(self) -> None:
        """Stop decoding and close the file."""
        self._frames.close()


def iterate_sampled_frames(
    path: str | os.PathLike, info: MediaInfo, wanted: int, limits: MediaLimits = MediaLimits()
) -> SampledFrames:
    """Decode a file once, in order, and yield evenly spaced frames as they are decoded.

    Only the current frame is kept. Frames that no wanted frame depends on are not decoded, if the
    file's packets show which these are (`media.seeking`); the yielded frames are the same. An
    unreadable frame is replaced by the next readable one, with that frame's index. A file that
    ends early yields fewer frames.

    Args:
        path: the file that was probed.
        info: the result of `probe_media`.
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
    """As `iterate_sampled_frames`, for given frame indices.

    Args:
        path: the file that was probed.
        info: the result of `probe_media`.
        indices: increasing frame indices; a picture has frame 0 only.
        limits: what the file may cost.
        threads: threads of the decoder; None for its default.
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
            if not packet.is_corrupt:  # excludes the cut packet at the end of a cut-off file
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
        # Of the demuxers in the list, only this one has an index that lists each frame.
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
    """Yield index, frame and video of each wanted frame, or of the next readable one."""
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
        # With frame threads, FFmpeg's threads wait for one another's frames, after damage
        # sometimes for ever. The search for faces uses the other cores anyway.
        video.stream.thread_type = "SLICE"
        if threads is not None:
            video.stream.thread_count = threads
        yield video
