"""The preview of the Deepfake Detection Challenge dataset.

    dataset.json      {"method_A/.../x.mp4": {"label": "fake", "set": "train",
                       "target_id": "...", "swapped_id": "..."}, ...}
    original_videos/, method_A/, method_B/

Splits are the owners' `set`. They do not say which clip a fake was made from, unless an entry
has a `source_video` that names one.
"""

import json

from fsspec.implementations.dirfs import DirFileSystem

from ..records import (
    DatasetError,
    Listing,
    VideoRecord,
    every_file,
    read_text,
    shown,
    stem,
)

DATASET = "dfdc-preview"
LIST = "dataset.json"
METHODS = ("method_A", "method_B")
SETS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
TERMS = (
    "The videos are the Deepfake Detection Challenge preview's (Dolhansky et al., 2019), under "
    "its owners' terms."
)


def list_records(tree: DirFileSystem) -> Listing:
    """The videos of the tree, and what is missing from it.

    Raises:
        DatasetError: `dataset.json` is missing or damaged, or a method is not known.
    """
    if not tree.isfile(LIST):
        raise DatasetError(
            f"'{LIST}' is missing from --root: it comes with the DFDC preview and holds its splits."
        )
    try:
        entries = {
            path: (entry["label"].lower(), SETS.get(entry["set"]), entry.get("source_video"))
            for path, entry in json.loads(read_text(tree, LIST)).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DatasetError(f"'{LIST}' is not the list of the DFDC preview.") from None
    there = set(every_file(tree))
    genuine = {
        key: path
        for path, (label, _, _) in entries.items()
        if label == "real" and path in there
        for key in (path, stem(path))
    }
    records = []
    for path, (label, split, source) in sorted(entries.items()):
        folder = path.split("/")[0]
        if label not in ("real", "fake") or split is None:
            raise DatasetError(f"'{LIST}' has an unknown label or set for '{path}'.")
        if label == "fake" and folder not in METHODS:
            raise DatasetError(
                f"'{LIST}' has a fake in '{folder}', which is not a method of the DFDC preview "
                f"(known: {', '.join(METHODS)})."
            )
        if path not in there:
            continue
        source_path = path if label == "real" else genuine.get(source)
        records.append(
            VideoRecord(
                dataset=DATASET,
                path=path,
                video_id=_video_id(path),
                split=split,
                method=folder if label == "fake" else None,
                source_video_id=_video_id(source_path) if source_path else None,
                source_path=source_path,
            )
        )
    absent = sorted(set(entries) - there)
    missing = []
    if absent:
        missing.append(
            f"{LIST}: {len(absent):,} of {len(entries):,} videos are not there ({shown(absent)})."
        )
    return Listing(records, missing, TERMS)


def _video_id(path: str) -> str:
    return f"{DATASET}/{path.rpartition('.')[0]}"
