"""Many videos through one process: memory, handles and temporary files come back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED_GROWTH = 0.05
TESTS = Path(__file__).parents[1]
SOAK = TESTS / "support" / "soak_videos.py"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("videos", "settled"),
    [
        (24, 8),
        pytest.param(500, 50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_many_videos_in_one_process(
    face_clip: Path,
    empty_clip: Path,
    face_picture: Path,
    tmp_path: Path,
    videos: int,
    settled: int,
):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(face_clip.read_bytes()[:5000])
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    files = [str(path) for path in (face_clip, empty_clip, face_picture, broken)]
    result = subprocess.run(
        [
            sys.executable,
            str(SOAK),
            str(videos),
            str(settled),
            *files,
        ],
        env=os.environ
        | {"TMPDIR": str(temporary), "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(result.stdout)
    growth = found["bytes_after"] / found["bytes_settled"] - 1
    print(
        f"{videos} videos: {found['bytes_settled'] / 2**20:.1f} MiB after {settled}, "
        f"{growth:+.2%} at the end"
    )
    assert (found["judged"], found["refused"]) == (videos * 3 // 4, videos // 4)
    assert growth < ALLOWED_GROWTH
    assert found["handles_after"] <= found["handles_settled"]
    assert list(temporary.iterdir()) == []
