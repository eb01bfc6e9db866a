"""Genuine pictures joined to a collection, and a validation split divided by source video."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from datasets import ClassLabel, Dataset, Features, Image

from caddm_hf.dataset.frame_table import FrameTable
from caddm_hf.dataset.genuine import join_genuine_pictures
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.schema import FrameDataError
from data_scripts.join_genuine_pictures import main as join
from data_scripts.split_by_source import in_first_part, main
from support.made_collection import draw_face, png_picture, write_collection


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("made"), 4, 12, frames=2)


def write_pictures(folder: Path, count: int, label: int | None = None) -> Path:
    rng = np.random.default_rng(3)
    columns = {"image": [png_picture(draw_face(rng)[0]) for _ in range(count)]}
    features = {"image": Image()}
    if label is not None:
        columns["label"] = [label] * count
        features["label"] = ClassLabel(names=["fake", "real"])
    folder.mkdir()
    Dataset.from_dict(columns, features=Features(features)).to_parquet(folder / "train.parquet")
    return folder


def test_pictures_become_genuine_rows_of_their_own(collection: Path, tmp_path: Path):
    rows = open_split(str(collection), "train")
    pictures = write_pictures(tmp_path / "portraits", 5)
    table = FrameTable(join_genuine_pictures(rows, str(pictures), limit=3))
    assert len(table) == len(rows) + 3
    assert (table.labels[-3:] == 0).all()
    assert table.video_ids[-3:] == [f"portraits/{number:06d}" for number in range(3)]
    assert table.source_ids[-3:] == table.video_ids[-3:]
    assert table.labels[:-3].tolist() == FrameTable(rows).labels.tolist()
    expected = draw_face(np.random.default_rng(3))[0]
    assert np.array_equal(table.image_rgb(len(rows)), expected)
    assert table.landmarks(len(rows)) is None  # to be searched for


def test_labels_that_say_real_are_accepted_whatever_their_number(collection, tmp_path: Path):
    rows = open_split(str(collection), "train")
    joined = join_genuine_pictures(rows, str(write_pictures(tmp_path / "p", 2, label=1)))
    assert len(joined) == len(rows) + 2


def test_forged_pictures_are_refused(collection: Path, tmp_path: Path):
    rows = open_split(str(collection), "train")
    with pytest.raises(FrameDataError, match="some rows are labelled fake"):
        join_genuine_pictures(rows, str(write_pictures(tmp_path / "p", 2, label=0)))


def test_pictures_of_several_origins_become_one_file(tmp_path: Path, capsys):
    names = [str(write_pictures(tmp_path / name, 3)) for name in ("portraits", "press")]
    out = tmp_path / "new" / "genuine.parquet"
    assert join([*names, "--rows", "2", "1", "--out", str(out)]) == 0
    assert f"{names[0]}: 2 pictures" in capsys.readouterr().out
    rows = open_split(str(out), "train", needed_columns=("image",))
    assert rows.column_names == ["image"]
    rng = np.random.default_rng(3)
    first, second = (draw_face(rng)[0] for _ in range(2))
    for number, expected in enumerate((first, second, first)):
        stored = PIL.Image.open(io.BytesIO(rows[number]["image"]["bytes"]))
        assert np.array_equal(np.array(stored), expected)
    assert join([*names, "--out", str(out)]) == 0
    assert len(open_split(str(out), "train", needed_columns=("image",))) == 6


def test_a_file_of_pictures_is_not_begun_with_forged_ones(tmp_path: Path, capsys):
    names = [str(write_pictures(tmp_path / name, 2, label)) for name, label in (("a", 1), ("b", 0))]
    out = tmp_path / "genuine.parquet"
    assert join([*names, "--out", str(out)]) == 2
    assert "some rows are labelled fake" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("rows", [["1"], ["0", "1"]])
def test_numbers_of_rows_must_fit(rows, tmp_path: Path, capsys):
    with pytest.raises(SystemExit, match="2"):
        join(["a", "b", "--rows", *rows, "--out", str(tmp_path / "genuine.parquet")])
    assert "--rows" in capsys.readouterr().err


def test_a_collection_is_divided_by_source_video(collection: Path, tmp_path: Path, capsys):
    assert main([str(collection), "--out", str(tmp_path)]) == 0
    first, second = (
        FrameTable(open_split(str(tmp_path / f"{name}.parquet"), "train"))
        for name in ("validation", "test")
    )
    whole = FrameTable(open_split(str(collection), "validation"))
    assert len(first) + len(second) == len(whole)
    assert sorted(first.video_ids + second.video_ids) == sorted(whole.video_ids)
    assert set(first.source_ids).isdisjoint(second.source_ids)
    assert first.labels.any()
    assert second.labels.any()
    assert f"{len(first)} rows" in capsys.readouterr().out


def test_shares_are_of_source_videos():
    chosen = [in_first_part(f"video-{number}", 0.3) for number in range(4000)]
    assert 0.27 < np.mean(chosen) < 0.33


def test_a_part_without_rows_is_refused(collection: Path, tmp_path: Path, capsys):
    arguments = [str(collection), "--out", str(tmp_path / "parts"), "--share", "0.0001"]
    assert main(arguments) == 2
    assert "No row is left" in capsys.readouterr().err
    assert not (tmp_path / "parts").exists()
