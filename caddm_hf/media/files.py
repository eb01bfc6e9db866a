"""Opens media files, for all readers of them.

Every file is treated as hostile: these checks run before a decoder sees a byte.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..core.liveness import checkpoint, heartbeat
from .limits import MediaError, check_bytes
from .names import shown_name


@contextmanager
def open_media_file(path: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Open an ordinary, readable file of 1 to `max_bytes` bytes, unbuffered.

    Raises:
        MediaError: the file is not one.
    """
    try:
        mode = path.stat().st_mode
        # Check first: opening a pipe or a device could block for ever.
        file = path.open("rb", buffering=0) if stat.S_ISREG(mode) else None
    except FileNotFoundError:
        raise MediaError(f"{shown_name(path)} does not exist.") from None
    except PermissionError:
        raise MediaError(
            f"{shown_name(path)} may not be read: its permissions forbid it."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or "its name is not a valid one"
        raise MediaError(f"{shown_name(path)} cannot be opened: {reason}.") from None
    if file is None:
        is_a = "a folder: choose a file in it" if stat.S_ISDIR(mode) else "not an ordinary file"
        raise MediaError(f"{shown_name(path)} is {is_a}.")
    with file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise MediaError(f"{shown_name(path)} is empty.")
        check_bytes(shown_name(path), size, max_bytes)
        yield file


class WatchedFile:
    """An open file for a native decoder, without a name, which ends at a deadline.

    The decoder calls `read` and `seek` from C, where an exception would be lost or raised
    elsewhere. A fault therefore looks like the end of the file, and the Python code calls `check`
    between steps to find out.
    """

    def __init__(self, file: BinaryIO, path: Path, timeout_s: float):
        self._file = file
        self._path = path
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._fault: str | None = None
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; none at the end, after the deadline and on a fault."""
        if time.monotonic() > self._deadline:
            return b""
        heartbeat()
        try:
            return self._file.read(size)
        except OSError as error:
            self._fault = error.strerror
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek, and return the new position, or -1 if there is no such position in the file."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1

    def check(self) -> None:
        """Raise a `MediaError` if reading failed or the deadline has passed."""
        checkpoint()
        if self._fault is not None:
            raise MediaError(f"{shown_name(self._path)} cannot be read to its end: {self._fault}.")
        if time.monotonic() > self._deadline:
            raise MediaError(
                f"{shown_name(self._path)} takes more than {self._timeout_s:g} s to read: use a "
                "shorter or smaller version."
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock, for instance while the caller works on a frame."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._deadline += time.monotonic() - start
