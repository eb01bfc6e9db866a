"""Files and folders that are complete or absent, whenever the process or machine dies."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL_PREFIX = ".partial-"
ABANDONED = re.compile(re.escape(PARTIAL_PREFIX) + r"(\d+)-(.+)")


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable."""
    if os.name != "posix":  # elsewhere folders cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that replaces `path` when the block ends without an exception.

    Parts of the same file that a killed process left behind are removed.
    """
    remove_abandoned(path.parent, path.name)
    partial = path.with_name(f"{PARTIAL_PREFIX}{os.getpid()}-{path.name}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def make_folder_atomically(folder: Path) -> Iterator[Path]:
    """Make a folder that gets its name when the block ends without an exception.

    Yields:
        the folder to fill, under another name.

    Raises:
        OSError: `folder` exists already and is not empty.
    """
    partial = folder.with_name(f"{PARTIAL_PREFIX}{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in sorted(partial.rglob("*")):
            if path.is_dir():
                sync_folder(path)
            else:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        sync_folder(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    sync_folder(folder.parent)


def remove_folder_atomically(folder: Path) -> None:
    """Rename a folder and remove it, so that its name never refers to a part of it."""
    doomed = folder.with_name(f"{PARTIAL_PREFIX}{folder.name}-old")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def remove_abandoned(folder: Path, name: str | None = None) -> None:
    """Remove half-written files of processes that no longer run.

    Args:
        folder: in which `write_atomically` wrote.
        name: of one file; None for all.
    """
    for path in folder.glob(f"{PARTIAL_PREFIX}*"):
        match = ABANDONED.fullmatch(path.name)
        if match and name in (None, match[2]) and not _is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def _is_alive(process_id: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 would end the process
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def remove_partial(folder: Path) -> None:
    """Remove all half-written files and folders in a folder."""
    for path in folder.glob(f"{PARTIAL_PREFIX}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
