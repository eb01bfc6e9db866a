"""caddm_hf.media.frames: facts and frames of files of many kinds."""

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caddm_hf.media.frames import iterate_sampled_frames, probe_media, sample_indices
from caddm_hf.media.limits import MediaError
from support.made_media import is_upright, numbered_frame, numbered_frames, read_number, write_video
from support.media_checks import assert_numbered, sampled


@pytest.mark.parametrize(
    ("frame_count", "wanted", "indices"),
    [
        (100, 4, [0, 33, 66, 99]),
        (10, 3, [0, 4, 9]),
        (5, 8, [0, 1, 2, 3, 4]),
        (1, 32, [0]),
        (0, 32, []),
        (9, 1, [0]),
    ],
)
def test_sample_indices(frame_count, wanted, indices):
    assert sample_indices(frame_count, wanted).tolist() == indices


@pytest.mark.parametrize(("frame_count", "wanted"), [(-1, 4), (4, 0)])
def test_sample_indices_refuses_nonsense(frame_count, wanted):
    with pytest.raises(ValueError, match="cannot sample"):
        sample_indices(frame_count, wanted)


FORMATS = {
    "h264.mp4": {"audio": "aac"},
    "h264.mkv": {"audio": "aac"},
    "h264.avi": {},  # no display times: frames come out of order by their timestamps
    "h264.ts": {},
    "h264.flv": {},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "ten_bit.mp4": {"pixel_format": "yuv420p10le"},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "vp8.webm": {"codec": "libvpx", "audio": "libopus"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "prores.mov": {"codec": "prores_ks", "pixel_format": "yuva444p10le"},
    "rgb.mp4": {"codec": "libx264rgb", "pixel_format": "rgb24"},
    "animation.gif": {"codec": "gif", "pixel_format": "rgb8"},
    "animation.png": {"codec": "apng", "pixel_format": "rgb24", "container_format": "apng"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path, name):
    path = write_video(tmp_path / name, numbered_frames(23), **FORMATS[name])

    info = probe_media(path)
    assert (info.kind, info.width, info.height) == ("video", 96, 64)
    assert (info.frame_count, info.missing_frames, info.rotation_degrees) == (23, 0, 0)
    assert info.duration_s == pytest.approx(23 / 25, abs=0.02)
    assert info.has_audio == ("audio" in FORMATS[name])
    assert info.file_bytes == path.stat().st_size

    frames = list(iterate_sampled_frames(path, info, 5))
    assert_numbered(frames, [0, 5, 11, 16, 22])
    for frame in frames:
        assert frame.image_rgb.shape == (64, 96, 3)
        assert frame.image_rgb.dtype == np.uint8
        assert is_upright(frame.image_rgb)
        assert frame.time_s == pytest.approx(frame.index / 25, abs=0.011)


def test_every_frame_in_order(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(70))
    assert_numbered(sampled(path), list(range(70)))


def test_content_decides_and_not_the_name(tmp_path):
    video = write_video(tmp_path / "a.mp4", numbered_frames(3)).rename(tmp_path / "video.jpg")
    assert probe_media(video).codec == "h264"
    picture = tmp_path / "picture.mp4"
    Image.fromarray(numbered_frame(1)).save(picture, format="PNG")
    assert probe_media(picture).kind == "image"


def test_odd_size(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(3, (243, 321)), pixel_format="yuv444p")
    frames = sampled(path)
    assert_numbered(frames, [0, 1, 2])
    assert frames[0].image_rgb.shape == (243, 321, 3)


def test_one_frame_is_a_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(1))
    info = probe_media(path)
    assert (info.kind, info.frame_count) == ("video", 1)
    assert info.duration_s == pytest.approx(1 / 25)
    assert_numbered(sampled(path), [0])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_rate(tmp_path, suffix):
    times_s = [0, 0.1, 0.15, 0.9, 1.0, 2.5, 2.6, 2.7]
    path = write_video(tmp_path / f"a.{suffix}", numbered_frames(8), times_s=times_s)
    frames = sampled(path)
    assert_numbered(frames, list(range(8)))
    assert [frame.time_s for frame in frames] == pytest.approx(times_s, abs=0.002)


def test_times_count_from_the_first_frame(tmp_path):
    path = write_video(
        tmp_path / "a.mkv", numbered_frames(3), times_s=[7.0, 7.5, 8.0], options={"bf": "0"}
    )
    info = probe_media(path)
    assert info.start_s == pytest.approx(7.0, abs=0.01)
    assert info.duration_s < 2
    assert [frame.time_s for frame in sampled(path)] == pytest.approx([0, 0.5, 1], abs=0.002)


def test_edit_list_cuts_the_start(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(30), options={"bf": "0", "g": "100"})
    data = bytearray(path.read_bytes())
    # Edit list entry: duration, then the media time at which display starts (0.4 s).
    (media_scale,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)
    struct.pack_into(">I", data, data.index(b"elst") + 16, round(0.4 * media_scale))
    path.write_bytes(data)

    info = probe_media(path)
    assert (info.frame_count, info.missing_frames) == (20, 0)
    frames = sampled(path)
    assert [frame.index for frame in frames] == list(range(20))
    assert [read_number(frame.image_rgb) for frame in frames] == list(range(10, 30))
    assert frames[0].time_s == 0


@pytest.fixture
def opened_files(monkeypatch) -> list:
    files = []
    original = Path.open

    def recording_open(self, *args, **kwargs):
        files.append(original(self, *args, **kwargs))
        return files[-1]

    monkeypatch.setattr(Path, "open", recording_open)
    return files


@pytest.mark.parametrize("how", ["exhausted", "closed", "abandoned", "unused"])
def test_file_is_closed(tmp_path, opened_files, how):
    path = write_video(tmp_path / "a.mp4", numbered_frames(30))
    info = probe_media(path)
    frames = iterate_sampled_frames(path, info, 10)
    if how != "unused":
        next(frames)
        assert [file.closed for file in opened_files[-1:]] == [False]
    if how == "exhausted":
        list(frames)
    elif how == "closed":
        frames.close()
        with pytest.raises(StopIteration):
            next(frames)
    del frames
    assert len(opened_files) >= 2
    assert all(file.closed for file in opened_files)


def test_memory_does_not_grow_with_length(tmp_path):
    size_hw = (240, 320)
    path = write_video(tmp_path / "a.mp4", numbered_frames(60, size_hw))
    info = probe_media(path)
    tracemalloc.start()
    for frame in iterate_sampled_frames(path, info, 60):
        assert frame.image_rgb.nbytes == 240 * 320 * 3
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 240 * 320 * 3


def test_mutilated_files_give_frames_or_one_error(tmp_path, capfd):
    """Whatever the bytes, nothing but a MediaError comes out, and nothing on stderr."""
    generator = np.random.default_rng(0)
    for name in ("h264.mp4", "vp9.webm", "animation.gif", "mpeg4.avi", "h264.ts"):
        path = write_video(tmp_path / name, numbered_frames(12), **FORMATS[name])
        data = np.frombuffer(path.read_bytes(), np.uint8)
        capfd.readouterr()
        outcomes = set()
        for _ in range(12):
            mutilated = data[: generator.integers(len(data) // 4, len(data))].copy()
            places = generator.integers(0, len(mutilated), 12)
            mutilated[places] = generator.integers(0, 256, 12)
            path.write_bytes(mutilated.tobytes())
            try:
                outcomes.update(frame.image_rgb.dtype for frame in sampled(path, 4))
            except MediaError:
                outcomes.add("error")
        assert outcomes <= {np.dtype(np.uint8), "error"}
        assert capfd.readouterr().err == ""
