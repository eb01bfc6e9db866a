"""Parquet files of rows, written completely or not at all, on any file system of fsspec.

Each video is one row group, and the accounts of the videos are in the file's metadata. Equal rows
give equal bytes.
"""

import json
import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ..core.atomic_files import write_atomically
from ..dataset.schema import FRAME_FEATURES, PICTURE_COLUMNS
from .video_account import VideoRows

ACCOUNTS_KEY = b"caddm_videos"
SCHEMA: pa.Schema = FRAME_FEATURES.arrow_schema


@contextmanager
def written_whole(folder: DirFileSystem, path: str) -> Iterator[BinaryIO]:
    """Open a file that appears under its name, complete, when the block ends without an error.

    A local file is written under another name and renamed. Other file systems get a copy; object
    stores show an object only when it is complete.
    """
    if isinstance(folder.fs, LocalFileSystem):
        target = Path(posixpath.join(folder.path, path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as file:
            yield file
        return
    with tempfile.TemporaryDirectory() as temporary:
        local = Path(temporary) / posixpath.basename(path)
        with local.open("wb") as file:
            yield file
        folder.makedirs(posixpath.dirname(path), exist_ok=True)
        folder.put_file(str(local), path)


def write_json(folder: DirFileSystem, path: str, content: object) -> None:
    """Write a JSON file with sorted keys."""
    with written_whole(folder, path) as file:
        file.write((json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


@contextmanager
def _writer(folder: DirFileSystem, path: str) -> Iterator[pq.ParquetWriter]:
    light = [name for name in SCHEMA.names if name not in (*PICTURE_COLUMNS, "landmarks")]
    with (
        written_whole(folder, path) as file,
        pq.ParquetWriter(
            file,
            SCHEMA,
            compression="none",  # pictures are compressed already, and nothing else is large
            use_dictionary=light,
            write_statistics=light,
        ) as writer,
    ):
        yield writer


def write_videos(folder: DirFileSystem, path: str, videos: Sequence[VideoRows]) -> None:
    """Write a file of some videos' rows and accounts."""
    with _writer(folder, path) as writer:
        for video in videos:
            if video.rows:
                table = pa.Table.from_pylist(video.rows, schema=SCHEMA)
                writer.write_table(table, row_group_size=len(table))
        _add_accounts(writer, [video.account.to_dict() for video in videos])


def merge_files(folder: DirFileSystem, parts: Sequence[str], path: str) -> None:
    """Merge files one row group at a time; only one row group is in memory."""
    with _writer(folder, path) as writer:
        accounts = []
        for part in parts:
            with folder.open(part, "rb") as file, pq.ParquetFile(file) as parquet:
                accounts += accounts_in(parquet)
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group).cast(SCHEMA)
                    writer.write_table(table, row_group_size=len(table))
        _add_accounts(writer, accounts)


def read_accounts(folder: DirFileSystem, path: str) -> list[dict]:
    """Read the accounts of the videos in a file from its footer."""
    with folder.open(path, "rb") as file, pq.ParquetFile(file) as parquet:
        return accounts_in(parquet)


def accounts_in(parquet: pq.ParquetFile) -> list[dict]:
    """The accounts of the videos in an open file."""
    return json.loads(parquet.metadata.metadata[ACCOUNTS_KEY])


def _add_accounts(writer: pq.ParquetWriter, accounts: list[dict]) -> None:
    writer.add_key_value_metadata({ACCOUNTS_KEY: json.dumps(accounts, sort_keys=True)})


def remove(folder: DirFileSystem, paths: Iterable[str]) -> None:
    """Remove files; missing ones are ignored."""
    for path in paths:
        try:
            folder.rm_file(path)
        except FileNotFoundError:
            continue
