"""caddm_hf.media.files and the limits: what is refused, and how it is said."""

import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from caddm_hf.media import files as media_files
from caddm_hf.media.files import WatchedFile
from caddm_hf.media.frames import iterate_sampled_frames, probe_media
from caddm_hf.media.limits import MediaError, MediaLimits, check_pixels
from caddm_hf.media.names import public_name, shown_address
from support.made_media import (
    INDEX_FIRST,
    claim_mkv_duration,
    claim_mp4_duration,
    claim_mp4_frame_length,
    numbered_frame,
    numbered_frames,
    write_audio,
    write_video,
)
from support.media_checks import error_of, sampled


def test_file_that_does_not_exist(tmp_path):
    assert "does not exist" in error_of(tmp_path / "a.mp4")


def test_folder(tmp_path):
    assert "is a folder" in error_of(tmp_path)


def test_pipe(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "a.mp4")
    assert "not an ordinary file" in error_of(tmp_path / "a.mp4")


def test_forbidden_file(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", numbered_frames(2))
    path.chmod(0)
    if os.access(path, os.R_OK):  # an administrator may read anything

        def refuse(self, *args, **kwargs):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", refuse)
    message = error_of(path)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert "permissions forbid it" in message


def test_name_that_is_none():
    with pytest.raises(MediaError, match="not a valid one"):
        probe_media("a\0b.mp4")


def test_name_is_shown_on_one_line_and_short(tmp_path):
    with pytest.raises(MediaError) as caught:
        probe_media(tmp_path / ("a\n\x1b[31m" + "x" * 200 + ".mp4"))
    assert "a??[31mxxx" in str(caught.value)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("clips/a.mp4", "clips/a.mp4"),
        (Path("a?token=1.mp4"), "a?token=1.mp4"),
        ("https://host:8000/a.mp4?token=hush#hush", "https://host:8000/a.mp4"),
        ("https://anna:hush@host/a.mp4", "https://host/a.mp4"),
        ("https://anna:hush@[::1]:80/a.mp4", "https://[::1]:80/a.mp4"),
        ("https://anna:hush@host:x/a.mp4", "https://(an address that is not valid)"),
    ],
)
def test_no_secret_is_in_a_name(source, name):
    assert public_name(source) == name


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://anna:hush@host/secret/a.mp4?token=hush", "'host/.../a.mp4'"),
        ("https://host/?token=hush", "'host'"),
        ("https://[::1/a.mp4?token=hush", "This address"),
    ],
)
def test_no_secret_is_in_a_message(address, shown):
    assert shown_address(address) == shown


