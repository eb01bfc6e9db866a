"""The frame folders of the original CADDM project, with their landmark files.

    {train_images,test_images}/ldm.json
    {train_images,test_images}/original_sequences/youtube/COMPRESSION/frames/NAME/frame_N.png
    {train_images,test_images}/manipulated_sequences/METHOD/COMPRESSION/frames/NAME/frame_N.png

`ldm.json` has for each frame, by its path without suffix: `landmark` (81 points), `label` (0 or
1) and `source_path`. The root is the folder of both or one of them.

Where several frames of a video were taken, the original script wrote the last one's landmarks to
all of them. Such landmarks are kept for the last frame, and found anew for the others. For the
same reason the genuine frame is looked up by the frame's own number and not by `source_path`.
"""

import json
import math
import posixpath
import re

from fsspec.implementations.dirfs import DirFileSystem

from ..records import (
    PICTURE_SUFFIXES,
    DatasetError,
    FramePicture,
    Listing,
    VideoRecord,
    files_below,
    folders_in,
    read_text,
    shown,
)

DATASET = "caddm-frames"
LIST = "ldm.json"
SPLIT_FOLDERS = {"train_images": "train", "test_images": "test"}
FRAME_NAME = re.compile(r"(.+)/frame_(\d+)\.\w+")
FF_PLACE = re.compile(r"(?:.*/)?manipulated_sequences/([^/]+)/([^/]+)/frames/([^/]+)")
LANDMARKS = (68, 81)


def list_records(tree: DirFileSystem, split: str) -> Listing:
    """The videos whose frames are in the tree.

    Args:
        tree: below the root.
        split: of the videos, if the root is a single folder of another name.

    Raises:
        DatasetError: there is no landmark file, or it is damaged.
    """
    inside = [name for name in folders_in(tree, "") if name in SPLIT_FOLDERS]
    if tree.isfile(LIST):
        own = posixpath.basename(tree.path.rstrip("/"))
        places = [("", SPLIT_FOLDERS.get(own, split))]
    else:
        places = [(f"{name}/", SPLIT_FOLDERS[name]) for name in inside]
    if not places or not all(tree.isfile(f"{prefix}{LIST}") for prefix, _ in places):
        raise DatasetError(
            f"The landmark file '{LIST}' is missing: it is written beside the frames by the "
            "original project's extraction script."
        )
    listing = Listing([])
    for prefix, place_split in places:
        _list_place(tree, prefix, place_split, listing)
    return listing


def _list_place(tree: DirFileSystem, prefix: str, split: str, listing: Listing) -> None:
    pictures = {
        path.rpartition(".")[0][len(prefix) :]: path
        for path in files_below(tree, prefix.rstrip("/"), PICTURE_SUFFIXES)
    }
    entries = _read_landmarks(tree, f"{prefix}{LIST}", pictures)
    videos: dict[str, list[tuple[int, str, dict]]] = {}
    for key, entry in entries.items():
        match = FRAME_NAME.fullmatch(pictures[key])
        if match is None:
            raise DatasetError(f"'{pictures[key]}' is not named frame_NUMBER.")
        videos.setdefault(match[1], []).append((int(match[2]), pictures[key], entry))
    frames_of = {folder: _frames(sorted(found)) for folder, found in videos.items()}
    for folder, found in sorted(videos.items()):
        listing.records.append(_record(prefix, folder, split, found[0][2], frames_of))
    unlisted = sorted(set(pictures) - set(entries))
    if unlisted:
        listing.missing.append(
            f"{prefix}{LIST}: {len(unlisted):,} pictures are not listed and are left out "
            f"({shown(unlisted)})."
        )


def _record(
    prefix: str,
    folder: str,
    split: str,
    entry: dict,
    frames_of: dict[str, tuple[FramePicture, ...]],
) -> VideoRecord:
    below = folder[len(prefix) :]
    video_id = f"{DATASET}/{split}/{below}"
    if entry["label"] == 0:
        compression = below.split("/")[-3] if below.count("/") >= 3 else None
        return VideoRecord(
            DATASET, folder, video_id, split, None, compression, video_id, folder,
            frames_of[folder], frames_of[folder],
        )  # fmt: skip
    method, compression, source = "fake", None, None
    place = FF_PLACE.fullmatch(below)
    if place is not None:
        method, compression, name = place.groups()
        target = name.split("_")[0]
        source = f"{prefix}original_sequences/youtube/{compression}/frames/{target}"
    return VideoRecord(
        dataset=DATASET,
        path=folder,
        video_id=video_id,
        split=split,
        method=method,
        compression=compression,
        source_video_id=f"{DATASET}/{split}/{source[len(prefix) :]}" if source else None,
        source_path=source if source in frames_of else None,
        frames=frames_of[folder],
        source_frames=frames_of.get(source, ()),
    )


def _frames(found: list[tuple[int, str, dict]]) -> tuple[FramePicture, ...]:
    """Frames with those landmarks that can be theirs."""
    shared = len(found) > 1 and all(
        entry["landmark"] == found[-1][2]["landmark"] for _, _, entry in found
    )
    last = found[-1][0]
    return tuple(
        FramePicture(index, path, None if shared and index != last else _points(entry, path))
        for index, path, entry in found
    )


def _points(entry: dict, path: str) -> tuple[tuple[float, float], ...]:
    try:
        points = tuple((float(x), float(y)) for x, y in entry["landmark"])
    except (TypeError, ValueError):
        points = ()
    if len(points) not in LANDMARKS or not all(map(math.isfinite, sum(points, ()))):
        raise DatasetError(f"The landmarks of '{path}' are not 68 or 81 points.")
    return points


def _read_landmarks(tree: DirFileSystem, path: str, pictures: dict[str, str]) -> dict[str, dict]:
    """The entries of the frames that are there, by path below the file's folder."""
    try:
        listed = json.loads(read_text(tree, path))
        keys = {key: posixpath.normpath(key) for key in listed}
        usable = all(entry["label"] in (0, 1) and "landmark" in entry for entry in listed.values())
    except (AttributeError, KeyError, TypeError, ValueError):
        usable = False
    if not usable or not listed:
        raise DatasetError(f"'{path}' is not a landmark file of the original project.")
    entries = {}
    for key, normal in keys.items():
        # Keys begin with the folder of the machine on which they were written.
        parts = normal.split("/")
        below = next(
            (b for b in ("/".join(parts[n:]) for n in range(len(parts))) if b in pictures), None
        )
        if below is not None:
            entries[below] = listed[key]
    if not entries:
        raise DatasetError(f"None of the frames in '{path}' is there.")
    return entries
