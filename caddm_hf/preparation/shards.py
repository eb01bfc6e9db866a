"""Parquet files of rows, written whole or not at all, on any file system fsspec knows.

Each video is one row group, and the accounts of the videos are in the file's metadata: a file is
rows and account together. Equal rows give equal bytes.
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
    """A file that appears under its name when the block ends without an error, complete.

    On this machine it is renamed into its place; to an object store it is copied, which shows an
    object only when it is complete.
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
    """A JSON file, keys in order."""
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
    """A file of some videos' rows and accounts."""
    with _writer(folder, path) as writer:
        for video in videos:
            if video.rows:
                table = pa.Table.from_pylist(video.rows, schema=SCHEMA)
                writer.write_table(table, row_group_size=len(table))
        _add_accounts(writer, [video.account.to_dict() for video in videos])


def merge_files(folder: DirFileSystem, parts: Sequence[str], path: str) -> None:
    """One file of several, row group after row group; memory for one is needed."""
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
    """The accounts of the videos in a file; only its end is read."""
    with folder.open(path, "rb") as file, pq.ParquetFile(file) as parquet:
        return accounts_in(parquet)


def accounts_in(parquet: pq.ParquetFile) -> list[dict]:
    """The accounts of the videos in an open file."""
    return json.loads(parquet.metadata.metadata[ACCOUNTS_KEY])


def _add_accounts(writer: pq.ParquetWriter, accounts: list[dict]) -> None:
    writer.add_key_value_metadata({ACCOUNTS_KEY: json.dumps(accounts, sort_keys=True)})


def remove(folder: DirFileSystem, paths: Iterable[str]) -> None:
    """Removes files that may be gone already."""
    for path in paths:
        try:
            folder.rm_file(path)
        except FileNotFoundError:
            continue
