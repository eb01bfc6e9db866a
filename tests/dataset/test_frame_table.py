"""Collections: what a row is, and how the genuine frames of forged rows are found."""

from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Image, Value

from caddm_hf.dataset.frame_table import FrameRow, FrameTable
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.pictures import decode_picture
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError, label_numbers
from support.made_collection import draw_face, forge_face, made_rows, write_crops


def test_a_collection_is_read_as_it_was_written(drawn_collection: Path, drawn_table: FrameTable):
    table = drawn_table
    validation = FrameTable(open_split(str(drawn_collection), "validation"))
    assert len(table) == 16
    assert len(validation) == 8
    assert table.labels.tolist() == [0, 1] * 8
    assert table.video_ids[:2] == ["made/original/1-000", "made/patch/1-000"]
    assert table.source_ids[1] == "made/original/1-000"
    expected, points_xy = draw_face(np.random.default_rng([1, 0, 0]), 80)
    genuine, fake = table.row(0), table.row(1)
    assert np.array_equal(genuine.image_rgb, expected)
    assert genuine.source_rgb is None
    assert np.allclose(genuine.points_xy, points_xy, atol=1e-4)
    assert np.array_equal(fake.source_rgb, expected)
    assert not np.array_equal(fake.image_rgb, expected)
    assert fake.label == 1
    assert table.landmarks_known().all()
    assert table.has_source.tolist() == [False, True] * 8


def test_a_streamed_split_has_the_same_rows(drawn_collection: Path, drawn_table: FrameTable):
    stream = open_split(str(drawn_collection), "train", streaming=True)
    rows = list(stream)
    assert [row["video_id"] for row in rows] == drawn_table.video_ids
    assert np.array_equal(decode_picture(rows[1]["image"]), drawn_table.image_rgb(1))


def test_fakes_find_their_genuine_twin(tmp_path: Path):
    table = FrameTable(open_split(str(write_crops(tmp_path / "crops")), "train"))
    assert table.twins.tolist() == [-1, 0, -1, 2, -1, 4]
    assert np.array_equal(table.row(3).source_rgb, table.image_rgb(2))
    assert not table.landmarks_known().any()

    def lose_source(row):
        lost = row["label"] == "fake" and "002" in row["video_id"]
        return row | ({"source_video_id": "gone"} if lost else {})

    lonely = FrameTable(open_split(str(write_crops(tmp_path / "b", lose_source)), "train"))
    assert lonely.twins.tolist() == [-1, 0, -1, 2, -1, -1]
    assert lonely.row(5).source_rgb is None


def test_twins_are_of_the_same_frame_and_compression():
    rows = [
        {"video_id": "a", "label": 0, "source_video_id": "a", "frame_index": 3, "compression": "c"},
        {"video_id": "a", "label": 0, "source_video_id": "a", "frame_index": 3, "compression": "d"},
        {"video_id": "a", "label": 0, "source_video_id": "a", "frame_index": 4, "compression": "d"},
        {"video_id": "f", "label": 1, "source_video_id": "a", "frame_index": 3, "compression": "d"},
        {"video_id": "f", "label": 1, "source_video_id": "a", "frame_index": 5, "compression": "d"},
    ]
    picture = next(made_rows(1, 1, 0))["image"]
    dataset = Dataset.from_list([row | {"image": picture} for row in rows])
    table = FrameTable(dataset.cast_column("image", Image(decode=False)))
    assert table.twins.tolist() == [-1, -1, -1, 1, -1]


@pytest.mark.parametrize("forehead_px", [0, 3])
def test_a_pair_is_the_same_moment_if_its_surroundings_agree(forehead_px: int):
    rng = np.random.default_rng(1)
    image, points_xy = draw_face(rng)
    forged = forge_face(image, points_xy, rng)
    noise = rng.integers(-4, 5, image.shape)  # what a codec adds
    recompressed = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
    moved = np.roll(recompressed, 6, axis=1)

    def same(source) -> bool:
        return FrameRow(forged, source, points_xy, 1).is_same_frame()

    assert same(recompressed)
    assert not same(moved)
    assert not same(recompressed[:-2])
    assert not same(None)


def test_a_moved_head_is_noticed_before_a_still_background():
    wall = np.full((720, 1280, 3), 90, np.uint8)
    face, points_xy = draw_face(np.random.default_rng(1), 200)
    frame, other = wall.copy(), wall.copy()
    frame[200:400, 500:700], other[200:400, 530:730] = face, face
    points_xy += np.array([500, 200])
    assert np.abs(frame.astype(int) - other).mean() < 4
    assert not FrameRow(frame, other, points_xy, 1).is_same_frame()
    assert FrameRow(frame, frame, points_xy, 1).is_same_frame()


def test_labels_are_read_by_their_names():
    names = ClassLabel(names=["FAKE", "REAL"])
    assert label_numbers([0, 1], names).tolist() == [1, 0]
    assert label_numbers(["real", "fake"], Value("string")).tolist() == [0, 1]
    assert label_numbers([1, 0], Value("int64")).tolist() == [1, 0]
    with pytest.raises(FrameDataError, match="'maybe' is neither"):
        label_numbers([0, 1], ClassLabel(names=["real", "maybe"]))
    with pytest.raises(FrameDataError, match="2 is neither"):
        label_numbers([2], Value("int64"))


def test_files_are_given_to_splits_by_their_names(tmp_path: Path):
    rows = Dataset.from_list(list(made_rows(1, 1, 0)), features=FRAME_FEATURES)
    one_file = tmp_path / "frames.parquet"
    rows.to_parquet(one_file)
    assert len(open_split(str(one_file), "train")) == 2
    assert len(open_split(str(tmp_path), "train")) == 2


def test_unusable_collections_are_refused_in_a_sentence(tmp_path: Path):
    def refused(name: object, message: str) -> None:
        with pytest.raises(FrameDataError, match=message):
            open_split(str(name), "train")

    refused("nowhere at all", "neither a folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "neither Parquet files")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    refused(tmp_path / "broken.parquet", "cannot be read")
    Dataset.from_list([{"image": "text", "label": 0}]).to_parquet(tmp_path / "few.parquet")
    refused(tmp_path / "few.parquet", "lacks the column 'video_id'")
    words = [{"image": "text", "label": 0, "video_id": "a"}]
    Dataset.from_list(words).to_parquet(tmp_path / "words.parquet")
    refused(tmp_path / "words.parquet", "does not hold pictures")


def test_damaged_rows_are_named(tmp_path: Path):
    rows = list(made_rows(1, 1, 0))
    rows[0]["image"] = {"bytes": b"no picture", "path": None}
    rows[1]["landmarks"] = [[1.0, 2.0]] * 7
    dataset = Dataset.from_list(rows, features=FRAME_FEATURES)
    for column in ("image", "source_image"):
        dataset = dataset.cast_column(column, Image(decode=False))
    table = FrameTable(dataset)
    with pytest.raises(FrameDataError, match="'made/original/0-000' cannot be decoded"):
        table.row(0)
    with pytest.raises(FrameDataError, match="'made/patch/0-000' has unusable landmarks"):
        table.row(1)
