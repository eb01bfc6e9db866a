"""caddm_hf.core.liveness: who reads or downloads says so, and stops where it is told to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from caddm_hf.core.liveness import begin_step, checkpoint, heartbeat, set_watcher
from caddm_hf.media.download import local_media
from caddm_hf.media.frames import probe_media
from support.made_media import numbered_frames, write_video
from support.made_server import running_server


class Watcher:
    def __init__(self):
        self.signs: list[str] = []
        self.stop_after = 10**9

    def heartbeat(self) -> None:
        self.signs.append("alive")

    def checkpoint(self) -> None:
        self.signs.append("checkpoint")
        if self.signs.count("checkpoint") > self.stop_after:
            raise InterruptedError

    def begin_step(self, step: str) -> None:
        self.signs.append(step)


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = Watcher()
    set_watcher(watcher)
    yield watcher
    set_watcher(None)


def test_nobody_need_watch() -> None:
    heartbeat()
    checkpoint()
    begin_step("a step")


def test_what_is_told(watcher: Watcher) -> None:
    heartbeat()
    checkpoint()
    begin_step("a step")
    assert watcher.signs == ["alive", "checkpoint", "a step"]


def test_reading_gives_signs(watcher: Watcher, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", numbered_frames(30))
    assert probe_media(path).frame_count == 30
    assert watcher.signs.count("checkpoint") >= 30  # one a packet
    assert "alive" in watcher.signs


def test_reading_stops_where_it_is_told_to(watcher: Watcher, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", numbered_frames(30))
    watcher.stop_after = 5
    with pytest.raises(InterruptedError):
        probe_media(path)
    assert watcher.signs.count("checkpoint") == 6


def test_downloading_gives_signs_and_stops(watcher: Watcher, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running_server() as server:
        with local_media(server.url(), allow_private_addresses=True):
            assert "checkpoint" in watcher.signs
        watcher.stop_after = 0
        with (
            pytest.raises(InterruptedError),
            local_media(server.url(), allow_private_addresses=True),
        ):
            pytest.fail("was downloaded")
    assert list(tmp_path.iterdir()) == []
