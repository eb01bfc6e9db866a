"""FFmpeg, kept on a short lead: opening a video, its packets, its undamaged frames.

FFmpeg gets an open file and a list of formats, so a crafted playlist can neither read
another file nor reach the network. Its messages never reach stderr (PyAV silences them).
"""

import heapq
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .files import WatchedFile, open_media_file
from .limits import MediaError, MediaLimits, check_pixels
from .names import shown_name

# Demuxers that read nothing but the bytes they are given: no playlists (hls, dash, concat),
# no session descriptions, no scripts. The audio ones only serve to name a file's fault.
DEMUXERS = "mov,matroska,avi,flv,mpegts,mpeg,asf,ogg,mxf,gif,apng,mp3,wav,flac,aac"
CLOCK_RESTART_S = 1  # decoding times go back by more only where a clock starts anew
MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


@dataclass(frozen=True)
class OpenVideo:
    """An open video file.

    Attributes:
        file: what FFmpeg reads from.
        container: FFmpeg's view of the file.
        stream: its moving picture.
    """

    file: WatchedFile
    container: InputContainer
    stream: VideoStream

    @property
    def has_display_times(self) -> bool:
        """Whether timestamps can be trusted to order the frames.

        AVI stores the order of decoding only; what FFmpeg makes of it can be out of order.
        """
        return self.container.format.name != "avi"

    def packets(self) -> Iterator[av.Packet]:
        """The stream's packets in file order, on one clock; where the file breaks off they end.

        A clock that starts anew, as where recordings were joined, goes on from where it was.

        Raises:
            MediaError: the file cannot be read, or time ran out.
        """
        restart = CLOCK_RESTART_S / self.stream.time_base
        offset = 0
        last_end: int | None = None  # decoding time at the end of the packet before
        try:
            for packet in self.container.demux(self.stream):
                self.file.check()
                if not packet.size:  # it would tell the decoder that the stream has ended
                    continue
                if packet.dts is not None:
                    if last_end is not None and packet.dts + offset < last_end - restart:
                        offset = last_end - packet.dts
                    packet.dts += offset
                    last_end = packet.dts + (packet.duration or 0)
                if packet.pts is not None:
                    packet.pts += offset
                yield packet
        except (av.FFmpegError, OverflowError):  # damage, or times no clock can show
            pass
        self.file.check()


@contextmanager
def open_video(path: Path, limits: MediaLimits) -> Iterator[OpenVideo]:
    """Opens a file that must be a video, and checks its stated size.

    Raises:
        MediaError: it is none, or not one that can be read.
    """
    with open_media_file(path, limits.max_file_bytes) as file:
        looks_like_mp4 = file.read(8)[4:] in MP4_FIRST_BOXES
        file.seek(0)
        watched = WatchedFile(file, path, limits.decode_timeout_s)
        decoder_options = {"max_pixels": str(limits.max_frame_pixels)}
        try:
            container = av.open(
                watched,
                mode="r",
                options=decoder_options,
                container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "none"},
                metadata_errors="replace",
                buffer_size=2**18,
            )
        except av.FFmpegError:
            watched.check()
            if looks_like_mp4:
                raise MediaError(
                    f"{shown_name(path)} is an incomplete or damaged MP4 or MOV file (its index "
                    "cannot be read): copy or record it again."
                ) from None
            raise MediaError(
                f"{shown_name(path)} is not a video or picture in a format that is read here: "
                "save a video as MP4, MOV, MKV, WebM or AVI, a picture as JPEG or PNG."
            ) from None
        with container:
            stream = _moving_picture(container, path)
            for other in container.streams:
                if other.index != stream.index:
                    other.discard = Discard.all
            stream.codec_context.options = decoder_options
            check_pixels(
                path, stream.width, stream.height, limits.max_side_px, limits.max_frame_pixels
            )
            yield OpenVideo(watched, container, stream)


