"""Decodes only those parts of a video that the wanted frames depend on.

Two kinds of frames are skipped: frames that no other frame is predicted from, and all frames up to
the key frame before the next wanted frame. The packets that probing reads show where these are.
Decoding compares the display time of every packet and frame with this plan. At the first one that
differs or is damaged, `PlanError` tells the caller to decode the file from its start.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
from av.video.frame import VideoFrame

from .stream import DecodingTally, OpenVideo, decode_packet

# Formats with an index that lists the key frames.
INDEXED_CONTAINERS = ("mov", "matroska")
# A seek costs about as much as decoding this many frames, because the decoder starts anew.
SEEK_COST_FRAMES = 16


class PlanError(Exception):
    """The file differs from the plan of its packets."""


@dataclass(frozen=True)
class PacketPlan:
    """The packets of a complete, undamaged file.

    Attributes:
        pts: (N,) int64 display times, in the order of the file, all different.
        is_key: (N,) bool, whether decoding can begin at the packet.
        can_seek: whether the container's index lists these packets.
    """

    pts: np.ndarray
    is_key: np.ndarray
    can_seek: bool


def plan_packets(
    pts: Sequence[int | None], is_key: Sequence[bool], container: str
) -> PacketPlan | None:
    """The plan of a file, or None if its display times cannot identify its frames.

    Args:
        pts: display times of all packets, in the order of the file.
        is_key: for each packet, whether it is marked as a key frame.
        container: FFmpeg's name of the file format.
    """
    if not pts or not is_key[0] or None in pts or len(set(pts)) < len(pts):
        return None
    can_seek = container.startswith(INDEXED_CONTAINERS)
    return PacketPlan(np.array(pts, np.int64), np.array(is_key, bool), can_seek)


def planned_frames(
    video: OpenVideo, plan: PacketPlan, indices: Sequence[int], tally: DecodingTally
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the frames at given indices, the same as decoding from the start would yield.

    Args:
        video: just opened.
        plan: of this file.
        indices: increasing, in display order from 0.
        tally: its `stopped` ends the iteration.

    Yields:
        index and frame.

    Raises:
        PlanError: the file differs from the plan. The frames yielded before are correct.
    """
    shown = np.sort(plan.pts)
    wanted = [int(shown[index]) for index in indices]
    reader = _PlannedReader(video, plan, set(wanted))
    for index, time in zip(indices, wanted, strict=True):
        reader.seek_before(time)
        while (frame := reader.next_frame()) is None or frame.pts < time:
            if tally.stopped:
                return
        if frame.pts > time:
            raise PlanError
        yield index, frame


class _PlannedReader:
    def __init__(self, video: OpenVideo, plan: PacketPlan, wanted: set[int]):
        self._video, self._plan, self._wanted = video, plan, wanted
        self._packets = video.packets()
        self._fed = 0  # position in the file of the next packet
        self._out: list[VideoFrame] = []
        self._flushed = False
        keys = np.flatnonzero(plan.is_key)
        order = np.argsort(plan.pts[keys])
        self._keys, self._key_times = keys[order], plan.pts[keys][order].tolist()

    def seek_before(self, time: int) -> None:
        """Seek to the key frame before `time`, if that saves more than it costs."""
        if not self._plan.can_seek or any(frame.pts >= time for frame in self._out):
            return
        place = bisect.bisect_right(self._key_times, time) - 1
        if place < 0 or self._keys[place] - self._fed < SEEK_COST_FRAMES:
            return
        try:
            self._video.container.seek(self._key_times[place], stream=self._video.stream)
        except av.FFmpegError:
            raise PlanError from None
        self._packets, self._out, self._flushed = self._video.packets(), [], False
        packet = next(self._packets, None)
        landed = self._keys[: place + 1][
            self._plan.pts[self._keys[: place + 1]] == (packet.pts if packet else None)
        ]
        if len(landed) != 1 or landed[0] < self._fed:
            raise PlanError
        self._fed = int(landed[0])
        self._feed(packet)

    def next_frame(self) -> VideoFrame | None:
        """The next frame in display order, or None if the next packet yields none."""
        if not self._out:
            packet = next(self._packets, None)
            if packet is None and self._flushed:
                raise PlanError
            self._feed(packet)
        return self._out.pop(0) if self._out else None

    def _feed(self, packet: av.Packet | None) -> None:
        if packet is None:
            self._flushed = True
        else:
            if self._fed == len(self._plan.pts) or packet.pts != self._plan.pts[self._fed]:
                raise PlanError
            self._fed += 1
            skipped = "DEFAULT" if packet.pts in self._wanted else "NONREF"
            self._video.stream.codec_context.skip_frame = skipped
        frames = decode_packet(self._video.stream, packet)
        if frames is None or any(frame.pts is None or frame.is_corrupt for frame in frames):
            raise PlanError
        self._out += frames
