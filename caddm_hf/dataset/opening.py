"""Opens a collection: a folder or file of Parquet, or a dataset of the Hub."""

import re
from collections.abc import Sequence
from pathlib import Path

import datasets
import pyarrow.parquet as pq

from ..core.errors import first_line
from ..core.hub_ids import HUB_ID
from .parquet import load_files, load_from_hub
from .rows import PICTURE_COLUMN, OpenedRows
from .schema import PICTURE_COLUMNS, FrameDataError

NEEDED_COLUMNS = ("image", "label", "video_id")
SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev", "test")}


# In the order in which they are looked for; a training split has to be asked for.
SPLITS = ("test", "validation", "train")
SPLIT_WORDS = {
    "test": ("test",),
    "validation": ("validation", "valid", "val", "dev"),
    "train": ("train",),
}


def open_split(
    name: str,
    split: str,
    streaming: bool = False,
    needed_columns: Sequence[str] = NEEDED_COLUMNS,
) -> datasets.Dataset | datasets.IterableDataset | None:
    """One split of a collection, its pictures not decoded.

    Args:
        name: a folder with Parquet files, a Parquet file, or a dataset id on the Hub.
        split: "train" or "validation"; a test split stands in for a missing validation split.
        streaming: read rows as they are asked for.
        needed_columns: without these the collection is refused.

    Returns:
        the split, or None if the collection has no such split.

    Raises:
        FrameDataError: there is no such collection, it cannot be read, or columns are missing.
    """
    try:
        if Path(name).exists():
            files = _parquet_files(Path(name), split)
            if not files:
                return None
            rows = load_files(name, files, split, streaming)
        elif HUB_ID.fullmatch(name):
            found = datasets.get_dataset_split_names(name)
            chosen = next((known for known in SPLIT_NAMES[split] if known in found), None)
            if chosen is None:
                return None
            rows = load_from_hub(name, chosen, streaming)
        else:
            raise FrameDataError(
                f"Data '{name}' is neither a folder, nor a Parquet file, nor a Hub id of the form "
                "user/name."
            )
    except FrameDataError:
        raise
    except Exception as error:  # `datasets` and the Hub client raise whatever they meet
        raise FrameDataError(f"Data '{name}' cannot be read: {first_line(error)}") from error
    features = rows.features
    if features is None:  # a stream of a format without a schema
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


def _parquet_files(path: Path, split: str) -> list[str]:
    """Files whose name begins with one of the split's names; unnamed files are for training."""
    if path.is_file():
        return [str(path)] if split == "train" else []
    files = sorted(path.rglob("*.parquet"))
    if not files:
        raise FrameDataError(f"Folder '{path}' holds no Parquet files.")
    names = {file: re.split(r"[-_.]", file.name.lower())[0] for file in files}
    for known in SPLIT_NAMES[split]:
        chosen = [str(file) for file in files if names[file] == known]
        if chosen:
            return chosen
    every_name = [known for split_names in SPLIT_NAMES.values() for known in split_names]
    if split == "train" and not set(names.values()) & set(every_name):
        return [str(file) for file in files]
    return []


def open_rows(
    name: str, needed: Sequence[str], split: str | None = None, any_split: bool = False
) -> OpenedRows:
    """Open a split of a collection.

    Args:
        name: a folder with Parquet files, a Parquet file, or a dataset id on the Hub.
        needed: columns without which it is of no use.
        split: one of `SPLITS`; by default the test split, else the validation split, else all
            of a collection that names no splits.
        any_split: let a training split do where there is no other.

    Raises:
        FrameDataError: in one sentence, why it cannot be used.
    """
    wanted = (split,) if split else SPLITS[: 3 if any_split else 2]
    try:
        files, found = _find_split(name, wanted)
        if files is None:
            rows = load_from_hub(name, found)
        elif not sum(pq.read_metadata(file).num_rows for file in files):
            raise FrameDataError(f"Data '{name}' holds no rows.")
        else:
            rows = load_files(name, files, "rows")
    except FrameDataError:
        raise
    except Exception as error:  # `datasets` and the Hub client raise whatever they meet
        raise FrameDataError(f"Data '{name}' cannot be read: {first_line(error)}") from error
    if not len(rows):
        raise FrameDataError(f"Data '{name}' holds no rows.")
    missing = [column for column in needed if column not in rows.features]
    if missing:
        raise FrameDataError(
            f"Data '{name}' lacks the column '{missing[0]}'; it has "
            f"{', '.join(sorted(rows.features))}."
        )
    if not isinstance(rows.features[PICTURE_COLUMN], datasets.Image):
        raise FrameDataError(f"Column '{PICTURE_COLUMN}' of '{name}' does not hold pictures.")
    # Of a path only the last part: a report must not tell where things lie on this machine.
    shown = Path(name).resolve().name if Path(name).exists() else name
    return OpenedRows(shown, found, rows)


def _find_split(name: str, wanted: Sequence[str]) -> tuple[list[str] | None, str]:
    """The Parquet files of the first split that is there (None on the Hub), and its name."""
    path = Path(name)
    if path.is_file():
        if path.suffix != ".parquet":
            raise FrameDataError(f"Data '{name}' is neither a Parquet file nor a folder.")
        return [name], _split_of(path.name) or "all"
    if path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        if not files:
            raise FrameDataError(f"Folder '{name}' holds neither Parquet files nor videos.")
        there = {str(file): _split_of(file.name) for file in files}
        if not any(there.values()):
            return list(there), "all"
        for word in wanted:
            chosen = [file for file, split in there.items() if split == word]
            if chosen:
                return chosen, word
        names = sorted({split for split in there.values() if split})
    elif HUB_ID.fullmatch(name):
        names = datasets.get_dataset_split_names(name)
        for word in wanted:
            for known in SPLIT_WORDS[word]:
                if known in names:
                    return None, known
    else:
        raise FrameDataError(
            f"Data '{name}' is neither a folder, nor a Parquet file, nor a Hub id of the form "
            "user/name."
        )
    raise FrameDataError(
        f"Data '{name}' has no {' or '.join(wanted)} split, only {', '.join(names)}: choose one "
        "with --split."
    )


def _split_of(file_name: str) -> str | None:
    first = re.split(r"[-_.]", file_name.lower())[0]
    return next((split for split, words in SPLIT_WORDS.items() if first in words), None)
