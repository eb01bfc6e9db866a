"""Anybody's videos: a folder with `real` and `fake` in it, or a CSV.

    real/**/*.mp4, fake/**/*.mp4                a folder directly in `fake` names its method
    {train,validation,test}/{real,fake}/...     the same with splits
    videos.csv                                  columns path, label (real or fake); may have
                                                method, split, source (path of the genuine
                                                clip), compression

Where nothing names a split, the option `--split` does.
"""

import csv
import io

from fsspec.implementations.dirfs import DirFileSystem

from ...dataset.splits import SPLITS
from ..records import (
    VIDEO_SUFFIXES,
    DatasetError,
    Listing,
    VideoRecord,
    every_file,
    files_below,
    folders_in,
    read_text,
    shown,
)

DATASET = "folder"
LIST = "videos.csv"
ANY_METHOD = "fake"  # where no folder and no column names one


def list_records(tree: DirFileSystem, split: str) -> Listing:
    """The videos of the tree, and what its CSV lists in vain.

    Args:
        tree: below the root.
        split: of videos whose split is not told.

    Raises:
        DatasetError: there is neither a folder nor a CSV to go by, or the CSV is damaged.
    """
    if tree.isfile(LIST):
        return _listed(tree, split)
    records = []
    for prefix, prefix_split in [("", split), *((f"{name}/", name) for name in SPLITS)]:
        genuine = files_below(tree, f"{prefix}real", VIDEO_SUFFIXES)
        records += [_record(path, prefix_split, None) for path in genuine]
        methods = folders_in(tree, f"{prefix}fake")
        for path in files_below(tree, f"{prefix}fake", VIDEO_SUFFIXES):
            below = path[len(f"{prefix}fake/") :].split("/")[0]
            records.append(_record(path, prefix_split, below if below in methods else ANY_METHOD))
    if not records:
        raise DatasetError(
            f"There are no videos in 'real' or 'fake' below --root, and no '{LIST}'."
        )
    return Listing(records)


def _record(path: str, split: str, method: str | None) -> VideoRecord:
    video_id = f"{DATASET}/{path.rpartition('.')[0]}"
    return VideoRecord(
        dataset=DATASET,
        path=path,
        video_id=video_id,
        split=split,
        method=method,
        source_video_id=None if method else video_id,
        source_path=None if method else path,
    )


def _listed(tree: DirFileSystem, default_split: str) -> Listing:
    rows = list(csv.DictReader(io.StringIO(read_text(tree, LIST)), skipinitialspace=True))
    if not rows or not {"path", "label"} <= set(rows[0]):
        raise DatasetError(f"'{LIST}' lacks the columns 'path' and 'label'.")
    there = set(every_file(tree))
    absent = sorted({row["path"] for row in rows} - there)
    records = []
    for number, row in enumerate(rows, start=2):
        label, split = (row["label"] or "").lower(), row.get("split") or default_split
        if label not in ("real", "fake"):
            raise DatasetError(f"'{LIST}', line {number}: the label must be real or fake.")
        if split not in SPLITS:
            raise DatasetError(
                f"'{LIST}', line {number}: the split must be one of {', '.join(SPLITS)}."
            )
        if row["path"] not in there:
            continue
        source = row.get("source") or None
        if label == "real":
            source = row["path"]
        records.append(
            VideoRecord(
                dataset=DATASET,
                path=row["path"],
                video_id=_video_id(row["path"]),
                split=split,
                method=(row.get("method") or ANY_METHOD) if label == "fake" else None,
                compression=row.get("compression") or None,
                source_video_id=_video_id(source) if source else None,
                source_path=source if source in there else None,
            )
        )
    missing = []
    if absent:
        missing.append(f"{LIST}: {len(absent):,} videos are not there ({shown(absent)}).")
    return Listing(records, missing)


def _video_id(path: str) -> str:
    return f"{DATASET}/{path.rpartition('.')[0]}"
