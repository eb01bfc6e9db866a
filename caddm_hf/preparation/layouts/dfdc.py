"""The Deepfake Detection Challenge dataset: training parts, validation and test set.

    dfdc_train_part_N/metadata.json     {"x.mp4": {"label": "FAKE", "original": "y.mp4"}, ...}
    dfdc_train_part_N/*.mp4             the parts may lie in any folder
    test/labels.csv, test/*.mp4         "filename,label" with 1 = fake; the videos beside or below

A folder with `labels.csv` is the test set, or the validation set if its name says so. Every part
is for training: the owners hold no part out. They do not say how a video was forged.
"""

import csv
import io
import json
import posixpath

from fsspec.implementations.dirfs import DirFileSystem

from ..records import (
    VIDEO_SUFFIXES,
    DatasetError,
    Listing,
    VideoRecord,
    files_below,
    read_text,
    shown,
    stem,
    suffix,
)

DATASET = "dfdc"
METHOD = "DFDC"  # the owners used eight and do not say which
LABELS = {"REAL": False, "FAKE": True, "0": False, "1": True}
TERMS = (
    "The videos are the Deepfake Detection Challenge's (Dolhansky et al., 2020), under its "
    "owners' terms."
)


def list_records(tree: DirFileSystem) -> Listing:
    """The videos of the tree, and what is missing from it.

    Raises:
        DatasetError: there is no `metadata.json` or `labels.csv`, one is damaged, or two parts
            hold a video of the same name.
    """
    lists = files_below(tree, "", {".json", ".csv"})
    labels = [path for path in lists if posixpath.basename(path) == "labels.csv"]
    tested = {posixpath.dirname(path) for path in labels}
    parts = [
        path
        for path in lists
        if posixpath.basename(path) == "metadata.json" and posixpath.dirname(path) not in tested
    ]
    if not parts and not labels:
        raise DatasetError(
            "There is neither a 'metadata.json' nor a 'labels.csv' in --root: it is not a folder "
            "of DFDC parts or of its test set."
        )
    missing: list[str] = []
    entries: list[tuple[str, str, str | None]] = []  # path, label, name of the original
    for path in parts:
        entries += _part_entries(tree, path, missing)
    path_of: dict[str, str] = {}
    for path, _, _ in entries:
        other = path_of.setdefault(stem(path), path)
        if other != path:
            raise DatasetError(f"'{other}' and '{path}' have one name: remove one of them.")
    records = [
        _record(path, label, "train", original, path_of) for path, label, original in entries
    ]
    for path in labels:
        split = "validation" if "valid" in posixpath.dirname(path).lower() else "test"
        found = _labelled_entries(tree, path, missing)
        records += [_record(path, label, split, None, {}) for path, label in found]
    lonely = sum(record.is_fake and record.source_path is None for record in records)
    tested_fakes = sum(record.is_fake and record.split != "train" for record in records)
    if lonely > tested_fakes:
        missing.append(
            f"{lonely - tested_fakes:,} fakes are there without the genuine clip they were made "
            "from."
        )
    return Listing(records, missing, TERMS)


def _record(
    path: str, label: str, split: str, original: str | None, path_of: dict[str, str]
) -> VideoRecord:
    video_id = f"{DATASET}/{stem(path)}"
    if not LABELS[label]:
        return VideoRecord(DATASET, path, video_id, split, None, None, video_id, path)
    source_id = f"{DATASET}/{stem(original)}" if original else None
    source_path = path_of.get(stem(original)) if original else None
    return VideoRecord(DATASET, path, video_id, split, METHOD, None, source_id, source_path)


def _part_entries(
    tree: DirFileSystem, path: str, missing: list[str]
) -> list[tuple[str, str, str | None]]:
    try:
        listed = {
            name: (str(entry["label"]).upper(), entry.get("original"))
            for name, entry in json.loads(read_text(tree, path)).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DatasetError(f"'{path}' is not a DFDC metadata file.") from None
    folder = posixpath.dirname(path)
    present = _present(tree, folder, list(listed), path, missing)
    _check_labels({label for label, _ in listed.values()}, path)
    return [(present[name], *listed[name]) for name in sorted(present)]


def _labelled_entries(tree: DirFileSystem, path: str, missing: list[str]) -> list[tuple[str, str]]:
    rows = list(csv.DictReader(io.StringIO(read_text(tree, path))))
    if not rows or not {"filename", "label"} <= set(rows[0]):
        raise DatasetError(f"'{path}' lacks the columns 'filename' and 'label'.")
    listed = {row["filename"]: str(row["label"]).strip().upper() for row in rows}
    _check_labels(set(listed.values()), path)
    present = _present(tree, posixpath.dirname(path), list(listed), path, missing)
    return [(present[name], listed[name]) for name in sorted(present)]


def _check_labels(labels: set[str], path: str) -> None:
    unknown = sorted(labels - set(LABELS))
    if unknown:
        raise DatasetError(
            f"'{path}' has the label '{unknown[0]}', which is neither REAL nor FAKE."
        )


def _present(
    tree: DirFileSystem, folder: str, names: list[str], path: str, missing: list[str]
) -> dict[str, str]:
    """Path of each listed video that is there; says what is not there or not listed."""
    found = {
        posixpath.basename(video): video for video in files_below(tree, folder, VIDEO_SUFFIXES)
    }
    absent = sorted(name for name in names if name not in found)
    if absent:
        missing.append(
            f"{path}: {len(absent):,} of {len(names):,} videos are not there ({shown(absent)})."
        )
    unlisted = sorted(set(found) - set(names))
    if unlisted:
        missing.append(
            f"{path}: {len(unlisted):,} videos beside it are not listed and are left out "
            f"({shown(unlisted)})."
        )
    wanted = set(names)
    return {name: video for name, video in found.items() if name in wanted and suffix(name)}