def _moving_picture(container: InputContainer, path: Path) -> VideoStream:
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        holds = "sound but no moving picture" if container.streams.audio else "no moving picture"
        raise MediaError(f"{shown_name(path)} holds {holds}: choose a video.")
    if moving[0].codec_context is None:
        raise MediaError(
            f"{shown_name(path)} is coded in a way that is not read here: save it as H.264."
        )
    return moving[0]


def is_shown(packet: av.Packet) -> bool:
    """Whether a packet stands for a frame; if not, others are only predicted from it."""
    if packet.is_discard:  # before the start of an edit list
        return False
    # VP8 says so in bit 4 of the first byte (RFC 6386, section 9.1).
    is_vp8 = packet.stream.codec_context.codec.canonical_name == "vp8"
    return not is_vp8 or bool(memoryview(packet)[0] & 0x10)


def decode_packet(stream: VideoStream, packet: av.Packet | None) -> list[VideoFrame] | None:
    """The frames a packet brings out (None flushes); None where it cannot be decoded."""
    try:
        return stream.decode(packet)
    except av.FFmpegError:
        return None


@dataclass
class DecodingTally:
    """What happened while frames were decoded.

    Attributes:
        unreadable_frames: frames that were damaged or depend on a damaged one.
        stopped: set from outside: no more packets are wanted.
    """

    unreadable_frames: int = 0
    stopped: bool = False


def readable_frames(
    video: OpenVideo, frame_count: int, tally: DecodingTally
) -> Iterator[tuple[int, VideoFrame]]:
    """Decodes a video from its start and leaves damaged frames out.

    An error makes everything up to the next key frame unreadable, because those frames are
    predicted from the damaged one. Damage that the decoder does not notice passes.

    Args:
        video: just opened.
        frame_count: frames to decode, as found by probing.
        tally: kept up to date.

    Yields:
        Index and frame, in display order. The index counts packets by display time, so it
        stays right after frames were lost.
    """
    timed = video.has_display_times
    pending: list[int] = []  # display times of packets whose frame has not come out yet
    index = -1
    last_pts = -math.inf
    fields = 0  # packets that brought no frame and yet were not damaged
    damaged_at: float | None = None  # display time of damage that no key frame has ended yet

    def packets_then_flush() -> Iterator[av.Packet | None]:
        packets, shown = video.packets(), 0
        while shown < frame_count and (packet := next(packets, None)) is not None:
            shown += is_shown(packet)
            yield packet
        yield None

    for packet in packets_then_flush():
        if tally.stopped:
            return
        pts = None if packet is None else packet.pts
        if timed and pts is not None and is_shown(packet):
            heapq.heappush(pending, pts)
        frames = decode_packet(video.stream, packet)
        if frames is None:
            damaged_at = -math.inf if pts is None else float(pts)
            if not timed:  # otherwise the next frame shows what was lost
                index += 1
                tally.unreadable_frames += 1
        for frame in frames or []:
            lost = 0
            if timed and frame.pts is not None:
                if frame.pts < last_pts:  # out of its turn after damage, so counted as lost
                    continue
                last_pts = frame.pts
                while pending and pending[0] < frame.pts:
                    heapq.heappop(pending)
                    lost += 1
                if pending and pending[0] == frame.pts:
                    heapq.heappop(pending)
            # Before the first frame, packets bring none if they are predicted from what is not
            # in the file; later without damage, if they are field pictures and the like.
            if damaged_at is not None or index < 0:
                tally.unreadable_frames += lost
            else:
                fields += lost
            index += 1 + lost
            if frame.is_corrupt:
                damaged_at = -math.inf if frame.pts is None else float(frame.pts)
            elif damaged_at is not None and frame.key_frame:
                # A key frame from before the damage may come out after it.
                ended = frame.pts is None or frame.pts > damaged_at
                damaged_at = None if ended else damaged_at
            if damaged_at is None:
                yield index, frame
            else:
                tally.unreadable_frames += 1
    # An error on the last packets is not always reported, and can cost the frames after it.
    if damaged_at is not None or (timed and not fields):
        tally.unreadable_frames += len(pending) if timed else max(0, frame_count - index - 1)
