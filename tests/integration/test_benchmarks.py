"""Benchmarks are run by hand, but they must at least start after every change."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BENCHMARKS = sorted((Path(__file__).resolve().parents[2] / "benchmarks").glob("[!_]*.py"))


def started(path: Path) -> subprocess.CompletedProcess:
    """All they measure is imported before the options are read."""
    return subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True)


def test_benchmarks_start():
    """Two at a time: most of it is waiting for imports."""
    assert len(BENCHMARKS) > 5
    with ThreadPoolExecutor(2) as threads:
        runs = dict(zip(BENCHMARKS, threads.map(started, BENCHMARKS), strict=True))
    faults = {path.name: done.stderr for path, done in runs.items() if done.returncode != 0}
    assert not faults
    assert all("usage:" in done.stdout for done in runs.values())
