"""Decoding no more of a video than the frames that are wanted need.

Two things are left out: frames that are predicted from others and from which none is predicted,
and whole stretches up to the key frame before the next wanted frame. Whether there are any, and
where, is read off the file's packets when it is probed. Every packet and frame is held against
that plan by its display time; at the first one that does not fit, or is damaged, the caller is
told to read the file from its start.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
from av.video.frame import VideoFrame

from .stream import DecodingTally, OpenVideo, decode_packet

# Formats whose index leads to any key frame.
INDEXED_CONTAINERS = ("mov", "matroska")
# A jump costs about as much as decoding so many frames: the decoder starts anew.
JUMP_COST_FRAMES = 16


class PlanError(Exception):
    """The file is not as its packets promised."""


@dataclass(frozen=True)
class PacketPlan:
    """What a whole, undamaged file's packets say.

    Attributes:
        pts: (N,) int64 display times, in the order of the file; no two are alike.
        is_key: (N,) whether decoding can begin there.
        can_jump: whether the container leads there.
    """

    pts: np.ndarray
    is_key: np.ndarray
    can_jump: bool


def plan_packets(
    pts: Sequence[int | None], is_key: Sequence[bool], container: str
) -> PacketPlan | None:
    """The plan of a file, or None where one cannot go by its display times.

    Args:
        pts: display times of all packets, in the order of the file.
        is_key: of each, whether it is marked as a key frame.
        container: FFmpeg's name of the file format.
    """
    if not pts or not is_key[0] or None in pts or len(set(pts)) < len(pts):
        return None
    can_jump = container.startswith(INDEXED_CONTAINERS)
    return PacketPlan(np.array(pts, np.int64), np.array(is_key, bool), can_jump)


def planned_frames(
    video: OpenVideo, plan: PacketPlan, indices: Sequence[int], tally: DecodingTally
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames at some places, as decoding from the start would give them.

    Args:
        video: just opened.
        plan: of this file.
        indices: increasing, in display order from 0.
        tally: for being stopped.

    Yields:
        index and frame.

    Raises:
        PlanError: at the first frame that is in doubt; those before are right.
    """
    shown = np.sort(plan.pts)
    wanted = [int(shown[index]) for index in indices]
    reader = _PlannedReader(video, plan, set(wanted))
    for index, time in zip(indices, wanted, strict=True):
        reader.jump_before(time)
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
        self._fed = 0  # packets before the one that comes next, in the order of the file
        self._out: list[VideoFrame] = []
        self._flushed = False
        keys = np.flatnonzero(plan.is_key)
        order = np.argsort(plan.pts[keys])
        self._keys, self._key_times = keys[order], plan.pts[keys][order].tolist()

    def jump_before(self, time: int) -> None:
        """Goes on from the key frame before that time, if that saves enough."""
        if not self._plan.can_jump or any(frame.pts >= time for frame in self._out):
            return
        place = bisect.bisect_right(self._key_times, time) - 1
        if place < 0 or self._keys[place] - self._fed < JUMP_COST_FRAMES:
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
        """The next frame in display order, None where a packet brought none."""
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
