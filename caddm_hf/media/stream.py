"""Opens videos with FFmpeg, and reads their packets and undamaged frames.

FFmpeg gets an open file and a list of formats, so a crafted playlist can neither read another file
nor reach the network. Its log messages never reach stderr (PyAV silences them).
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

# Demuxers that read only the bytes of the file: no playlists (hls, dash, concat), no session
# descriptions, no scripts. The audio formats are listed for a better error message.
DEMUXERS = "mov,matroska,avi,flv,mpegts,mpeg,asf,ogg,mxf,gif,apng,mp3,wav,flac,aac"
CLOCK_RESTART_S = 1  # decoding times that go back by more mean that a clock has restarted
MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


@dataclass(frozen=True)
class OpenVideo:
    """An open video file.

    Attributes:
        file: the file that FFmpeg reads.
        container: FFmpeg's view of the file.
        stream: the video stream.
    """

    file: WatchedFile
    container: InputContainer
    stream: VideoStream

    @property
    def has_display_times(self) -> bool:
        """Whether the timestamps order the frames correctly.

        AVI stores the order of decoding only, and the timestamps that FFmpeg derives from that
        can be out of order.
        """
        return self.container.format.name != "avi"

    def packets(self) -> Iterator[av.Packet]:
        """Yield the stream's packets in file order, up to the first damage of the container.

        If the clock restarts, as in joined recordings, later times are shifted to continue it.

        Raises:
            MediaError: the file cannot be read, or the deadline has passed.
        """
        restart = CLOCK_RESTART_S / self.stream.time_base
        offset = 0
        last_end: int | None = None  # decoding time at the end of the previous packet
        try:
            for packet in self.container.demux(self.stream):
                self.file.check()
                if not packet.size:  # the decoder would take it for the end of the stream
                    continue
                if packet.dts is not None:
                    if last_end is not None and packet.dts + offset < last_end - restart:
                        offset = last_end - packet.dts
                    packet.dts += offset
                    last_end = packet.dts + (packet.duration or 0)
                if packet.pts is not None:
                    packet.pts += offset
                yield packet
        except (av.FFmpegError, OverflowError):  # damage, or times beyond 64 bits
            pass
        self.file.check()


@contextmanager
def open_video(path: Path, limits: MediaLimits) -> Iterator[OpenVideo]:
    """Open a video, and check the size that it states.

    Raises:
        MediaError: the file is not a video that can be read.
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
            stream = _video_stream(container, path)
            for other in container.streams:
                if other.index != stream.index:
                    other.discard = Discard.all
            stream.codec_context.options = decoder_options
            check_pixels(
                path, stream.width, stream.height, limits.max_side_px, limits.max_frame_pixels
            )
            yield OpenVideo(watched, container, stream)


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
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
    """Whether a packet holds a frame that is shown, not only one to predict others from."""
    if packet.is_discard:  # before the start of an edit list
        return False
    # In VP8, bit 4 of the first byte is the show_frame flag (RFC 6386, section 9.1).
    is_vp8 = packet.stream.codec_context.codec.canonical_name == "vp8"
    return not is_vp8 or bool(memoryview(packet)[0] & 0x10)


def decode_packet(stream: VideoStream, packet: av.Packet | None) -> list[VideoFrame] | None:
    """Decode a packet (None flushes the decoder); returns None if it cannot be decoded."""
    try:
        return stream.decode(packet)
    except av.FFmpegError:
        return None


@dataclass
class DecodingTally:
    """Counts kept while frames are decoded.

    Attributes:
        unreadable_frames: frames that are damaged or depend on a damaged one.
        stopped: set by the caller to end decoding.
    """

    unreadable_frames: int = 0
    stopped: bool = False


def readable_frames(
    video: OpenVideo, frame_count: int, tally: DecodingTally
) -> Iterator[tuple[int, VideoFrame]]:
    """Decode a video from its start, skipping damaged frames.

    All frames from an error to the next key frame count as unreadable, because they are predicted
    from the damaged one. Damage that the decoder does not report is not noticed.

    Args:
        video: just opened.
        frame_count: frames to decode, as found by probing.
        tally: updated while decoding.

    Yields:
        index and frame, in display order. The index counts packets by display time, so it stays
        correct after frames were lost.
    """
    timed = video.has_display_times
    pending: list[int] = []  # display times of packets whose frame was not returned yet
    index = -1
    last_pts = -math.inf
    fields = 0  # undamaged packets without a frame of their own
    damaged_at: float | None = None  # display time of the last damage; None after a key frame

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
            if not timed:  # otherwise the next frame's time shows how many were lost
                index += 1
                tally.unreadable_frames += 1
        for frame in frames or []:
            lost = 0
            if timed and frame.pts is not None:
                if frame.pts < last_pts:  # out of order after damage, and counted as lost
                    continue
                last_pts = frame.pts
                while pending and pending[0] < frame.pts:
                    heapq.heappop(pending)
                    lost += 1
                if pending and pending[0] == frame.pts:
                    heapq.heappop(pending)
            # Packets before the first frame yield none if they are predicted from frames that
            # are not in the file. Later undamaged packets without a frame are fields.
            if damaged_at is not None or index < 0:
                tally.unreadable_frames += lost
            else:
                fields += lost
            index += 1 + lost
            if frame.is_corrupt:
                damaged_at = -math.inf if frame.pts is None else float(frame.pts)
            elif damaged_at is not None and frame.key_frame:
                # A key frame from before the damage may be returned after it.
                ended = frame.pts is None or frame.pts > damaged_at
                damaged_at = None if ended else damaged_at
            if damaged_at is None:
                yield index, frame
            else:
                tally.unreadable_frames += 1
    # An error in the last packets is not always reported, and may lose the frames after it.
    if damaged_at is not None or (timed and not fields):
        tally.unreadable_frames += len(pending) if timed else max(0, frame_count - index - 1)
