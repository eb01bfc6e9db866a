"""The line of visitors who wait for the detector: first come, first served.

For one event loop: nothing here may be called from another thread.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_EVERY_S = 0.1


class LineFullError(Exception):
    """Too many wait already."""


class Place:
    """One visitor's place in the line."""

    def __init__(self, line: "Line"):
        self._line = line

    @property
    def ahead(self) -> int:
        """How many come before this one, those who are being served included."""
        return self._line.places.index(self)

    async def reach_front(self, tell: Callable[[int], None]) -> None:
        """Wait for this one's turn.

        Args:
            tell: called with `ahead` at first, whenever it changes and about ten times a second;
                an exception it raises ends the wait.
        """
        while self.ahead >= self._line.at_once:
            tell(self.ahead)
            await asyncio.sleep(LOOK_EVERY_S)


class Line:
    """Who is served and who waits.

    Args:
        at_once: how many are served at the same time.
        longest: how many may wait besides.
    """

    def __init__(self, at_once: int = 1, longest: int = 100):
        self.at_once = at_once
        self.longest = longest
        self.places: list[Place] = []

    @contextmanager
    def join(self) -> Iterator[Place]:
        """A place at the end of the line, given up when the block ends.

        Raises:
            LineFullError: there is none.
        """
        if len(self.places) >= self.at_once + self.longest:
            raise LineFullError
        place = Place(self)
        self.places.append(place)
        try:
            yield place
        finally:
            self.places.remove(place)
