"""Collections in Parquet -> `datasets`, after a check of the unpacked size.

`datasets` writes all rows unpacked to a cache. A text stored once, in a dictionary or compressed,
can expand to terabytes there. Therefore all columns are read before the first loading, with
dictionaries kept (each text once, however many rows use it), and the unpacked size is added up.
Files that are already in the cache are not checked again.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .schema import FrameDataError

# Parquet hardly compresses pictures. It compresses texts, numbers and nulls, but these are small.
MOST_GROWTH = 8
SPARE_BYTES = 2**28
ROWS_AT_ONCE = 256
READ_AHEAD_BYTES = 2**20


def load_files(
    name: str, files: Sequence[str], split: str, streaming: bool = False
) -> datasets.Dataset | datasets.IterableDataset:
    """Load local Parquet files as one split.

    Args:
        name: of the collection, for messages.
        files: paths.
        split: name of the result.
        streaming: read rows on access. Nothing is written to disk then, so only the sizes stated
            in the files are checked.

    Raises:
        FrameDataError: the files would unpack to many times their size.
    """
    given = {"data_files": {split: list(files)}}
    if streaming:
        check_claims(name, files)
    elif not _is_unpacked(datasets.load_dataset_builder("parquet", **given)):
        check_contents(name, files)
    return datasets.load_dataset("parquet", split=split, streaming=streaming, **given)


def load_from_hub(
    name: str, split: str, streaming: bool = False
) -> datasets.Dataset | datasets.IterableDataset:
    """Load a split of a dataset on the Hub, with the checks of `load_files` for Parquet.

    Raises:
        FrameDataError: the files would unpack to many times their size.
    """
    if not streaming:
        builder = datasets.load_dataset_builder(name)
        if not _is_unpacked(builder):
            # `datasets` unpacks all splits, even if only one is loaded.
            urls = chain.from_iterable((builder.config.data_files or {}).values())
            wanted = [str(url) for url in urls if str(url).endswith(".parquet")]
            check_contents(name, datasets.DownloadManager().download(wanted))
    return datasets.load_dataset(name, split=split, streaming=streaming)


def _is_unpacked(builder: datasets.DatasetBuilder) -> bool:
    return Path(builder.cache_dir).is_dir()


def check_claims(name: str, files: Sequence[str]) -> None:
    """Check the unpacked sizes stated in Parquet files.

    Raises:
        FrameDataError: the sum is too large.
    """
    _check_sizes(name, files, chain.from_iterable(map(_claimed_bytes, files)))


def check_contents(name: str, files: Sequence[str]) -> None:
    """Read Parquet files and add up the unpacked size of their rows.

    Raises:
        FrameDataError: the sum is too large.
    """
    check_claims(name, files)  # a file that states too large a size is not read
    _check_sizes(name, files, chain.from_iterable(map(_found_bytes, files)))


def _check_sizes(name: str, files: Sequence[str], sizes: Iterator[int]) -> None:
    allowed = SPARE_BYTES + MOST_GROWTH * sum(os.path.getsize(file) for file in files)
    for size in sizes:
        allowed -= size
        if allowed < 0:
            raise FrameDataError(
                f"Data '{name}' would unpack to more than {MOST_GROWTH} times its size: it is "
                "damaged or made to fill the disk."
            )


def _claimed_bytes(file: str) -> Iterator[int]:
    metadata = pq.read_metadata(file)
    for number in range(metadata.num_row_groups):
        yield metadata.row_group(number).total_byte_size


def _found_bytes(file: str) -> Iterator[int]:
    with pq.ParquetFile(file) as parquet:
        schema = parquet.schema
    leaves = [schema.column(number) for number in range(len(schema))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    # Limit memory: no prefetching, and no reading of whole columns at once.
    options = {"pre_buffer": False, "buffer_size": READ_AHEAD_BYTES}
    with pq.ParquetFile(file, read_dictionary=texts, **options) as parquet:
        for batch in parquet.iter_batches(ROWS_AT_ONCE, use_threads=False):
            yield sum(map(_unpacked_bytes, batch.columns))


def _unpacked_bytes(array: pa.Array) -> int:
    """Return the bytes of an array if every row has its own copy of its text."""
    if isinstance(array, pa.DictionaryArray):
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        return array.indices.nbytes + (pc.sum(lengths).as_py() or 0)
    if isinstance(array, pa.StructArray):
        return len(array) + sum(map(_unpacked_bytes, array.flatten()))
    if isinstance(array, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray | pa.MapArray):
        return 8 * len(array) + _unpacked_bytes(array.flatten())
    return array.nbytes
