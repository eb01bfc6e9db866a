"""Benchmarks are run by hand, but they must at least start after every change."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = sorted((Path(__file__).resolve().parents[2] / "benchmarks").glob("[!_]*.py"))

# Starts each program in a fork of its own. What takes long to import, and is not ours, the forks
# share; all else a program imports itself, as it does when it is started alone.
STARTER = """
import os, runpy, sys
import accelerate, cv2, datasets, torchvision, transformers

for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        sys.argv = [path, "--help"]
        sys.path[0] = os.path.dirname(path)
        runpy.run_path(path, run_name="__main__")
        os._exit(1)  # --help ends the program
    _, status = os.waitpid(child, 0)
    print("status", os.waitstatus_to_exitcode(status), flush=True)
"""


def test_benchmarks_start():
    """All they measure is imported before the options are read."""
    assert len(BENCHMARKS) > 5
    done = subprocess.run(
        [sys.executable, "-c", STARTER, *map(str, BENCHMARKS)], capture_output=True, text=True
    )
    assert done.stdout.count("status 0\n") == len(BENCHMARKS), done.stdout + done.stderr
    assert done.stdout.count("usage: ") == len(BENCHMARKS)
