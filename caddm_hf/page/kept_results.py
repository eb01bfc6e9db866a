"""Results kept for their visitors: for the evidence, the annotated video, the row of a table.

A result is dropped when the visitor's tab is closed, or when newer results need its memory.
"""

import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from ..report.video_report import VideoReport

MOST_BYTES = 512 * 2**20
OLDEST_S = 3600


@dataclass(frozen=True)
class KeptResult:
    """A report and the judged file; `path` is None for a report read from a file."""

    report: VideoReport
    path: str | None

    @property
    def size_bytes(self) -> int:
        """Memory of the report's pictures."""
        return sum(
            face.crop_rgb.nbytes + face.heatmap.nbytes
            for person in self.report.people
            for face in person.faces
            if face.has_pictures
        )


class KeptResults:
    """Results by session and place on the page, the newest within a budget.

    Args:
        most_bytes: memory for pictures; the least recently used results are dropped first.
    """

    def __init__(self, most_bytes: int = MOST_BYTES):
        self.most_bytes = most_bytes
        self._results: OrderedDict[tuple[str, Hashable], KeptResult] = OrderedDict()
        self._folders: dict[str, Path] = {}
        self._lock = threading.Lock()

    def keep(self, session: str, place: Hashable, result: KeptResult) -> None:
        """Keep a result in place of the previous one."""
        with self._lock:
            self._results.pop((session, place), None)
            self._results[session, place] = result
            total = sum(kept.size_bytes for kept in self._results.values())
            while total > self.most_bytes and len(self._results) > 1:
                total -= self._results.popitem(last=False)[1].size_bytes

    def get(self, session: str, place: Hashable) -> KeptResult | None:
        """The result kept at a place, if there still is one."""
        with self._lock:
            result = self._results.get((session, place))
            if result is not None:
                self._results.move_to_end((session, place))
            return result

    def drop(self, session: str, *places: Hashable) -> None:
        """Drop the results at these places."""
        with self._lock:
            for place in places:
                self._results.pop((session, place), None)

    def folder(self, session: str) -> Path:
        """Make a folder for a file of this session; its name contains nothing from a visitor.

        Folders older than `OLDEST_S` are deleted, because not every program ends its session.
        """
        with self._lock:
            self._delete_old()
            above = self._folders.get(session)
            if above is None:
                above = self._folders[session] = Path(tempfile.mkdtemp(prefix="caddm-made-"))
            return Path(tempfile.mkdtemp(dir=above))

    def _delete_old(self) -> None:
        for session, above in list(self._folders.items()):
            for made in above.iterdir():
                if time.time() - made.stat().st_mtime > OLDEST_S:
                    shutil.rmtree(made, ignore_errors=True)
            if not any(above.iterdir()):
                above.rmdir()
                del self._folders[session]

    def forget(self, session: str) -> None:
        """Drop everything of a session that has ended."""
        with self._lock:
            for key in [key for key in self._results if key[0] == session]:
                del self._results[key]
            folder = self._folders.pop(session, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Drop everything."""
        for session in {key[0] for key in self._results} | set(self._folders):
            self.forget(session)
