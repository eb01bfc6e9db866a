"""Draw the detector's results on a clip, as a video that browsers play.

    write_annotated_video("clip.mp4", report, Path("annotated.mp4"))

The video is made with PyAV alone. A short clip is shown whole and keeps its times. Of a long one,
only the seconds around the most suspicious moments are shown, one after the other, with their
times in the original. Sound is left out: it was not judged, and its pieces could mislead.
`report.drawing` describes how people are drawn between sampled frames.
"""

import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from ..core.atomic_files import write_atomically
from ..core.errors import UserError
from ..core.liveness import Progress
from ..media.files import open_media_file
from ..media.frames import SampledFrame, iterate_frames, probe_media
from ..media.limits import MediaInfo, MediaLimits
from .drawing import draw_caption, draw_people
from .gallery import most_suspicious_faces
from .video_report import VideoReport

STAGE = "Drawing the video"
LONGEST_S = 45.0
MOMENTS = 15
AROUND_S = 1.5  # before and after a moment
MOST_FRAMES_PER_SECOND = 15
LONG_SIDE_PX, SHORT_SIDE_PX = 1280, 720
# Yield a skipped frame now and then: work can be stopped only when a frame is yielded.
LOOK_EVERY_FRAMES = 600
TIME_BASE = Fraction(1, 90_000)
REMARK = "A score is evidence, not proof."
UNTRAINED_REMARK = "Untrained model: scores mean nothing."
# Encoders in PyAV's wheels, in order of preference. The maximum rate bounds the file's size.
RATE = {"maxrate": "4M", "bufsize": "8M"}
ENCODERS = (
    ("libx264", ".mp4", {"preset": "veryfast", "crf": "23", **RATE}),
    ("libopenh264", ".mp4", {"b": "3M", **RATE}),
    (
        "libvpx-vp9",
        ".webm",
        {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "33", "b": "3M"},
    ),
)
FORMATS = {".mp4": ("mp4", {"movflags": "+faststart"}), ".webm": ("webm", {})}


class AnnotationError(UserError):
    """A video that cannot be annotated; the message is one sentence for a person."""


@dataclass(frozen=True)
class AnnotatedVideo:
    """Facts about a written video.

    Attributes:
        path: path of the file.
        duration_s: duration of the annotated video.
        frame_count: number of its frames.
        windows_s: start and end of each part shown, in seconds of the original.
        whole_clip: whether the whole clip is shown, so that times are the original's.
    """

    path: Path
    duration_s: float
    frame_count: int
    windows_s: tuple[tuple[float, float], ...]
    whole_clip: bool


def annotated_video_suffix() -> str:
    """ ".mp4" if there is an H.264 encoder, else ".webm" (VP9).

    Raises:
        AnnotationError: there is no encoder for either.
    """
    return _encoder()[1]


def write_annotated_video(
    video_path: str | os.PathLike,
    report: VideoReport,
    out_path: str | os.PathLike,
    strength: float = 1.0,
    *,
    on_progress: Progress | None = None,
    limits: MediaLimits = MediaLimits(),
) -> AnnotatedVideo:
    """Draw boxes with verdicts, and heatmaps, on a clip.

    The result has at most 45 seconds, 15 frames a second and 1280 x 720 (or 720 x 1280) pixels.

    Args:
        video_path: the local file that was judged.
        report: from the detector; one read from a file has few heatmaps.
        out_path: ends in `annotated_video_suffix()`; an existing file is replaced.
        strength: strength of the heatmaps, in [0, 1].
        on_progress: called with (stage, done, total); an exception it raises stops the work
            and leaves nothing under `out_path`.
        limits: limits on reading the video.

    Raises:
        MediaError: the video cannot be read.
        AnnotationError: the file is a picture or not the one that was judged, it has no face, or
            the result cannot be written.
    """
    path, out_path = Path(video_path), Path(out_path)
    codec, suffix, options = _encoder()
    if out_path.suffix != suffix:
        raise ValueError(f"the annotated video's name must end in {suffix}, got '{out_path.name}'")
    tell = on_progress or (lambda *_: None)
    tell(STAGE, 0, 1)
    if not any(person.faces for person in report.people):
        raise AnnotationError("No face was found, so there is nothing to draw on the video.")
    info = _checked_video(path, report, limits)
    windows = suspicious_windows(report, info.duration_s)
    drawing = _Drawing(report, info, strength)
    try:
        with write_atomically(out_path) as file:
            container_format, muxer_options = FORMATS[suffix]
            # By name: the muxer reopens the file to rewrite its start.
            with av.open(
                file.name, "w", format=container_format, options=muxer_options
            ) as container:
                encoder = _Encoder(container, codec, options, drawing.size_hw)
                with closing(_window_frames(path, info, windows, limits)) as frames:
                    for number, (frame, shown_s, total) in enumerate(frames, start=1):
                        if shown_s is not None:
                            encoder.add(drawing.draw(frame), shown_s)
                        tell(STAGE, number, total)
                encoder.finish()
    except (av.FFmpegError, OSError) as error:
        raise AnnotationError(
            f"The annotated video cannot be written: {error.strerror or error}."
        ) from error
    whole = windows == ((0.0, info.duration_s),)
    return AnnotatedVideo(out_path, encoder.end_s, encoder.frame_count, windows, whole)


