"""Signs of life from deep inside a long step, for the process that watches this one.

Code that may be busy for long without saying so (reading a large file, a download) calls
`sign_of_life` or `checkpoint` wherever it has got on. Where nobody watches they do nothing.
`guard.pool` is what watches: silence is how it knows that a worker hangs.
"""

from typing import Protocol


class Watcher(Protocol):
    """Who wants to know."""

    def alive(self) -> None:
        """Something has moved; must not raise."""

    def checkpoint(self) -> None:
        """Something has moved; raises where the work is to be stopped."""

    def now_at(self, step: str) -> None:
        """A new step has begun, whose time counts from here."""


_watcher: Watcher | None = None


def be_watched(watcher: Watcher | None) -> None:
    """From now on this process tells that watcher; None ends it."""
    global _watcher
    _watcher = watcher


def sign_of_life() -> None:
    """Something has moved. Never raises, so it may be called from native code's callbacks."""
    if _watcher is not None:
        _watcher.alive()


def checkpoint() -> None:
    """Something has moved, and this is a place to stop at if the work is no longer wanted."""
    if _watcher is not None:
        _watcher.checkpoint()


def now_at(step: str) -> None:
    """A new step has begun: its name is told if this process is lost in it; "" is no step."""
    if _watcher is not None:
        _watcher.now_at(step)
