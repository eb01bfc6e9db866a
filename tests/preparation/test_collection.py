"""The collection: resumed after a kill at any point, refused where it does not fit, loadable."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.dirfs import DirFileSystem

from caddm_hf.augmentation.facial_swap import make_training_sample
from caddm_hf.dataset.frame_table import FrameTable
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.schema import FRAME_FEATURES
from caddm_hf.preparation import collection, video_rows
from data_scripts.build_frame_dataset import main
from support.made_datasets import (
    MadeVideos,
    make_caddm_frames,
    make_celeb_df,
    make_dfdc,
    make_dfdc_preview,
    make_faceforensics,
    make_folder,
    make_listed_folder,
)

COMMON = ("--frames", "3", "--workers", "0")


class Killed(BaseException):
    """Nothing is cleaned up after it, as after SIGKILL."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> MadeVideos:
    return MadeVideos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory, videos: MadeVideos) -> Path:
    """Celeb-DF with a video of which nothing comes, in three groups of two splits."""
    root = make_celeb_df(tmp_path_factory.mktemp("trees") / "celeb", videos)
    videos.put("broken", root / "YouTube-real" / "00001.mp4")
    return root


@pytest.fixture(autouse=True)
def rows_made_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """Rows are made once for all tests; the fixture counts how often they were asked for."""
    asked: Counter = Counter()
    make = video_rows.video_group_rows

    def remembered(tree, records, options, unusable):
        assert not unusable  # there is no worker to lose
        asked[records[0].path] += 1
        key = (tree.path, tuple(records), options)
        if key not in _ROWS:
            _ROWS[key] = make(tree, records, options)
        return _ROWS[key]

    monkeypatch.setattr(video_rows, "video_group_rows", remembered)
    monkeypatch.setattr(video_rows, "use_one_thread", lambda: None)
    return asked


_ROWS: dict = {}


def build(root: Path, out: Path, *options: str, name: str = "celeb-df") -> int:
    return main([name, "--root", str(root), "--out", str(out), *COMMON, *options])


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a collection but the lock."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, tree: Path) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("unbroken")
    assert build(tree, out, "--allowed_failures", "0.2") == 0
    return contents(out)