def suspicious_windows(report: VideoReport, duration_s: float) -> tuple[tuple[float, float], ...]:
    """The parts of a video to show: (start, end) in seconds, in order, apart from each other.

    A video of up to 45 seconds is shown whole. Of a longer one, 1.5 seconds on either side of the
    most suspicious moments are shown, at most 45 seconds in total.
    """
    if duration_s <= LONGEST_S:
        return ((0.0, duration_s),)
    moments = sorted(found.face.time_s for found in most_suspicious_faces(report, MOMENTS))
    windows: list[tuple[float, float]] = []
    for moment in moments:
        start, end = max(0.0, moment - AROUND_S), min(duration_s, moment + AROUND_S)
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], end)
        elif start < end:
            windows.append((start, end))
    return tuple(windows)


def _checked_video(path: Path, report: VideoReport, limits: MediaLimits) -> MediaInfo:
    info = probe_media(path, limits)
    if info.kind == "image":
        raise AnnotationError("This is a picture: only a video can be annotated as a video.")
    same = abs(info.duration_s - report.duration_s) < 0.5
    if report.provenance is not None and (same := info.file_bytes == report.provenance.file.bytes):
        with open_media_file(path, limits.max_file_bytes) as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == report.provenance.file.sha256
    if not same:
        raise AnnotationError("This video is not the file that the report is on.")
    return info


def _window_frames(
    path: Path, info: MediaInfo, windows: tuple[tuple[float, float], ...], limits: MediaLimits
) -> Iterator[tuple[SampledFrame, float | None, int]]:
    """Yield the frames to show, with their time in the annotated video and their number.

    Frames outside the windows are yielded now and then, with None as their time, so that a caller
    can stop the work.
    """
    rate = info.frame_count / max(info.duration_s, 1e-3)
    step = max(1, math.ceil(rate / MOST_FRAMES_PER_SECOND - 1e-6))
    wanted = {
        index
        for start, end in windows
        # With a variable frame rate, index / rate is only approximately the time: add a margin.
        for index in range(max(0, int((start - 1) * rate)), int((end + 1) * rate) + 1)
        if index % step == 0
    }
    last = max(wanted)
    wanted |= set(range(0, last, LOOK_EVERY_FRAMES))
    indices = sorted(index for index in wanted if index < info.frame_count)
    starts = np.cumsum([0.0, *(end - start for start, end in windows)])
    with closing(iterate_frames(path, info, indices, limits)) as frames:
        for frame in frames:
            shown_s = None
            for (start, end), begins in zip(windows, starts, strict=False):
                if start <= frame.time_s <= end:
                    shown_s = float(begins) + frame.time_s - start
            yield frame, shown_s, len(indices)


class _Drawing:
    """Shrinks the frames of one video and draws on them."""

    def __init__(self, report: VideoReport, info: MediaInfo, strength: float):
        long, short = max(info.width, info.height), min(info.width, info.height)
        self._scale = min(1.0, LONG_SIDE_PX / long, SHORT_SIDE_PX / short)
        # Even sides, because these codecs store colour at half the size.
        height, width = (
            max(2, 2 * round(side * self._scale / 2)) for side in (info.height, info.width)
        )
        self.size_hw = (height, width)
        self._report = report
        self._strength = min(1.0, max(0.0, strength))
        untrained = report.provenance is not None and not report.provenance.model_trained
        self._remark = UNTRAINED_REMARK if untrained else REMARK

    def draw(self, frame: SampledFrame) -> np.ndarray:
        """(H, W, 3) uint8 of `size_hw`."""
        image_rgb = frame.image_rgb
        if image_rgb.shape[:2] != self.size_hw:
            image_rgb = cv2.resize(image_rgb, self.size_hw[::-1], interpolation=cv2.INTER_AREA)
        drawn = draw_people(image_rgb, self._report, frame.time_s, self._strength, self._scale)
        draw_caption(drawn, frame.time_s, self._remark)
        return drawn


class _Encoder:
    """One video stream of BT.709 colours in a container."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        codec: str,
        options: dict[str, str],
        size_hw: tuple[int, int],
    ):
        self._container = container
        self._stream = container.add_stream(
            codec, rate=MOST_FRAMES_PER_SECOND, options=dict(options)
        )
        context = self._stream.codec_context
        self._stream.height, self._stream.width = size_hw
        self._stream.pix_fmt = "yuv420p"
        context.time_base = TIME_BASE
        context.gop_size = 2 * MOST_FRAMES_PER_SECOND  # a player can jump to every other second
        context.colorspace = Colorspace.ITU709
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        self._last_pts = -1
        self.frame_count = 0

    @property
    def end_s(self) -> float:
        """Seconds up to the end of the last frame."""
        return float(max(0, self._last_pts) * TIME_BASE) + 1 / MOST_FRAMES_PER_SECOND

    def add(self, image_rgb: np.ndarray, time_s: float) -> None:
        """Encode a frame; skip one that is not later than the last."""
        pts = round(time_s / TIME_BASE)
        if pts <= self._last_pts:
            return
        frame = av.VideoFrame.from_ndarray(image_rgb, "rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.time_base, frame.pts = TIME_BASE, pts
        self._container.mux(self._stream.encode(frame))
        self._last_pts = pts
        self.frame_count += 1

    def finish(self) -> None:
        """Encode the frames still buffered.

        Raises:
            AnnotationError: there was no frame.
        """
        if not self.frame_count:
            raise AnnotationError("No frame of this video can be shown.")
        self._container.mux(self._stream.encode())


def _encoder() -> tuple[str, str, dict[str, str]]:
    """Name, file suffix and options of the best available encoder."""
    for codec, suffix, options in ENCODERS:
        try:
            av.Codec(codec, "w")
        except ValueError:  # PyAV's error for a missing codec
            continue
        return codec, suffix, options
    raise AnnotationError("There is no encoder for H.264 or VP9 in this installation of PyAV.")
