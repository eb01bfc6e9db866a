"""caddm_hf.media.stream: damaged, joined and treacherous files."""

import threading
from pathlib import Path

import av
import numpy as np
import pytest

from caddm_hf.media.frames import iterate_sampled_frames, probe_media, sample_indices
from caddm_hf.media.limits import MediaError, MediaLimits
from support.made_media import INDEX_FIRST, numbered_frames, read_number, write_video
from support.made_server import Server
from support.media_checks import assert_numbered, error_of, sampled


def test_hidden_vp8_pictures_are_not_counted(tmp_path):
    """A VP8 stream whose frames 3 and 7 say that they are only there for reference."""
    path = tmp_path / "a.webm"
    source = write_video(
        tmp_path / "b.webm", numbered_frames(10), codec="libvpx", options={"g": "1"}
    )
    with av.open(str(source)) as read, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for number, packet in enumerate(p for p in read.demux(video=0) if p.size):
            data = bytearray(bytes(packet))
            if number in (3, 7):
                data[0] &= ~0x10
            copy = av.Packet(bytes(data))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.stream, copy.is_keyframe = stream, packet.is_keyframe
            written.mux(copy)
    assert probe_media(path).frame_count == 8
    frames = sampled(path)
    assert [frame.index for frame in frames] == list(range(8))
    assert [read_number(frame.image_rgb) for frame in frames] == [0, 1, 2, 4, 5, 6, 8, 9]


def joined(path: Path, sizes_hw: list[tuple[int, int]]) -> Path:
    """MPEG-TS files of 20 frames at 10 per second, one after the other in one file."""
    data = b""
    for size_hw in sizes_hw:
        part = write_video(path, numbered_frames(20, size_hw), fps=10, codec="mpeg2video")
        data += part.read_bytes()
    path.write_bytes(data)
    return path


def test_size_that_changes_on_the_way(tmp_path):
    frames = sampled(joined(tmp_path / "a.ts", [(64, 96), (96, 144)]))
    numbers = [read_number(frame.image_rgb) for frame in frames]
    # FFmpeg may drop the frame it holds back at the change.
    assert numbers[:19] + numbers[-20:] == [*range(19), *range(20)]
    assert {frame.image_rgb.shape for frame in frames} == {(64, 96, 3)}


def test_clock_that_starts_anew(tmp_path):
    path = joined(tmp_path / "a.ts", [(64, 96), (64, 96), (64, 96)])
    info = probe_media(path)
    assert info.frame_count == 60
    assert info.duration_s == pytest.approx(6, abs=0.3)
    frames = sampled(path)
    assert [frame.index for frame in frames] == list(range(60))
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx([0.1] * 59, abs=0.11)


def test_size_that_grows_on_the_way_is_not_decoded(tmp_path):
    path = joined(tmp_path / "a.ts", [(64, 96), (480, 640)])
    frames = sampled(path, limits=MediaLimits(max_frame_pixels=100_000))
    assert len(frames) in (19, 20)  # FFmpeg may drop the frame it holds back at the change
    assert_numbered(frames, list(range(len(frames))))


def test_cut_off_file_is_read_as_far_as_it_goes(tmp_path):
    path = write_video(
        tmp_path / "a.mp4",
        numbered_frames(60),
        options={"g": "10"},
        container_options=INDEX_FIRST,
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    info = probe_media(path)
    assert 10 < info.frame_count < 50
    assert info.missing_frames == 60 - info.frame_count
    frames = list(iterate_sampled_frames(path, info, 8))
    assert_numbered(frames, sample_indices(info.frame_count, 8).tolist())


def damage_packet(path: Path, number: int, kept: float = 0) -> None:
    """Overwrites the packet of one frame, in decoding order, but for a share of its start."""
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][number]
    data = bytearray(path.read_bytes())
    start = packet.pos + round(packet.size * kept)
    data[start : packet.pos + packet.size] = bytes(packet.pos + packet.size - start)
    path.write_bytes(data)


@pytest.mark.parametrize("number", [11, 14, 34])
@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_damage_spoils_frames_up_to_the_next_key_frame(tmp_path, suffix, number):
    path = write_video(
        tmp_path / f"a.{suffix}", numbered_frames(40), options={"g": "10", "bf": "0"}
    )
    damage_packet(path, number)
    frames = iterate_sampled_frames(path, probe_media(path), 1000)
    read = list(frames)
    lost = set(range(40)) - {frame.index for frame in read}
    key_frame = number // 10 * 10
    # Where the decoder works on several slices at once, an error may cost frames before it, too.
    assert set(range(number, key_frame + 10)) <= lost <= set(range(key_frame - 10, key_frame + 10))
    assert frames.unreadable_frames == len(lost)
    assert [read_number(frame.image_rgb) for frame in read] == [frame.index for frame in read]


