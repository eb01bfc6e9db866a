"""Open a collection: a folder or file of Parquet, or a dataset of the Hub.

Training, evaluation and the data scripts open collections here, with the split names of
`dataset.splits`. A single file, or a folder whose file names contain no split name, is used whole.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow.parquet as pq

from ..core.errors import first_cause, first_line
from ..core.hub_ids import HUB_ID
from .parquet import load_files, load_from_hub
from .rows import OpenedRows
from .schema import PICTURE_COLUMNS, FrameDataError
from .splits import SPLIT_WORDS, WHOLE, split_of_file

NEEDED_COLUMNS = ("image", "label", "video_id")
# Splits that a measurement tries if none is named, in this order.
MEASURED_SPLITS = ("test", "validation")


class MissingSplitError(FrameDataError):
    """A collection does not have the split that was asked for."""

    def with_advice(self, advice: str) -> FrameDataError:
        """Return the error with advice to the user added to its sentence."""
        return FrameDataError(f"{str(self).rstrip('.')}: {advice}.")


@dataclass(frozen=True)
class FoundSplit:
    """A split that a collection has.

    Attributes:
        collection: the name or path of the collection.
        name: of the split: the dataset's own name on the Hub, else one of `SPLITS`, or `WHOLE`.
        files: its Parquet files; None for a dataset on the Hub.
    """

    collection: str
    name: str
    files: tuple[str, ...] | None = None


def find_split(name: str, wanted: Sequence[str], or_only: bool = False) -> FoundSplit:
    """Find a split without loading it.

    Args:
        name: a folder with Parquet files, a Parquet file, or a dataset id on the Hub.
        wanted: names out of `SPLITS`, the preferred one first.
        or_only: if none of these exists and there is only one other split, return that one.

    Raises:
        MissingSplitError: the collection has none of the splits.
        FrameDataError: there is no such collection, or it cannot be read.
    """
    path = Path(name)
    if path.is_file():
        if path.suffix != ".parquet":
            raise FrameDataError(f"Data '{name}' is neither a Parquet file nor a folder.")
        return FoundSplit(name, split_of_file(path.name) or WHOLE, (name,))
    if path.is_dir():
        there = {str(file): split_of_file(file.name) for file in sorted(path.rglob("*.parquet"))}
        if not there:
            raise FrameDataError(f"Folder '{name}' holds neither Parquet files nor videos.")
        if not any(there.values()):
            return FoundSplit(name, WHOLE, tuple(there))
        names = sorted({split for split in there.values() if split})
        found = next((split for split in wanted if split in names), None)
    elif HUB_ID.fullmatch(name):
        with _reading(name):
            names = datasets.get_dataset_split_names(name)
        there = None
        words = (word for split in wanted for word in SPLIT_WORDS[split])
        found = next((word for word in words if word in names), None)
    else:
        raise FrameDataError(
            f"Data '{name}' is neither a folder, nor a Parquet file, nor a Hub id of the form "
            "user/name."
        )
    if found is None and or_only and len(names) == 1:
        found = names[0]
    if found is None:
        raise MissingSplitError(
            f"Data '{name}' has no {' or '.join(wanted)} split, only {', '.join(names)}."
        )
    if there is None:
        return FoundSplit(name, found)
    return FoundSplit(name, found, tuple(file for file, split in there.items() if split == found))


def load_split(
    found: FoundSplit, needed_columns: Sequence[str] = NEEDED_COLUMNS, streaming: bool = False
) -> datasets.Dataset | datasets.IterableDataset:
    """Load a split without decoding its pictures.

    Args:
        found: from `find_split`.
        needed_columns: raise an error if one of these is missing.
        streaming: read rows on access.

    Returns:
        at least one row, unless streaming.

    Raises:
        FrameDataError: the split cannot be read, holds no rows, or lacks a column.
    """
    name = found.collection
    with _reading(name):
        if found.files is None:
            rows = load_from_hub(name, found.name, streaming)
        elif not sum(pq.read_metadata(file).num_rows for file in found.files):
            raise FrameDataError(f"Data '{name}' holds no rows.")
        else:
            rows = load_files(name, found.files, "rows", streaming)
    if not streaming and not len(rows):
        raise FrameDataError(f"Data '{name}' holds no rows.")
    features = rows.features
    if features is None:  # streaming from a format without a schema
        raise FrameDataError(f"Data '{name}' does not say which columns it has.")
    missing = [column for column in needed_columns if column not in features]
    if missing:
        raise FrameDataError(
            f"Data '{name}' lacks the column '{missing[0]}'; it has {', '.join(sorted(features))}."
        )
    for column in PICTURE_COLUMNS:
        if column in features:
            if not isinstance(features[column], datasets.Image):
                raise FrameDataError(f"Column '{column}' of '{name}' does not hold pictures.")
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return rows


def open_split(
    name: str,
    split: str,
    streaming: bool = False,
    needed_columns: Sequence[str] = NEEDED_COLUMNS,
) -> datasets.Dataset | datasets.IterableDataset:
    """Open one split. Arguments and errors are those of `find_split` and `load_split`."""
    return load_split(find_split(name, (split,)), needed_columns, streaming)


def open_rows(
    name: str, needed: Sequence[str], split: str | None = None, any_split: bool = False
) -> OpenedRows:
    """Open a split for measuring.

    Args:
        name: a folder with Parquet files, a Parquet file, or a dataset id on the Hub.
        needed: raise an error if one of these columns is missing.
        split: one of `SPLITS`; by default the test split, else the validation split.
        any_split: use a training split if there is no other.

    Raises:
        FrameDataError: the collection cannot be used; the message is one sentence.
    """
    default = (*MEASURED_SPLITS, "train") if any_split else MEASURED_SPLITS
    try:
        found = find_split(name, (split,) if split else default)
    except MissingSplitError as error:
        raise error.with_advice("choose one with --split") from None
    # Keep only the last part of a path: reports must not reveal this machine's folders.
    shown = Path(name).resolve().name if Path(name).exists() else name
    return OpenedRows(shown, found.name, load_split(found, needed))


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn any error of `datasets` and the Hub client into a FrameDataError."""
    try:
        yield
    except FrameDataError:
        raise
    except Exception as error:
        raise FrameDataError(
            f"Data '{name}' cannot be read: {first_line(first_cause(error))}"
        ) from error