# --- resuming ----------------------------------------------------------------------------


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Raises `Killed` at a step of writing; returns the list of steps, filled as they come.

    The steps are each renaming of a finished file, before and after it, and each removal.
    """
    steps: list[str] = []
    rename, unlink = Path.replace, Path.unlink
    rm_file, rm = DirFileSystem.rm_file, DirFileSystem.rm

    def take(what: str) -> None:
        steps.append(what)
        if len(steps) == step:
            raise Killed

    def watched_replace(self, target):
        take(f"before {target}")
        rename(self, target)
        take(f"after {target}")

    def watched_unlink(self, missing_ok=False):
        if len(steps) != step:
            unlink(self, missing_ok)

    def watched_rm_file(self, path):
        take(f"removal of {path}")
        rm_file(self, path)

    def watched_rm(self, path, *args, **kwargs):
        take(f"removal of {path}")
        rm(self, path, *args, **kwargs)

    monkeypatch.setattr(Path, "replace", watched_replace)
    monkeypatch.setattr(Path, "unlink", watched_unlink)
    monkeypatch.setattr(DirFileSystem, "rm_file", watched_rm_file)
    monkeypatch.setattr(DirFileSystem, "rm", watched_rm)
    return steps


def test_killed_at_every_step(tmp_path: Path, tree: Path, unbroken: dict[str, bytes]) -> None:
    step = 0
    while True:
        step += 1
        out = tmp_path / str(step)
        with pytest.MonkeyPatch.context() as patch:
            steps = kill_at(patch, step)
            try:
                build(tree, out)
            except Killed:
                killed = True
            else:
                killed = False
        if not killed:
            break
        assert build(tree, out, "--allowed_failures", "0.2") == 0
        assert contents(out) == unbroken, steps[-1]
    # Plan, three pieces, two shards, list, card and manifest, before and after each, and the
    # removal of pieces and build folder.
    assert step - 1 == len(steps) >= 2 * 9 + 4


def test_only_what_is_missing_is_made(
    tmp_path: Path, tree: Path, rows_made_once: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, 6)  # after the second piece
        with pytest.raises(Killed):
            build(tree, tmp_path)
    assert rows_made_once.total() == 2
    build(tree, tmp_path)
    assert rows_made_once.total() == 3
    assert set(rows_made_once.values()) == {1}
    build(tree, tmp_path)
    assert rows_made_once.total() == 3


def test_a_fault_of_the_machine_leaves_the_rest(
    tmp_path: Path, tree: Path, unbroken: dict[str, bytes], monkeypatch, capsys
) -> None:
    make = video_rows.video_group_rows

    def fail_once(tree, records, options, unusable):
        if records[0].path.startswith("Celeb-real/id1"):
            raise OSError("the disk is full")
        return make(tree, records, options, unusable)

    with monkeypatch.context() as patch:
        patch.setattr(video_rows, "video_group_rows", fail_once)
        assert build(tree, tmp_path) == 3
    assert "error: Celeb-real/id1_0000.mp4: OSError: the disk is full" in capsys.readouterr().err
    assert not (tmp_path / "manifest.json").exists()
    assert build(tree, tmp_path, "--allowed_failures", "0.2") == 0
    assert contents(tmp_path) == unbroken


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--frames", "4"), "was begun with frames 3, not 4"),
        (("--picture_format", "png"), "was begun with picture_format jpeg, not png"),
        (("--methods", "Celeb-DF"), "was begun with methods None, not"),
    ],
)
def test_changed_options_are_refused(
    tmp_path: Path, tree: Path, options: tuple[str, ...], words: str, capsys
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, 6)
        with pytest.raises(Killed):
            build(tree, tmp_path)
    before = contents(tmp_path)
    assert build(tree, tmp_path, *options) == 2
    assert words in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_changed_tree_is_refused(tmp_path: Path, videos: MadeVideos, capsys) -> None:
    root = make_folder(tmp_path / "tree", videos)
    assert build(root, tmp_path / "out", name="folder") == 0
    (root / "real" / "one.mp4").rename(root / "real" / "three.mp4")
    assert build(root, tmp_path / "out", name="folder") == 2
    assert "was begun with other videos" in capsys.readouterr().err


def test_a_folder_with_something_else_is_refused(tmp_path: Path, tree: Path, capsys) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert build(tree, tmp_path) == 2
    assert "is not empty and holds no collection" in capsys.readouterr().err
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


# --- what is in it -----------------------------------------------------------------------


def test_account(tmp_path: Path, tree: Path) -> None:
    build(tree, tmp_path)
    accounts = [json.loads(line) for line in (tmp_path / "videos.jsonl").open()]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert len(accounts) == manifest["videos"] == 5
    assert manifest["videos_failed"] == 1
    assert manifest["frames"] == {"wanted": 15, "kept": 12}
    assert manifest["dropped"] == {"damaged_video": 3}
    assert manifest["twins"] == {"kept": 6, "dropped": {}}
    test = {"videos": 3, "videos_failed": 1, "wanted": 9, "kept": 6}
    assert manifest["by_split"]["test"] == test
    assert manifest["by_method"]["Celeb-DF"]["kept"] == 6
    (failed,) = [account for account in accounts if account["failure"]]
    assert failed["path"] == "YouTube-real/00001.mp4"
    card = (tmp_path / "README.md").read_text()
    assert manifest["fingerprint"] in card
    assert "terms of use" in card


def test_fingerprint_is_of_the_rows(tmp_path: Path, videos: MadeVideos, monkeypatch) -> None:
    root = make_folder(tmp_path / "tree", videos)

    def fingerprint(name: str, *options: str) -> str:
        build(root, tmp_path / name, *options, name="folder")
        return json.loads((tmp_path / name / "manifest.json").read_text())["fingerprint"]

    one = fingerprint("one")
    monkeypatch.setattr(collection, "ROWS_PER_SHARD", 3)
    assert fingerprint("divided") == one
    assert len(list((tmp_path / "divided" / "data").iterdir())) == 4
    assert fingerprint("fewer", "--frames", "2") != one


LAYOUTS: dict[str, tuple[str, Callable]] = {
    "faceforensics": ("faceforensics", make_faceforensics),
    "celeb-df-v2": ("celeb-df", make_celeb_df),
    "celeb-df++": ("celeb-df", partial(make_celeb_df, plus=True)),
    "dfdc": ("dfdc", make_dfdc),
    "dfdc-preview": ("dfdc-preview", make_dfdc_preview),
    "folder": ("folder", make_folder),
    "csv": ("folder", make_listed_folder),
    "caddm-frames": ("caddm-frames", lambda root, _: make_caddm_frames(root)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_every_dataset_match_the_schema(
    tmp_path: Path, videos: MadeVideos, layout: str
) -> None:
    name, make = LAYOUTS[layout]
    root, out = make(tmp_path / "tree", videos), tmp_path / "out"
    options = ["--root", str(root), "--out", str(out), "--frames", "2", "--workers", "0"]
    assert main([name, *options]) == 0
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    videos_seen = set()
    for rows in loaded.values():
        assert rows.features == FRAME_FEATURES
        for row in rows:
            width, height = row["image"].size
            points_xy = np.array(row["landmarks"])
            inside = (points_xy >= 0) & (points_xy <= (width, height))
            assert inside.mean() > 0.9
            assert (row["method"] is None) == (row["label"] == 0)
            if row["label"] == 0:
                assert row["source_video_id"] == row["video_id"]
                assert row["source_image"] is None
            elif row["source_image"] is not None:
                assert row["source_image"].size == row["image"].size
                assert row["source_video_id"] != row["video_id"]
            videos_seen.add((row["dataset"], row["video_id"]))
    accounts = [json.loads(line) for line in (out / "videos.jsonl").open()]
    assert len(videos_seen) == len(accounts)
    assert sum(map(len, loaded.values())) == 2 * len(accounts)


def test_files_follow_from_the_rows(unbroken: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    path.write_bytes(unbroken["data/train-00000-of-00001.parquet"])
    with pq.ParquetFile(path) as parquet:
        assert parquet.num_row_groups == 2  # one a video
        assert parquet.schema_arrow.names == list(FRAME_FEATURES)
        accounts = json.loads(parquet.metadata.metadata[b"caddm_videos"])
        table = parquet.read()
    assert [account["frames_kept"] for account in accounts] == [3, 3]
    rows = table.slice(0, 3).to_pylist()
    for row in rows:
        row["label"] = int(row["label"])
    assert video_rows.rows_digest(rows) == accounts[0]["digest"]
    assert hashlib.sha256().hexdigest() != accounts[0]["digest"]


# --- loading -----------------------------------------------------------------------------


def test_load_from_disk_and_streaming(tmp_path: Path, tree: Path) -> None:
    out = tmp_path / "out"
    build(tree, out)
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 6, "test": 6}
    assert loaded["train"].features == FRAME_FEATURES
    row = loaded["train"][3]
    assert row["label"] == FRAME_FEATURES["label"].str2int("fake")
    assert row["image"].size == row["source_image"].size
    streamed = list(datasets.load_dataset(str(out), split="train", streaming=True))
    assert [other["frame_index"] for other in streamed] == loaded["train"]["frame_index"][:]
    assert np.array_equal(np.asarray(streamed[3]["image"]), np.asarray(row["image"]))


def test_training_reads_it(tmp_path: Path, tree: Path) -> None:
    build(tree, tmp_path)
    table = FrameTable(open_split(str(tmp_path), "train"))
    assert table.landmarks_known().all()
    assert table.has_source.tolist() == [False] * 3 + [True] * 3
    kinds = Counter()
    rng = np.random.default_rng(3)
    for number in range(6):
        row = table.row(number)
        assert row.label == 0 or row.is_same_frame()
        for _ in range(4):
            sample = make_training_sample(
                row.image_rgb, row.points_xy, row.label, rng, source_rgb=row.source_rgb
            )
            kinds[sample.kind.split("-")[0]] += 1
    assert kinds["genuine"] == 12
    assert kinds["global"] > 0
    assert open_split(str(tmp_path), "test").num_rows == 6


def test_a_split_of_which_nothing_comes(tmp_path: Path, videos: MadeVideos) -> None:
    root = make_faceforensics(tmp_path / "tree", videos, methods=())
    for path in (root / "original_sequences/youtube/c23/videos").glob("01*.mp4"):
        videos.put("broken", path)
    out = tmp_path / "out"
    assert build(root, out, "--allowed_failures", "0.5", name="faceforensics") == 0
    assert set(datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))) == {"train"}
    assert build(root, out, "--allowed_failures", "0.5", name="faceforensics") == 0


def test_nothing_at_all_comes(tmp_path: Path, videos: MadeVideos, capsys) -> None:
    videos.put("broken", tmp_path / "tree" / "real" / "one.mp4")
    options = ("--allowed_failures", "1")
    assert build(tmp_path / "tree", tmp_path / "out", *options, name="folder") == 1
    assert "1 of 1 videos failed" in capsys.readouterr().err