def test_disk_that_cannot_be_read_from_the_start(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", numbered_frames(2))

    class BrokenFile(io.FileIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", lambda self, *args, **kwargs: BrokenFile(str(self)))
    assert "cannot be read: Input/output error" in error_of(path)


def test_empty_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert "is empty" in error_of(tmp_path / "a.mp4")


SUBTITLES = b"1\n00:00:00,000 --> 00:00:01,000\nHello\n\n"  # FFmpeg could read these


@pytest.mark.parametrize(
    "content", [b"Dear diary,\n" * 50, b"\x00" * 5000, b"%PDF-1.7\n" * 99, SUBTITLES]
)
def test_something_else_named_mp4(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert "not a video or picture in a format that is read here" in error_of(path)


def test_mp4_without_its_index(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "incomplete or damaged MP4" in error_of(path)


@pytest.mark.parametrize(
    ("name", "codec", "cover"),
    [
        ("a.m4a", "aac", None),
        ("a.mp4", "aac", numbered_frame(3)),
        ("a.mp3", "libmp3lame", numbered_frame(3)),
        ("a.mkv", "libopus", None),
    ],
)
def test_audio_only(tmp_path, name, codec, cover):
    path = write_audio(tmp_path / name, codec=codec, cover_rgb=cover)
    assert "holds sound but no moving picture" in error_of(path)


def test_file_that_is_too_large(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(9))
    message = error_of(path, MediaLimits(max_file_bytes=1000))
    assert "is too large" in message
    assert "0.001 MB" in message


def test_video_with_too_many_pixels(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(2, (64, 400)))
    assert "400 x 64 pixels" in error_of(path, MediaLimits(max_side_px=399))
    assert "400 x 64 pixels" in error_of(path, MediaLimits(max_frame_pixels=25_599))
    assert len(sampled(path, limits=MediaLimits(max_side_px=400))) == 2


def test_video_of_absurd_dimensions(tmp_path):
    path = write_video(
        tmp_path / "a.avi",
        [np.zeros((16, 16_000, 3), np.uint8)],
        codec="ffv1",
        pixel_format="yuv420p",
    )
    assert "16000 x 16 pixels" in error_of(path)


def test_false_mp4_header_is_corrected_within_the_limit_and_refused_beyond(tmp_path):
    """FFmpeg goes by the sample table, so a false claim alone would have no effect."""
    path = write_video(tmp_path / "a.mp4", numbered_frames(10))
    claim_mp4_duration(path, 3600)
    assert probe_media(path).duration_s == pytest.approx(0.4)
    claim_mp4_duration(path, 4 * 3600)
    assert "claims to last 240.0 minutes" in error_of(path)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_claim_of_four_hours_is_refused_before_decoding(tmp_path, container, monkeypatch):
    path = write_video(tmp_path / f"a.{container}", numbered_frames(10))
    if container == "mkv":
        claim_mkv_duration(path, 4 * 3600)
    else:
        claim_mp4_frame_length(path, 4 * 3600 / 10)
        claim_mp4_duration(path, 4 * 3600)
    monkeypatch.setattr("caddm_hf.media.frames.decode_packet", lambda *_: pytest.fail("decoded"))
    message = error_of(path)
    assert "claims to last 240.0 minutes" in message
    assert "the limit is 120.0" in message


def test_timestamps_beyond_the_limit_are_refused(tmp_path):
    """A live recording has no duration in its header, only timestamps."""
    path = write_video(
        tmp_path / "a.mkv",
        numbered_frames(3),
        times_s=[0, 5, 50],
        options={"bf": "0"},
        container_options={"live": "1"},
    )
    assert probe_media(path).duration_s == pytest.approx(50, abs=1)
    assert "claims to last" in error_of(path, MediaLimits(max_duration_s=40))


class HeldClock:
    """Stands still unless a test moves it."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_time_runs_out(tmp_path, monkeypatch):
    clock = HeldClock()
    monkeypatch.setattr(media_files, "time", clock)
    path = write_video(tmp_path / "a.mp4", numbered_frames(9), options={"g": "1"})
    info = probe_media(path)
    monkeypatch.setattr(
        "caddm_hf.media.seeking.decode_packet",
        lambda stream, packet: setattr(clock, "now", clock.now + 1) or stream.decode(packet),
    )
    limits = MediaLimits(decode_timeout_s=4)
    with pytest.raises(MediaError, match="takes more than 4 s to read"):
        list(iterate_sampled_frames(path, info, 9, limits))
    with pytest.raises(MediaError, match="takes more than -1 s to read"):
        probe_media(path, MediaLimits(decode_timeout_s=-1))


def test_a_decoder_gets_no_more_when_time_has_run_out(monkeypatch):
    clock = HeldClock()
    monkeypatch.setattr(media_files, "time", clock)
    file = WatchedFile(io.BytesIO(b"x" * 100), Path("a.mp4"), 4)
    assert file.read(10) == b"x" * 10
    clock.now = 5
    assert file.read(10) == b""
    with pytest.raises(MediaError, match="takes more than 4 s to read"):
        file.check()


@pytest.mark.parametrize("offset", [-1, 2**70])
def test_a_decoder_that_seeks_nowhere(tmp_path, offset):
    (tmp_path / "a.mp4").write_bytes(b"x" * 100)
    with (tmp_path / "a.mp4").open("rb", buffering=0) as raw:
        assert WatchedFile(raw, Path("a.mp4"), 4).seek(offset) == -1


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_no_size(size):
    with pytest.raises(MediaError, match="has no picture size"):
        check_pixels(Path("a.png"), *size, 100, 100)


def test_time_between_frames_does_not_count(tmp_path, monkeypatch):
    clock = HeldClock()
    monkeypatch.setattr(media_files, "time", clock)
    path = write_video(tmp_path / "a.mp4", numbered_frames(9))
    limits = MediaLimits(decode_timeout_s=4)
    seen = []
    for frame in iterate_sampled_frames(path, probe_media(path), 9, limits):
        clock.now += 10
        seen.append(frame.index)
    assert seen == list(range(9))


def test_unreadable_disk(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", numbered_frames(9), container_options=INDEX_FIRST)
    info = probe_media(path)
    frames = iterate_sampled_frames(path, info, 9)

    class BrokenFile:
        def __init__(self, file):
            self._file, self.seek, self.tell = file, file.seek, file.tell

        def read(self, size):
            if self._file.tell() >= info.file_bytes // 2:
                raise OSError(5, "Input/output error")
            return self._file.read(min(size, 500))

    original = media_files.WatchedFile.__init__
    monkeypatch.setattr(
        media_files.WatchedFile,
        "__init__",
        lambda self, file, *rest: original(self, BrokenFile(file), *rest),
    )
    with pytest.raises(MediaError, match="cannot be read to its end: Input/output error"):
        list(frames)