@pytest.mark.parametrize("number", [*range(1, 40, 3), 39])
def test_damage_among_frames_out_of_order(tmp_path, number):
    """With frames that are predicted both ways, none is lost count of or takes another's place."""
    path = write_video(tmp_path / "a.mp4", numbered_frames(40), options={"g": "10", "bf": "3"})
    damage_packet(path, number)
    frames = iterate_sampled_frames(path, probe_media(path), 1000)
    read = list(frames)
    assert len(read) < 40
    assert len(read) + frames.unreadable_frames == 40
    assert [read_number(frame.image_rgb) for frame in read] == [frame.index for frame in read]


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("avi", "mpeg4")])
def test_damage_that_the_decoder_covers_up(tmp_path, suffix, codec):
    """Where part of a frame cannot be decoded, FFmpeg may fill it in with another's."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 128, 128, 3), np.uint8)
    path = write_video(
        tmp_path / f"a.{suffix}",
        noise,
        codec=codec,
        options={"g": "10", "bf": "0", "sc_threshold": "0"},
    )
    clean = [frame.image_rgb for frame in sampled(path)]
    damage_packet(path, 13, kept=0.5)
    frames = iterate_sampled_frames(path, probe_media(path), 1000)
    read = list(frames)
    assert all(np.array_equal(frame.image_rgb, clean[frame.index]) for frame in read)
    assert frames.unreadable_frames == 20 - len(read) >= 1


def test_a_lost_frame_is_replaced_by_the_next_readable_one(tmp_path):
    path = write_video(
        tmp_path / "a.avi", numbered_frames(11), codec="mjpeg", pixel_format="yuvj420p"
    )
    damage_packet(path, 5)
    assert_numbered(list(iterate_sampled_frames(path, probe_media(path), 3)), [0, 6, 10])


def test_file_without_its_beginning(tmp_path):
    whole = write_video(tmp_path / "a.ts", numbered_frames(40), options={"g": "20", "bf": "0"})
    data = whole.read_bytes()
    path = tmp_path / "b.ts"
    path.write_bytes(data[len(data) // 4 // 188 * 188 :])
    info = probe_media(path)
    frames = iterate_sampled_frames(path, info, 1000)
    read = list(frames)
    assert len(read) == 20
    assert [read_number(frame.image_rgb) for frame in read] == list(range(20, 40))
    assert frames.unreadable_frames == info.frame_count - 20 > 0


def test_nothing_can_be_decoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(9), container_options=INDEX_FIRST)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    assert "none of its frames can be decoded" in error_of(path)


def test_all_frames_lost_after_probing(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(9), container_options=INDEX_FIRST)
    info = probe_media(path)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises(MediaError, match="none of its frames can be decoded"):
        list(iterate_sampled_frames(path, info, 4))


@pytest.fixture
def secret(tmp_path) -> Path:
    (tmp_path / "private").mkdir()
    return write_video(tmp_path / "private" / "secret.ts", numbered_frames(5))


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.txt"])
@pytest.mark.parametrize("kind", ["playlist", "concat"])
def test_references_to_other_files_are_not_followed(tmp_path, secret, kind, name):
    text = PLAYLIST if kind == "playlist" else "ffconcat version 1.0\nfile {target}\n"
    path = tmp_path / name
    path.write_text(text.format(target="private/secret.ts"))
    # Opened carelessly, it does show the other file.
    options = {"allowed_extensions": "ALL", "extension_picky": "0"} if kind == "playlist" else {}
    format_name = "hls" if kind == "playlist" else "concat"
    with av.open(str(path), format=format_name, options=options) as container:
        assert read_number(next(container.decode(video=0)).to_ndarray(format="rgb24")) == 0
    assert "not a video or picture in a format that is read here" in error_of(path)


def test_references_to_the_network_are_not_followed(tmp_path):
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    path = tmp_path / "a.mp4"
    path.write_text(PLAYLIST.format(target=server.url("/b.ts")))
    with pytest.raises(av.FFmpegError):  # opened carelessly, it asks the server
        av.open(str(path), format="hls", options={"protocol_whitelist": "file,http,tcp"})
    asked = len(server.requests)
    error_of(path)
    server.shutdown()
    server.server_close()
    assert asked > 0
    assert len(server.requests) == asked
