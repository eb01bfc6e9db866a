"""Heartbeats from inside a long step, for the process that watches this one.

Code that may run for long without other output (reading a large file, a download) calls
`heartbeat` or `checkpoint` whenever it has made progress. Without a watcher these functions do
nothing. In a worker of `guard.pool` the watcher reports to the parent process, which ends a worker
that is silent for too long.
"""

from collections.abc import Callable
from typing import Protocol

# Called with the name of a stage, the steps done and the steps in total.
Progress = Callable[[str, int, int], None]


class Watcher(Protocol):
    """Receives the heartbeats of this process."""

    def heartbeat(self) -> None:
        """The process has made progress. Must not raise."""

    def checkpoint(self) -> None:
        """The process has made progress. Raises if the work is to stop."""

    def begin_step(self, name: str) -> None:
        """A new step has begun. Limits on time count from here."""


_watcher: Watcher | None = None


def set_watcher(watcher: Watcher | None) -> None:
    """Send this process's heartbeats to `watcher`, or to none."""
    global _watcher
    _watcher = watcher


def heartbeat() -> None:
    """Report progress. Never raises, so callbacks of native code may call it."""
    if _watcher is not None:
        _watcher.heartbeat()


def checkpoint() -> None:
    """Report progress, and raise if the work is no longer wanted."""
    if _watcher is not None:
        _watcher.checkpoint()


def begin_step(name: str) -> None:
    """Begin a new step.

    Args:
        name: reported if this process is lost during the step; "" for no step.
    """
    if _watcher is not None:
        _watcher.begin_step(name)
