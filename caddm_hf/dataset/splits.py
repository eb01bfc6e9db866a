"""The names of splits, and how to recognise them in file names and datasets."""

import re

SPLITS = ("train", "validation", "test")
# Names that datasets use for each split, the preferred one first. No name stands for two splits,
# so a test split is never used for validation unless requested.
SPLIT_WORDS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
WHOLE = "all"  # the split of a collection that is not divided


def split_of_file(file_name: str) -> str | None:
    """Return the split that a file's name begins with, or None if it names no split."""
    first = re.split(r"[-_.]", file_name.lower())[0]
    return next((split for split, words in SPLIT_WORDS.items() if first in words), None)
