"""caddm_hf.media.seeking: frames read by a plan are those of reading from the start."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caddm_hf.media import frames as video_frames
from caddm_hf.media import seeking
from caddm_hf.media.frames import iterate_frames, iterate_sampled_frames, probe_media
from caddm_hf.media.seeking import plan_packets
from support.made_media import numbered_frames, write_video
from support.media_checks import assert_numbered

# Key frames every 10 frames, so that there is something to jump to and something to skip.
H264 = {"g": "10", "bf": "3", "threads": "1"}
FORMATS = {
    "b_frames.mp4": {"options": H264},
    "b_frames.mkv": {"options": H264},
    "b_frames.ts": {"options": H264},  # no index: nothing is jumped over
    "open_gop.mp4": {"options": H264 | {"x264-params": "open-gop=1"}},
    "open_gop.mkv": {"options": H264 | {"x264-params": "open-gop=1"}},
    "refresh.mp4": {"options": H264 | {"x264-params": "intra-refresh=1"}},
    "fragments.mp4": {
        "options": H264,
        "container_options": {"movflags": "frag_keyframe+empty_moov"},
    },
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=10"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=10"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "10"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2", "g": "10"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "10"}},
    "mjpeg.mkv": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
}


@pytest.fixture
def easy_seeks(monkeypatch):
    monkeypatch.setattr(seeking, "SEEK_COST_FRAMES", 1)


def assert_same_frames(path: Path, indices: list[int]) -> None:
    info = probe_media(path)
    assert info.plan is not None
    planned = list(iterate_frames(path, info, indices))
    plain = list(iterate_frames(path, replace(info, plan=None), indices))
    assert [frame.index for frame in planned] == [frame.index for frame in plain]
    assert [frame.time_s for frame in planned] == [frame.time_s for frame in plain]
    for a, b in zip(planned, plain, strict=True):
        np.testing.assert_array_equal(a.image_rgb, b.image_rgb)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("step", [1, 7, 26])
def test_planned_frames_are_those_of_reading_from_the_start(tmp_path, easy_seeks, name, step):
    path = write_video(tmp_path / name, numbered_frames(90), **FORMATS[name])
    assert_same_frames(path, list(range(0, 90, step)))
    assert_same_frames(path, [3, 4, 41, 88, 89])


def test_variable_frame_rate(tmp_path, easy_seeks):
    times_s = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.3, 60)).tolist()
    path = write_video(tmp_path / "a.mp4", numbered_frames(60), times_s=times_s, options=H264)
    assert_same_frames(path, list(range(0, 60, 9)))


@pytest.fixture
def decoded(monkeypatch) -> list:
    """Grows by one with each packet that is decoded by a plan."""
    packets = []
    original = seeking.decode_packet

    def counting(stream, packet):
        packets.append(packet is not None)
        return original(stream, packet)

    monkeypatch.setattr(seeking, "decode_packet", counting)
    return packets


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_is_far_from_any_wanted_frame_is_not_decoded(tmp_path, decoded, suffix):
    path = write_video(tmp_path / f"a.{suffix}", numbered_frames(600), options=H264)
    frames = list(iterate_sampled_frames(path, probe_media(path), 4))
    assert_numbered(frames, [0, 199, 399, 599])
    assert sum(decoded) < 150


def test_no_seek_where_it_would_cost_more_than_it_saves(tmp_path, decoded):
    path = write_video(tmp_path / "a.mp4", numbered_frames(100), options=H264)
    list(iterate_sampled_frames(path, probe_media(path), 10))
    assert sum(decoded) == 100


def test_damage_sends_the_reader_back_to_the_start(tmp_path, monkeypatch):
    """What it then gives is what it gives without a plan."""
    path = write_video(tmp_path / "a.mp4", numbered_frames(60), options=H264)
    info = probe_media(path)
    data = bytearray(path.read_bytes())
    # Pictures only: how large they came out, and so where the index lies, is the encoder's affair.
    kind = data.index(b"mdat")
    size = int.from_bytes(data[kind - 4 : kind])
    for place in np.random.default_rng(1).integers(kind + size // 4, kind + size * 3 // 4, 200):
        data[place] ^= 255
    path.write_bytes(data)
    restarts = []
    original = video_frames.readable_frames
    monkeypatch.setattr(
        video_frames, "readable_frames", lambda *given: restarts.append(1) or original(*given)
    )
    planned = iterate_frames(path, info, list(range(0, 60, 6)))
    found = [frame.index for frame in planned]
    assert restarts == [1]
    plain = iterate_frames(path, replace(info, plan=None), list(range(0, 60, 6)))
    assert found == [frame.index for frame in plain]
    assert planned.unreadable_frames == plain.unreadable_frames > 0


def test_a_file_that_has_changed_since_it_was_probed(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(60), options=H264)
    info = probe_media(path)
    write_video(path, numbered_frames(60), options=H264, fps=50)
    assert_numbered(list(iterate_frames(path, info, [0, 30, 59])), [0, 30, 59])


@pytest.mark.parametrize(
    ("pts", "is_key"),
    [([], []), ([0, 1], [False, True]), ([0, None], [True, True]), ([0, 1, 1], [True] * 3)],
)
def test_files_that_cannot_be_planned(pts, is_key):
    assert plan_packets(pts, is_key, "mov,mp4") is None
