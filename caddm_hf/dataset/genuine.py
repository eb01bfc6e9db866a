"""Genuine pictures of any origin, joined to a collection's training rows.

Collections of forged videos show few people under few conditions, and a detector trained on one
calls many unfamiliar pictures forged. Adding portraits known to be genuine reduces these errors.
"""

from pathlib import Path

import datasets
import numpy as np

from .opening import open_split
from .schema import FrameDataError, label_numbers


def open_genuine_pictures(name: str, limit: int | None = None) -> datasets.Dataset:
    """Open a data set of genuine pictures.

    Args:
        name: a folder or file of Parquet or a dataset id on the Hub, with a column `image`; its
            training split is used. Labels are optional.
        limit: use only the first `limit` pictures.

    Returns:
        the one column `image`; at least one row.

    Raises:
        FrameDataError: there are no such pictures, or some are labelled fake.
    """
    pictures = open_split(name, "train", needed_columns=("image",))
    if limit is not None:
        pictures = pictures.select(range(min(limit, len(pictures))))
    feature = pictures.features.get("label")
    if feature is not None and label_numbers(pictures["label"][:], feature).any():
        raise FrameDataError(f"Data '{name}' is given as genuine, but some rows are labelled fake.")
    return pictures.select_columns(["image"])


def join_genuine_pictures(
    rows: datasets.Dataset, name: str, limit: int | None = None
) -> datasets.Dataset:
    """Append genuine pictures to the rows of a collection.

    Args:
        rows: from `open_split`, with at least one genuine row.
        name, limit: as in `open_genuine_pictures`.

    Returns:
        rows and pictures. Each picture is a separate video, "<name>/<number>".

    Raises:
        FrameDataError: there are no such pictures, or some are labelled fake.
    """
    joined = open_genuine_pictures(name, limit)
    genuine = np.flatnonzero(label_numbers(rows["label"][:], rows.features["label"]) == 0)
    if not len(genuine):
        raise FrameDataError("The training data holds no genuine rows.")
    prefix = Path(name).resolve().name if Path(name).exists() else name
    ids = [f"{prefix}/{number:06d}" for number in range(len(joined))]
    columns = {
        "label": [rows[int(genuine[0])]["label"]] * len(joined),
        "video_id": ids,
        "source_video_id": ids,
    }
    for column, values in columns.items():
        if column in rows.features:
            joined = joined.add_column(column, values, feature=rows.features[column])
    # Columns that only `rows` have are null in the pictures' rows.
    return datasets.concatenate_datasets([rows, joined])
