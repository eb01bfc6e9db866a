"""Many videos through one process: memory, handles and temporary files come back."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_scores import tiny_model

from caddm_hf.detection_config import DetectionConfig
from caddm_hf.heap_settings import return_freed_memory
from caddm_hf.media_files import MediaError
from caddm_hf.video_detection import VideoDetector

ALLOWED_GROWTH = 0.05


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def handles() -> set[str]:
    """What is open: files, pipes and sockets, by number and target."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except OSError:  # the one that lists the folder
            continue
    return found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """An empty folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("videos", "settled"),
    [
        (12, 6),
        pytest.param(500, 50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_many_videos_in_one_process(
    face_clip: Path,
    empty_clip: Path,
    face_picture: Path,
    tmp_path: Path,
    temporary: Path,
    videos: int,
    settled: int,
):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(face_clip.read_bytes()[:5000])
    files = [face_clip, empty_clip, face_picture, broken]
    return_freed_memory()  # as in every worker
    detector = VideoDetector(tiny_model(), DetectionConfig(frames=4), "cpu")
    judged = refused = 0
    for number in range(videos):
        if number == settled:
            before, open_before = resident_bytes(), handles()
        try:
            detector(files[number % len(files)])
            judged += 1
        except MediaError:
            refused += 1
    after = resident_bytes()
    growth = after / before - 1
    print(f"{videos} videos: {before / 2**20:.1f} MiB after {settled}, {growth:+.2%} at the end")
    assert (judged, refused) == (videos * 3 // 4, videos // 4)
    assert growth < ALLOWED_GROWTH
    assert len(handles()) <= len(open_before)
    assert list(temporary.iterdir()) == []
