"""Genuine rows of a collection and their points, for the measurements on single pictures."""

import numpy as np
from tqdm.auto import tqdm

from ..dataset.rows import OpenedRows
from ..dataset.schema import FrameDataError, label_numbers
from .faces import FaceFinder

PICTURES_AT_ONCE = 32


def genuine_rows(rows: OpenedRows, all_genuine: bool) -> list[int]:
    """Return the numbers of the genuine rows.

    Args:
        rows: the split.
        all_genuine: treat every row as genuine, without labels.

    Raises:
        FrameDataError: there are none, or labels are missing or unusable.
    """
    if all_genuine:
        return list(range(len(rows)))
    labels = label_numbers(rows.columns.get("label", []), rows.features["label"])
    found = np.flatnonzero(labels == 0).tolist()
    if not found:
        raise FrameDataError(f"Data '{rows.name}' holds no genuine rows.")
    return found


def find_points(
    rows: OpenedRows, chosen: list[int], finder: FaceFinder
) -> dict[int, np.ndarray | None]:
    """Return the (5, 2) points of rows, stored or found; None for rows without a face."""
    points: dict[int, np.ndarray | None] = {}
    batches = [chosen[n : n + PICTURES_AT_ONCE] for n in range(0, len(chosen), PICTURES_AT_ONCE)]
    for batch in tqdm(batches, desc="looking for faces", unit="batch", leave=False):
        points |= {number: rows.points_xy(number) for number in batch}
        lacking = [number for number in batch if points[number] is None]
        found = finder.in_pictures([rows.image_rgb(number) for number in lacking])
        points |= dict(zip(lacking, found, strict=True))
    return points


def first_rows_of_videos(rows: OpenedRows, numbers: list[int], skipped: int) -> list[int]:
    """Return the first row of each video: further faces of one person add little.

    Args:
        rows: the split.
        numbers: of the rows to choose from.
        skipped: ignore this many rows at the beginning of the data.

    Raises:
        FrameDataError: no row is left.
    """
    numbers = [number for number in numbers if number >= skipped]
    if not numbers:
        raise FrameDataError(f"Data '{rows.name}' holds no more than {skipped} rows.")
    videos = rows.words("video_id")
    first: dict[str, int] = {}
    for number in numbers:
        first.setdefault(videos[number] or f"row {number}", number)
    return list(first.values())
