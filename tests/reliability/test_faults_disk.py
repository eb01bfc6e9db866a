"""A full disk in the midst of a file: one sentence, nothing half-written, and the rest later.

A limit on the size of files makes every writer fail as a full disk does, Python's, safetensors'
and Arrow's alike, without a disk that is full for others, too. Where file systems may be mounted,
a small one in memory is filled as well.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caddm_hf.core.atomic_files import remove_abandoned, write_atomically
from support.fault_jobs import JOBS, Attempt, hidden, job_server, make_source, read_outputs

ENOUGH_FOR_A_LOG = 3_000  # bytes: JSON files, but no weights or pictures
ROUNDS = {"train": (0, ENOUGH_FOR_A_LOG, 60_000), "convert": (0, ENOUGH_FOR_A_LOG, 10**6)}
DISK_BYTES = 256 * 2**20
# Left on a disk that is otherwise full; it gives space in pieces of 4 KiB.
LEFT = {
    "train": (0, 2**14, 2**17),
    "prepare": (0, 2**13, 2**14),
    "evidence": (0, 2**14, 2**16),
    "convert": (0, 2**14, 2**24),
}


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Attempt]]:
    with job_server() as start:
        yield start


@pytest.mark.parametrize("job", JOBS)
def test_a_disk_that_fills(start: Callable[..., Attempt], tmp_path: Path, job: str) -> None:
    source, out = make_source(job, tmp_path / "source"), tmp_path / "out"
    for file_bytes in ROUNDS.get(job, (0, ENOUGH_FOR_A_LOG)):
        status, said = start(job, source, out, file_bytes).wait()
        assert status in (1, 2, 3), said
        assert "Traceback" not in said
        assert "error: " in said
        assert "too large" in said.lower()  # what the system said
        if out.exists():
            read_outputs(out)  # whatever bears a name is whole
    status, said = start(job, source, out).wait()
    assert status == 0, said
    assert hidden(out) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, left: int) -> Path:
    """A file that leaves so many bytes of a disk."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    taken = shutil.disk_usage(disk).free - left
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, taken)
    return filler


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_a_disk_that_is_full(
    start: Callable[..., Attempt], tmp_path: Path, small_disk: Path, job: str
) -> None:
    source, out = make_source(job, tmp_path / "source"), small_disk / "out"
    shutil.copytree(source / "model", out / "model") if job == "report" else out.mkdir()
    for left in LEFT.get(job, (0, 2**13)):
        filler = fill(small_disk, left)
        status, said = start(job, source, out).wait()
        print(f"{job}, {left:,} bytes left: {said.strip().splitlines()[-1]}")
        assert status in (1, 2, 3), said
        assert "Traceback" not in said
        assert "error: " in said
        assert "no space left" in said.lower()
        read_outputs(out)  # whatever bears a name is whole
    filler.unlink()
    status, said = start(job, source, out).wait()
    assert status == 0, said
    assert hidden(out) == []


# --- the means -----------------------------------------------------------------------------


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path: Path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("caddm_hf.core.atomic_files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"), write_atomically(path) as file:
        file.write(b"new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_a_dead_writer_left_is_removed_and_a_living_one_keeps_its_file(tmp_path: Path):
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    dead, living = tmp_path / f".partial-{gone}-a", tmp_path / f".partial-{os.getppid()}-a"
    other, folder = tmp_path / f".partial-{gone}-b", tmp_path / ".partial-model"
    for path in (dead, living, other):
        path.write_text("half")
    folder.mkdir()
    with write_atomically(tmp_path / "a") as file:
        file.write(b"whole")
    assert {p.name for p in tmp_path.iterdir()} == {"a", living.name, other.name, folder.name}
    remove_abandoned(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a", living.name, folder.name}
