"""Running train_accelerate.py in tests: in this process, and in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

from accelerate.state import AcceleratorState, GradientState, PartialState

import train_accelerate

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "train_accelerate.py"

TINY_SIZE = 64  # side of a crop in pixels
# A network that takes a step in some hundredths of a second.
TINY = (
    *("--backbone", "test_resnet", "--artifact_width", "32", "--image_size", str(TINY_SIZE)),
    *("--use_cpu", "--batch_size", "8", "--eval_batch_size", "8", "--logging_steps", "1"),
    *("--dataloader_num_workers", "0", "--learning_rate", "1e-3"),
)


def train(*arguments: object) -> int:
    """Run the script's `main` in this process; returns the exit status."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    return train_accelerate.main([str(argument) for argument in arguments])


def environment() -> dict[str, str]:
    """For processes of their own: one thread, as in this one."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def start_training(*arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start the script in a process group of its own, so that its loader workers can be killed."""
    command = [sys.executable, *launcher, str(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
