"""A split opened for measuring, with any columns besides the pictures.

Training reads a `FrameTable`, with labels, twins and landmarks. Measurements also accept
collections with other columns, such as photographs of known people.
"""

import hashlib
from collections.abc import Iterator, Sequence

import datasets
import numpy as np
import pyarrow as pa

from ..faces.landmarks import check_points, five_points
from .pictures import decode_picture, picture_bytes
from .schema import FrameDataError

PICTURE_COLUMN = "image"
LANDMARK_COLUMN = "landmarks"


class OpenedRows:
    """Random access to the rows of a split.

    Args:
        name: of the collection, for reports.
        split: for reports.
        rows: from `load_split`, with undecoded pictures in the column `image`.

    Attributes:
        columns: name -> values, for every column with one string or number per row.
    """

    def __init__(self, name: str, split: str, rows: datasets.Dataset):
        self.name, self.split = name, split
        self.features = rows.features
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
        """Return a column as strings, with class names for class numbers; None if null or absent.

        Raises:
            FrameDataError: the column has values other than strings or numbers.
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
        """Return the (5, 2) landmarks stored in a row, or None.

        Raises:
            FrameDataError: the landmarks are damaged.
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
        """Return the numbers of the rows without landmarks."""
        if self._points is None:
            return list(range(len(self)))
        column = self._points.with_format("arrow")[:].column(0)
        return [n for n, value in enumerate(column) if not value.is_valid or not len(value)]

    def image_rgb(self, number: int) -> np.ndarray:
        """Decode the picture of a row; (H, W, 3) uint8.

        Raises:
            FrameDataError: the picture is damaged.
        """
        return decode_picture(self._pictures[int(number)][PICTURE_COLUMN], f"of row {number}")

    def picture_digests(self) -> Iterator[str]:
        """Yield a digest of each row's picture file."""
        for batch in self._pictures.iter(batch_size=256):
            for picture in batch[PICTURE_COLUMN]:
                yield _picture_digest(picture)

    def fingerprint(self, columns: Sequence[str], more: str = "") -> str:
        """Return a digest of all pictures and some columns, independent of the division into files.

        Args:
            columns: names; an absent column counts as empty.
            more: further content to include.
        """
        digest = hashlib.blake2b(more.encode(), digest_size=16)
        words = [self.words(column) for column in columns]
        for picture, *values in zip(self.picture_digests(), *words, strict=True):
            digest.update(repr((picture, values)).encode())
        return digest.hexdigest()


def _picture_digest(picture: dict) -> str:
    return hashlib.blake2b(picture_bytes(picture), digest_size=16).hexdigest()
