"""Several collections joined into one, each row in exactly one part."""

import json
from collections import Counter
from pathlib import Path

import datasets
import pytest
import yaml
from datasets import Dataset

from caddm_hf.dataset.frame_table import FrameTable
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError
from caddm_hf.preparation.joining import PARTS, choose_parts, join_collections, read_recipe
from data_scripts import join_collections as script
from support.made_collection import made_rows

VIDEOS = 12
RECIPE = [
    {"name": "Both splits", "data": "both",
     "parts": {"train": "train", "validation": "held_apart"}},
    {"name": "Tested", "data": "tested", "parts": {"train": "train", "test": "calibrate"}},
    {"name": "Portraits", "data": "portraits", "genuine": True, "group": "person",
     "shares": {"choose": 0.3, "calibrate": 0.3}},
    {"name": "Listed", "data": "listed", "lists": {"choose": "val.json", "calibrate": "test.json"}},
    {"name": "Few", "data": "listed", "rows": 6, "parts": {"train": "train"}},
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name, splits in (
        ("both", "train validation"),
        ("tested", "train test"),
        ("listed", "train"),
    ):
        (folder / name).mkdir()
        for seed, split in enumerate(splits.split()):
            rows = list(made_rows(VIDEOS, 1, seed, side=48))
            Dataset.from_list(rows, features=FRAME_FEATURES).to_parquet(
                folder / name / f"{split}-0.parquet"
            )
    pictures = [row["image"] for row in made_rows(VIDEOS, 1, 9, side=48)][::2]
    portraits = {"image": pictures * 2, "person": [f"p{n}" for n in range(VIDEOS)] * 2}
    (folder / "portraits").mkdir()
    Dataset.from_dict(portraits).cast_column("image", datasets.Image()).to_parquet(
        folder / "portraits" / "train.parquet"
    )
    (folder / "val.json").write_text(json.dumps([["made/original/0-000", "x"]]))
    (folder / "test.json").write_text(json.dumps([["made/original/0-001"], "made/original/0-002"]))
    return folder


def write_recipe(folder: Path, recipe: object) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def test_every_row_ends_in_exactly_one_part(root: Path, tmp_path: Path):
    recipe = read_recipe(write_recipe(tmp_path, RECIPE))
    counts = join_collections(recipe, root, tmp_path / "joined")
    tables = {}
    for part in PARTS:
        (file,) = (tmp_path / "joined").glob(f"{part}*.parquet")
        tables[part] = FrameTable(open_split(str(file), "train"))
        assert counts[part] == Counter(tables[part].datasets)
    total = {name: sum(counts[part].get(name, 0) for part in PARTS) for name in
             ("Both splits", "Tested", "Portraits", "Listed", "Few")}  # fmt: skip
    rows = 2 * VIDEOS
    assert total == {
        "Both splits": 2 * rows, "Tested": 2 * rows, "Portraits": rows, "Listed": rows, "Few": 6
    }  # fmt: skip
    sources = {part: set(table.source_ids) for part, table in tables.items()}
    assert not sources["choose"] & sources["calibrate"]
    for part in ("choose", "calibrate"):
        assert not sources["train"] & sources[part]
    assert counts["choose"]["Listed"] == 2
    assert counts["calibrate"]["Listed"] == 4
    assert set(counts["calibrate"]) >= {"Both splits", "Tested", "Portraits", "Listed"}
    people = [s for t in tables.values() for s in t.source_ids if s.startswith("Portraits/")]
    assert set(Counter(people).values()) == {2}
    assert all(v.startswith(f"{d}/") for v, d in zip(tables["train"].video_ids,
               tables["train"].datasets, strict=True))  # fmt: skip
    assert tables["train"].has_source.any()
    assert tables["train"].row(0).points_xy is not None


def test_parts_depend_on_nothing_but_the_source_video(root: Path, tmp_path: Path):
    (source,) = read_recipe(write_recipe(tmp_path, RECIPE[:1]))
    keys = [f"Both splits/{number}" for number in range(400)]
    chosen = choose_parts(source, "validation", keys, root)
    assert choose_parts(source, "validation", keys[::-1], root) == chosen[::-1]
    assert 160 < chosen.count("choose") < 240
    assert set(chosen) == {"choose", "calibrate"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"name": "a"}, "must be a list of sources"),
        ([], "must be a list of sources"),
        (["a"], "Source 1 of the recipe must be a mapping"),
        ([{"name": "a"}], "Source a of the recipe needs a data"),
        ([{"name": "a", "data": "b", "colour": 1}], "unknown key 'colour'"),
        ([{"name": "a", "data": "b", "parts": {"train": "learn"}}], "unknown part 'learn'"),
        ([{"name": "a", "data": "b", "parts": {"rest": "train"}}], "unknown split 'rest'"),
        ([{"name": "a", "data": "b", "parts": ["train"]}], "a mapping as parts"),
        ([{"name": "a", "data": "b", "shares": {"train": 0.5}}], "unknown part 'train'"),
        ([{"name": "a", "data": "b", "shares": {"choose": 0.6, "calibrate": 0.6}}], "sum to 1"),
        ([{"name": "a", "data": "b", "shares": {"choose": "x"}}], "between 0 and 1"),
        ([{"name": "a", "data": "b", "lists": {"choose": 3}}], "names of JSON files"),
        (
            [{"name": "a", "data": "b", "shares": {"choose": 1}, "lists": {"choose": "x"}}],
            "both shares and lists",
        ),
        ([{"name": "a", "data": "b", "group": "c"}], "only if it is genuine"),
        ([{"name": "a", "data": "b", "rows": 0}], "a positive number as rows"),
        ([{"name": "a", "data": "b"}] * 2, "two sources named 'a'"),
    ],
)
def test_a_malformed_recipe_is_refused_in_a_sentence(tmp_path: Path, recipe, message: str):
    with pytest.raises(FrameDataError, match=message) as refused:
        read_recipe(write_recipe(tmp_path, recipe))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "nowhere"}, "neither a folder"),
        ({"parts": {"test": "choose"}}, "has no test split"),
        (
            {"parts": {"train": "train", "validation": "choose"}},
            "leaves the part 'calibrate' empty",
        ),
        ({"lists": {"choose": "none.json"}, "parts": None}, r"List '.*none.json' cannot be read"),
        ({"genuine": True}, "given as genuine, but has fake rows"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused(
    root: Path, tmp_path: Path, change: dict, message: str
):
    item = {key: value for key, value in (RECIPE[0] | change).items() if value is not None}
    recipe = read_recipe(write_recipe(tmp_path, [item]))
    with pytest.raises(FrameDataError, match=message):
        join_collections(recipe, root, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_a_video_in_two_parts_is_refused(root: Path, tmp_path: Path):
    folder = tmp_path / "leaking"
    folder.mkdir()
    rows = Dataset.from_list(list(made_rows(2, 1, 0, side=48)), features=FRAME_FEATURES)
    for split in ("train", "test"):
        rows.to_parquet(folder / f"{split}.parquet")
    item = {"name": "a", "data": "leaking", "parts": {"train": "train", "test": "choose"}}
    with pytest.raises(FrameDataError, match="'a/made/original/0-000' is in two parts, train and"):
        join_collections(read_recipe(write_recipe(tmp_path, [item])), tmp_path, tmp_path / "x")


def test_a_source_video_in_two_lists_is_refused(root: Path, tmp_path: Path):
    item = {"name": "a", "data": "listed", "lists": {"choose": "val.json", "calibrate": "val.json"}}
    with pytest.raises(FrameDataError, match="is in two lists of source a"):
        join_collections(read_recipe(write_recipe(tmp_path, [item])), root, tmp_path / "x")


def test_the_script_prints_the_counts_or_one_sentence(root: Path, tmp_path: Path, capsys):
    recipe = write_recipe(tmp_path, RECIPE)
    arguments = [str(recipe), "--root", str(root), "--out", str(tmp_path / "joined")]
    assert script.main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("train: ")
    assert "    Few: 6" in printed
    assert script.main([str(tmp_path / "none.yaml"), *arguments[1:]]) == 2
    assert capsys.readouterr().err.startswith("error: Recipe ")
    with pytest.raises(SystemExit, match="2"):
        script.main([str(recipe), "--root", str(tmp_path / "none"), "--out", "x"])


def test_rows_seen_before_are_never_held_apart(root: Path, tmp_path: Path):
    portraits = {"name": "P", "data": "portraits", "genuine": True}
    shares = {"choose": 0.4, "calibrate": 0.4}
    both = {"name": "B", "data": "both", "parts": {"train": "train", "validation": "held_apart"}}
    counts = {}
    for name, seen in (("none", 0), ("some", VIDEOS)):
        recipe = write_recipe(tmp_path, [both, portraits | {"shares": shares, "seen": seen}])
        counts[name] = join_collections(read_recipe(recipe), root, tmp_path / name)
    held = [f"P/train-{number:06d}" for number in range(VIDEOS)]
    for part in ("choose", "calibrate"):
        found = datasets.Dataset.from_parquet(str(tmp_path / "some" / f"{part}.parquet"))
        assert not set(found["video_id"][:]) & set(held)
    assert counts["some"]["train"]["P"] == counts["none"]["train"]["P"]
    total = {name: sum(of.get("P", 0) for of in found.values()) for name, found in counts.items()}
    assert total["some"] == total["none"]
