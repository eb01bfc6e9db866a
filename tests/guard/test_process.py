"""caddm_hf.guard.process: what of guards and workers is left behind, whatever ends them."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from caddm_hf.guard.limits import GuardLimits, WorkerLostError
from caddm_hf.guard.pool import WorkerPool
from support import made_workers
from support.made_workers import wait_for

LIMITS = GuardLimits(memory_bytes=300 * 2**20, job_s=3.0)
on_posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent")


def test_temporary_files_of_a_lost_worker_are_removed(temporary_root):
    with WorkerPool(made_workers.load, LIMITS) as guard:
        path = Path(guard.run(("write", "kept")))
        assert path.exists()
        assert temporary_root in path.parents
        with pytest.raises(WorkerLostError):
            guard.run(("write_and_exit",))
        assert not path.exists()
        files = [path.name for path in temporary_root.rglob("*") if path.is_file()]
        assert files == [".lock"]  # the guard's own
    assert list(temporary_root.iterdir()) == []


def parent_and_worker(root: Path, folder: Path, errors: int) -> tuple[subprocess.Popen, int, Path]:
    """A process with a pool, its worker's process id, and a temporary file of that."""
    process = subprocess.Popen(
        [sys.executable, made_workers.__file__, str(folder / "mark")],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(root), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    pid, path = process.stdout.readline().split()
    return process, int(pid), Path(path)


@on_posix
def test_what_killed_guards_left_is_removed_by_the_next(temporary_root, tmp_path):
    """And nothing else: neither a living guard's folder nor what only bears the name."""
    process, pid, path = parent_and_worker(temporary_root, tmp_path, subprocess.DEVNULL)
    (left,) = temporary_root.iterdir()
    os.kill(pid, signal.SIGSTOP)  # so that it cannot clean up
    process.kill()
    process.wait()  # not communicate(): the stopped worker holds the pipe open
    os.kill(pid, signal.SIGKILL)
    process.stdout.close()
    wait_for(lambda: not psutil.pid_exists(pid))
    assert path.exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    linked = temporary_root / "caddm-guard-linked"
    linked.symlink_to(elsewhere)
    with WorkerPool(made_workers.load, LIMITS) as living:
        (folder,) = set(temporary_root.iterdir()) - {left, linked}
        long_ago = time.time() - 3600
        for old in (left, folder, elsewhere):
            os.utime(old, (long_ago, long_ago))
        with WorkerPool(made_workers.load, LIMITS):
            assert not left.exists()
            assert folder.exists()
            assert list(elsewhere.iterdir()) == []
        assert living.run(("double", 2)) == 4


@on_posix
@pytest.mark.parametrize(
    ("number", "whom", "status"),
    [
        (signal.SIGKILL, "guard", -signal.SIGKILL),
        (signal.SIGTERM, "guard", 143),
        (signal.SIGTERM, "all", 143),
        (signal.SIGHUP, "all", 143),
        (signal.SIGINT, "all", 130),  # Ctrl-C in a terminal
    ],
)
def test_whatever_ends_the_guard_ends_its_worker(temporary_root, tmp_path, number, whom, status):
    process, pid, path = parent_and_worker(temporary_root, tmp_path, subprocess.PIPE)
    assert temporary_root in path.parents
    send = partial(os.killpg if whom == "all" else os.kill, process.pid)
    send(number)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (status, "")
    wait_for(lambda: not psutil.pid_exists(pid))
    wait_for(lambda: list(temporary_root.iterdir()) == [])
