"""Join frame collections, each divided into parts, into one collection.

A recipe is a list of sources. Each has a name, which becomes the column `dataset`, and its data:

    - name: Celeb-DF v2
      data: celeb_df_crops                               # folder or file of Parquet
      parts: {train: train, validation: held_apart}      # split: part
    - name: Portraits
      data: portraits
      genuine: true                                      # no labels: all pictures are genuine
      group: person                                      # rows with the same value stay together
      shares: {choose: 0.2, calibrate: 0.2}              # of the source videos; the rest is "train"
    - name: FaceForensics++
      data: ffpp
      rows: 5000                                         # only the first of each split
      seen: 400                                          # the first 400 are not held apart
      lists: {choose: val.json, calibrate: test.json}    # ids of source videos; the rest is "train"

A source has `parts`, or `shares` or `lists` of its training split. The parts are `train`, `choose`
(for choosing checkpoints and settings) and `calibrate` (for thresholds and the last figures). A
split that is `held_apart` is divided in two, `choose` and `calibrate`, by its source videos.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import datasets
import numpy as np
import yaml

from ..core.atomic_files import write_atomically
from ..core.errors import first_line
from ..dataset.opening import NEEDED_COLUMNS, open_split
from ..dataset.schema import FRAME_FEATURES, FrameDataError, label_numbers
from ..dataset.splits import SPLITS

PARTS = ("train", "choose", "calibrate")
HELD_APART = "held_apart"
LEFT_OUT = "left_out"
FILES = {"train": "train-00000.parquet"} | {part: f"{part}.parquet" for part in PARTS[1:]}
KEPT_COLUMNS = ("image", "source_image", "landmarks")
DIVISIONS = ("parts", "shares", "lists")

Counts = dict[str, dict[str, int]]  # part -> source -> rows


@dataclass(frozen=True)
class Source:
    """One source of a recipe.

    Attributes:
        name: becomes the column `dataset` and the beginning of every video id.
        data: folder or file of Parquet, relative to the root.
        parts: split -> part, or `HELD_APART`.
        shares: part -> share of the source videos, in [0, 1].
        lists: part -> JSON file with ids of source videos, relative to the root.
        genuine: whether the rows are genuine pictures without labels.
        group: the column of a genuine source whose values stay in one part.
        rows: how many rows of each split are used, from the beginning; None for all.
        seen: how many rows of each split, from the beginning, the initial model was trained on.
            Rows among these that would be held apart are left out.
    """

    name: str
    data: str
    parts: Mapping[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    genuine: bool = False
    group: str | None = None
    rows: int | None = None
    seen: int = 0

    @property
    def splits(self) -> Sequence[str]:
        """The splits that are used."""
        return list(self.parts) or ["train"]


def read_recipe(path: Path) -> list[Source]:
    """Read a recipe from a YAML file.

    Raises:
        FrameDataError: the file cannot be read or is malformed; the message names the source.
    """
    try:
        items = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise FrameDataError(f"Recipe '{path}' cannot be read: {first_line(error)}") from error
    if not isinstance(items, list) or not items:
        raise FrameDataError(f"Recipe '{path}' must be a list of sources.")
    sources = [_read_source(item, number) for number, item in enumerate(items, start=1)]
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FrameDataError(f"Recipe '{path}' has two sources named '{twice}'.")
    return sources


def _read_source(item: object, number: int) -> Source:
    """Check one item of a recipe; `number` counts from 1."""

    def wrong(problem: str) -> FrameDataError:
        name = item.get("name") if isinstance(item, dict) else None
        return FrameDataError(f"Source {name or number} of the recipe {problem}.")

    if not isinstance(item, dict):
        raise wrong("must be a mapping with name and data")
    known = [option.name for option in fields(Source)]
    unknown = next((key for key in item if key not in known), None)
    if unknown is not None:
        raise wrong(f"has the unknown key '{unknown}'; known are {', '.join(known)}")
    for key in ("name", "data"):
        if not isinstance(item.get(key), str) or not item[key]:
            raise wrong(f"needs a {key}")
    divisions = [key for key in DIVISIONS if key in item]
    if len(divisions) > 1:
        raise wrong(f"has both {divisions[0]} and {divisions[1]}")
    for key in divisions:
        if not isinstance(item[key], dict) or not item[key]:
            raise wrong(f"must have a mapping as {key}")
    source = Source(**item)
    for split, part in source.parts.items():
        if split not in SPLITS:
            raise wrong(f"names the unknown split '{split}'; known are {', '.join(SPLITS)}")
        if part not in (*PARTS, HELD_APART):
            raise wrong(f"names the unknown part '{part}'; known are {', '.join(PARTS)}")
    for part in (*source.shares, *source.lists):
        if part not in PARTS[1:]:
            raise wrong(f"divides off the unknown part '{part}'; known are choose, calibrate")
    numbers = list(source.shares.values())
    if not all(isinstance(n, int | float) and 0 <= n <= 1 for n in numbers) or sum(numbers) > 1:
        raise wrong("must have shares between 0 and 1 that sum to 1 at most")
    if not all(isinstance(name, str) for name in source.lists.values()):
        raise wrong("must have names of JSON files as lists")
    if not isinstance(source.genuine, bool):
        raise wrong("must have true or false as genuine")
    if source.group is not None and not (source.genuine and isinstance(source.group, str)):
        raise wrong("may have a group, the name of a column, only if it is genuine")
    if source.rows is not None and (type(source.rows) is not int or source.rows < 1):
        raise wrong("must have a positive number as rows")
    if type(source.seen) is not int or source.seen < 0:
        raise wrong("must have a number of rows as seen")
    return source


def join_collections(recipe: Sequence[Source], root: Path, out: Path) -> Counts:
    """Write the parts of all sources, one file each; nothing is written if a source is refused.

    Args:
        recipe: from `read_recipe`.
        root: the folder below which the sources' data and lists lie.
        out: the folder for the files, made if missing.

    Returns:
        the rows of each part by source, and those left out; every used row is in exactly one.

    Raises:
        FrameDataError: a source is missing or cannot be used, a part is empty, or a video is in
            two parts.
    """
    collected: dict[str, list[datasets.Dataset]] = {part: [] for part in PARTS}
    counts: Counts = {part: {} for part in (*PARTS, LEFT_OUT)}
    for source in recipe:
        part_of: dict[str, str] = {}
        for split in source.splits:
            rows = _open_source(source, split, root)
            chosen = choose_parts(source, split, rows["source_video_id"][:], root)
            for number in range(min(source.seen, len(chosen))):
                chosen[number] = "train" if chosen[number] == "train" else LEFT_OUT
            for video_id, part in zip(rows["video_id"][:], chosen, strict=True):
                if part_of.setdefault(video_id, part) != part:
                    raise FrameDataError(
                        f"Video '{video_id}' is in two parts, {part_of[video_id]} and {part}."
                    )
            for part in (*PARTS, LEFT_OUT):
                numbers = np.flatnonzero(np.array(chosen) == part)
                if len(numbers) and part in PARTS:
                    collected[part].append(rows.select(numbers))
                if len(numbers):
                    counts[part][source.name] = counts[part].get(source.name, 0) + len(numbers)
    empty = next((part for part in PARTS if not collected[part]), None)
    if empty is not None:
        raise FrameDataError(f"The recipe leaves the part '{empty}' empty.")
    out.mkdir(parents=True, exist_ok=True)
    for part, found in collected.items():
        with write_atomically(out / FILES[part]) as file:
            datasets.concatenate_datasets(found).to_parquet(file)
    return counts


def _open_source(source: Source, split: str, root: Path) -> datasets.Dataset:
    """Open one split of a source, with the columns of `FRAME_FEATURES` and unique ids."""
    needed = ("image", source.group) if source.group else ("image",)
    rows = open_split(
        str(root / source.data), split, needed_columns=needed if source.genuine else NEEDED_COLUMNS
    )
    if source.rows is not None:
        rows = rows.select(range(min(source.rows, len(rows))))
    count = len(rows)
    light = rows.remove_columns([name for name in rows.column_names if name in KEPT_COLUMNS])
    values = light[:] if light.column_names else {}
    nothing = [None] * count
    labels = np.zeros(count, np.int64)
    if "label" in values:
        labels = label_numbers(values["label"], rows.features["label"])
    if source.genuine:
        if labels.any():
            raise FrameDataError(f"Source {source.name} is given as genuine, but has fake rows.")
        videos = [f"{split}-{number:06d}" for number in range(count)]
        sources = [str(value) for value in values[source.group]] if source.group else videos
    else:
        videos = [str(video) for video in values["video_id"]]
        sources = [
            str(known) if known else video
            for known, video in zip(values.get("source_video_id", videos), videos, strict=True)
        ]
    columns = {
        "label": labels.tolist(),
        "method": values.get("method", nothing),
        "video_id": [f"{source.name}/{video}" for video in videos],
        "source_video_id": [f"{source.name}/{known}" for known in sources],
        "frame_index": values.get("frame_index", nothing),
        "time_s": values.get("time_s", nothing),
        "dataset": [source.name] * count,
        "compression": values.get("compression", nothing),
    }
    rows = rows.select_columns([name for name in KEPT_COLUMNS if name in rows.column_names])
    for name, column in columns.items():
        rows = rows.add_column(name, column, feature=FRAME_FEATURES[name])
    for name in KEPT_COLUMNS[1:]:
        if name in rows.column_names:
            rows = rows.cast_column(name, FRAME_FEATURES[name])
    return rows


def choose_parts(source: Source, split: str, keys: Sequence[str], root: Path) -> list[str]:
    """Choose the part of each row.

    Args:
        source: where the rows come from.
        split: the split they are in.
        keys: the source video of each row, as "<name>/<id>"; rows of one key stay together.
        root: the folder below which the lists lie.

    Raises:
        FrameDataError: a list cannot be read, or an id is in two lists.
    """
    if source.lists:
        listed = {part: _listed_ids(root / file) for part, file in source.lists.items()}
        twice = set.intersection(*listed.values()) if len(listed) > 1 else set()
        if twice:
            raise FrameDataError(f"Video '{min(twice)}' is in two lists of source {source.name}.")
        bare = [key.removeprefix(f"{source.name}/") for key in keys]
        return [next((p for p, ids in listed.items() if b in ids), "train") for b in bare]
    places = [_place(key) for key in keys]
    if source.shares:
        choose = source.shares.get("choose", 0)
        both = choose + source.shares.get("calibrate", 0)
        return ["choose" if p < choose else "calibrate" if p < both else "train" for p in places]
    part = source.parts.get(split, "train")
    if part == HELD_APART:
        return ["choose" if place < 0.5 else "calibrate" for place in places]
    return [part] * len(keys)


def _place(key: str) -> float:
    """Return a number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def _listed_ids(path: Path) -> set[str]:
    """Read the ids in a JSON file of lists, which may be nested."""
    try:
        todo = [json.loads(path.read_text())]
    except (OSError, ValueError) as error:
        raise FrameDataError(f"List '{path}' cannot be read: {first_line(error)}") from error
    found: set[str] = set()
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo.extend(item)
        else:
            found.add(str(item))
    return found
