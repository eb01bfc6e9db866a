"""A split of any collection of pictures, opened for measuring: nothing is decoded yet.

Training reads collections through `frame_dataset.open_split`, which knows training and validation
splits and their columns. Measuring wants the test split first, says so when only the training
split is there, and takes collections with other columns, such as photographs of known people.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.hub_ids import HUB_ID
from ..faces.landmarks import check_points, five_points
from .frame_table import FrameDataError, decode_picture, first_line
from .parquet import load_files, load_from_hub
from .pictures import picture_bytes

# In the order in which they are looked for; a training split has to be asked for.
SPLITS = ("test", "validation", "train")
SPLIT_WORDS = {
    "test": ("test",),
    "validation": ("validation", "valid", "val", "dev"),
    "train": ("train",),
}
PICTURE_COLUMN = "image"
LANDMARK_COLUMN = "landmarks"


class OpenedRows:
    """Rows in random access.

    Args:
        name: for reports.
        split: for reports.
        rows: with pictures in the column `image`.

    Attributes:
        columns: name -> values of every column that holds one word or number a row.
    """

    def __init__(self, name: str, split: str, rows: datasets.Dataset):
        self.name, self.split = name, split
        self.features = rows.features
        rows = rows.cast_column(PICTURE_COLUMN, datasets.Image(decode=False))
        small = [
            column
            for column, feature in rows.features.items()
            if isinstance(feature, datasets.Value | datasets.ClassLabel)
        ]
        table: pa.Table = rows.select_columns(small).with_format("arrow")[:]
        self.columns = {column: table.column(column).to_pylist() for column in small}
        self._pictures = rows.select_columns([PICTURE_COLUMN])
        has_points = LANDMARK_COLUMN in rows.features
        self._points = rows.select_columns([LANDMARK_COLUMN]) if has_points else None

    def __len__(self) -> int:
        return len(self._pictures)

    def words(self, column: str) -> list[str | None]:
        """A column as text, names in place of class numbers; None where it is null or absent.

        Raises:
            FrameDataError: it holds something else than words or numbers.
        """
        if column not in self.features:
            return [None] * len(self)
        if column not in self.columns:
            raise FrameDataError(f"Column '{column}' of '{self.name}' does not hold words.")
        names = getattr(self.features[column], "names", None)
        values = self.columns[column]
        if names is not None:
            values = [None if v is None or v < 0 else names[v] for v in values]
        return [None if value in (None, "") else str(value) for value in values]

    def points_xy(self, number: int) -> np.ndarray | None:
        """(5, 2) landmarks that a row comes with.

        Raises:
            FrameDataError: they are damaged.
        """
        if self._points is None:
            return None
        landmarks = self._points[int(number)][LANDMARK_COLUMN]
        if landmarks is None or not len(landmarks):
            return None
        try:
            return five_points(check_points(np.asarray(landmarks, np.float64)))
        except ValueError as error:
            raise FrameDataError(f"Row {number} of '{self.name}' is damaged: {error}.") from None

    def rows_without_points(self) -> list[int]:
        """Numbers of the rows that come without landmarks."""
        if self._points is None:
            return list(range(len(self)))
        column = self._points.with_format("arrow")[:].column(0)
        return [n for n, value in enumerate(column) if not value.is_valid or not len(value)]

    def image_rgb(self, number: int) -> np.ndarray:
        """Decode the picture of a row; (H, W, 3) uint8.

        Raises:
            FrameDataError: it is damaged.
        """
        return decode_picture(self._pictures[int(number)][PICTURE_COLUMN], f"of row {number}")

    def picture_digests(self) -> Iterator[str]:
        """Of each row a digest of its picture file."""
        for batch in self._pictures.iter(batch_size=256):
            for picture in batch[PICTURE_COLUMN]:
                yield _picture_digest(picture)

    def fingerprint(self, columns: Sequence[str], more: str = "") -> str:
        """Digest of every row's picture and of some columns, whatever files they lie in.

        Args:
            columns: names; one that is absent counts as empty.
            more: what else belongs to the content.
        """
        digest = hashlib.blake2b(more.encode(), digest_size=16)
        words = [self.words(column) for column in columns]
        for picture, *values in zip(self.picture_digests(), *words, strict=True):
            digest.update(repr((picture, values)).encode())
        return digest.hexdigest()


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


def _picture_digest(picture: dict) -> str:
    return hashlib.blake2b(picture_bytes(picture), digest_size=16).hexdigest()
