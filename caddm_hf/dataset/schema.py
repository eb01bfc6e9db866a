"""The schema of a frame collection: columns, labels, and the error for unusable collections."""

from collections.abc import Sequence

import datasets
import numpy as np

from ..core.errors import UserError


class FrameDataError(UserError):
    """A collection cannot be used; the message is one sentence for the user."""


FRAME_FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "source_image": datasets.Image(),
        "landmarks": datasets.List(datasets.List(datasets.Value("float32"), length=2)),
        "label": datasets.ClassLabel(names=["real", "fake"]),
        "method": datasets.Value("string"),
        "video_id": datasets.Value("string"),
        "source_video_id": datasets.Value("string"),
        "frame_index": datasets.Value("int32"),
        "time_s": datasets.Value("float64"),
        "dataset": datasets.Value("string"),
        "compression": datasets.Value("string"),
    }
)
PICTURE_COLUMNS = ("image", "source_image")
LABELS = {"real": 0, "fake": 1}


def label_numbers(labels: Sequence, feature: object) -> np.ndarray:
    """Return the labels of a column as (N,) int64 with 0 = real and 1 = fake.

    Args:
        labels: as stored: class numbers, or the words real and fake.
        feature: of the column; for a ClassLabel its names decide, in any order.

    Raises:
        FrameDataError: a label is neither real nor fake.
    """
    names = getattr(feature, "names", None)
    if names is not None:
        meanings = {
            number: LABELS[name.lower()]
            for number, name in enumerate(names)
            if name.lower() in LABELS
        }
    else:
        meanings = {0: 0, 1: 1} | LABELS
    try:
        numbers = [meanings[label] for label in labels]
    except KeyError as error:
        label = error.args[0]
        shown = names[label] if names and label in range(len(names)) else label
        raise FrameDataError(f"Label {shown!r} is neither real nor fake.") from None
    return np.array(numbers, np.int64)
