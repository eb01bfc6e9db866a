"""Join frame collections of several origins, each divided into parts, into one collection.

    python data_scripts/join_collections.py RECIPE.yaml --root DIR --out WORLD

The recipe is a list of sources, each with its name and its data below DIR:

    - name: Celeb-DF v2        # becomes the column `dataset`
      data: celeb_df_crops     # folder or file of Parquet below --root, or below its `root`
      parts: {train: train, validation: held_apart}

`parts` says what becomes of each split: `train`, `choose`, `calibrate`, or `held_apart`, which is
divided in two, by source video, into `choose` and `calibrate`. Instead of `parts` a source may have

      shares: {choose: 0.2, calibrate: 0.2}   # of the source videos; the rest is trained on
      lists: {choose: val.json, calibrate: test.json}   # ids of source videos

`genuine: true` marks pictures without labels that are all genuine; `group` names the column that
must stay together (a person, say). `rows` takes only the first so many rows of each split.

Written are `train-00000.parquet`, `choose.parquet` and `calibrate.parquet`.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

if __name__ == "__main__":  # the repository, not this folder, is where modules are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import datasets
import numpy as np
import yaml

from caddm_hf.core.atomic_files import write_atomically
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError, label_numbers

PARTS = ("train", "choose", "calibrate")
FILES = {
    "train": "train-00000.parquet",
    "choose": "choose.parquet",
    "calibrate": "calibrate.parquet",
}


def place(key: str) -> float:
    """A number in [0, 1) that depends on nothing but the key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def _listed_ids(path: Path) -> set[str]:
    """Ids in a JSON file, however deep its lists."""
    found: set[str] = set()
    todo = [json.loads(path.read_text())]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo.extend(item)
        else:
            found.add(str(item))
    return found


def normalised(rows: datasets.Dataset, source: dict, split: str) -> datasets.Dataset:
    """Rows with all columns of `FRAME_FEATURES`; ids are made unique by the source's name."""
    name = source["name"]
    count = len(rows)
    known = rows.remove_columns(
        [c for c in rows.column_names if c in ("image", "source_image", "landmarks")]
    )
    light = known[:] if known.column_names else {}
    if source.get("genuine"):
        labels = np.zeros(count, np.int64)
        videos = [f"{split}-{number:06d}" for number in range(count)]
        sources = [str(v) for v in light[source["group"]]] if source.get("group") else videos
    else:
        labels = label_numbers(light["label"], rows.features["label"])
        videos = [str(v) for v in light["video_id"]]
        sources = [
            str(s) if s else v
            for s, v in zip(light.get("source_video_id", videos), videos, strict=True)
        ]
    nothing = [None] * count
    columns = {
        "label": labels.tolist(),
        "method": light.get("method", nothing),
        "video_id": [f"{name}/{v}" for v in videos],
        "source_video_id": [f"{name}/{s}" for s in sources],
        "frame_index": light.get("frame_index", nothing),
        "time_s": light.get("time_s", nothing),
        "dataset": [name] * count,
        "compression": light.get("compression", nothing),
    }
    pictures = rows.select_columns(
        [c for c in ("image", "source_image", "landmarks") if c in rows.column_names]
    )
    for column, values in columns.items():
        pictures = pictures.add_column(column, values, feature=FRAME_FEATURES[column])
    for column in ("source_image", "landmarks"):
        if column in pictures.column_names:
            pictures = pictures.cast_column(column, FRAME_FEATURES[column])
    return pictures


def divide(
    rows: datasets.Dataset, source: dict, split: str, root: Path
) -> dict[str, datasets.Dataset]:
    """The rows of one split by part."""
    keys = rows.select_columns(["source_video_id"])["source_video_id"][:]
    part = source.get("parts", {}).get(split, "train")
    if "lists" in source:
        listed = {p: _listed_ids(root / f) for p, f in source["lists"].items()}
        bare = [key.split("/", 1)[1] for key in keys]
        chosen = [next((p for p, ids in listed.items() if b in ids), "train") for b in bare]
    elif "shares" in source:
        limit_choose = source["shares"].get("choose", 0)
        limit_both = limit_choose + source["shares"].get("calibrate", 0)
        places = [place(key) for key in keys]
        chosen = [
            "choose" if p < limit_choose else "calibrate" if p < limit_both else "train"
            for p in places
        ]
    elif part == "held_apart":
        chosen = ["choose" if place(key) < 0.5 else "calibrate" for key in keys]
    else:
        chosen = [part] * len(keys)
    chosen = np.array(chosen)
    return {p: rows.select(np.flatnonzero(chosen == p)) for p in PARTS if (chosen == p).any()}


def join(recipe: list[dict], root: Path, out: Path) -> dict[str, dict[str, int]]:
    """Write the parts; returns the rows of each part by source."""
    collected: dict[str, list[datasets.Dataset]] = {part: [] for part in PARTS}
    counts: dict[str, dict[str, int]] = {part: {} for part in PARTS}
    for source in recipe:
        base = Path(source["root"]) if source.get("root") else root
        needed = ("image",) if source.get("genuine") else ("image", "label", "video_id")
        for split in source.get("parts", {"train": "train"}):
            path, opened = base / source["data"], split
            if split == "test":
                (path,), opened = path.rglob("test*.parquet"), "train"
            rows = open_split(str(path), opened, needed_columns=needed)
            if rows is None:
                raise FrameDataError(f"'{source['data']}' has no {split} split.")
            if source.get("rows"):
                rows = rows.select(range(min(source["rows"], len(rows))))
            for part, found in divide(normalised(rows, source, split), source, split, root).items():
                collected[part].append(found)
                counts[part][source["name"]] = counts[part].get(source["name"], 0) + len(found)
    out.mkdir(parents=True, exist_ok=True)
    for part, found in collected.items():
        joined = datasets.concatenate_datasets(found)
        with write_atomically(out / FILES[part]) as file:
            joined.to_parquet(file)
    return counts


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="join_collections.py", description=__doc__.splitlines()[0]
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    counts = join(yaml.safe_load(options.recipe.read_text()), options.root, options.out)
    for part, by_source in counts.items():
        print(part, sum(by_source.values()), by_source)
    return 0


if __name__ == "__main__":
    sys.exit(main())
