"""Collections: what a row is, how pairs and facial points are found."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Image, Value
from skimage import data

from caddm_hf.augmentation.facial_swap import FacialSwapConfig
from caddm_hf.dataset import point_search
from caddm_hf.dataset.frame_table import FrameRow, FrameTable
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.pictures import decode_picture
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError, label_numbers
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.training.config import TrainingConfig
from caddm_hf.training.data import TrainingData
from caddm_hf.training.samples import (
    SampleMaker,
)
from support.made_collection import draw_face, forge_face, made_rows, write_collection, write_crops

PORTRAIT_POINTS_XY = np.array([(205, 102), (247, 104), (225, 129), (202, 139), (245, 142)], float)
SIZE = 64


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("made"), 4, 2, frames=2, side=80)


@pytest.fixture
def table(collection: Path) -> FrameTable:
    return FrameTable(open_split(str(collection), "train"))


@pytest.fixture
def maker() -> SampleMaker:
    processor = CaddmImageProcessor(size=SIZE)
    return SampleMaker(FacialSwapConfig(image_size=SIZE), processor, seed=5)


def test_a_collection_is_read_as_it_was_written(collection: Path, table: FrameTable):
    validation = FrameTable(open_split(str(collection), "validation"))
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


def test_a_streamed_split_has_the_same_rows(collection: Path, table: FrameTable):
    stream = open_split(str(collection), "train", streaming=True)
    rows = list(stream)
    assert [row["video_id"] for row in rows] == table.video_ids
    assert np.array_equal(decode_picture(rows[1]["image"]), table.image_rgb(1))


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


# Points that are not in the collection.


def test_missing_points_are_searched_once(tmp_path: Path, monkeypatch):
    folder = write_crops(tmp_path / "crops")
    table = FrameTable(open_split(str(folder), "train"))
    searched = []

    def find(images_rgb):
        searched.extend(images_rgb)
        return [None if len(searched) == 2 else np.full((5, 2), 7.0, np.float32)] * len(images_rgb)

    monkeypatch.setattr(point_search, "mtcnn_points", lambda: find)
    monkeypatch.setattr(point_search, "ROWS_AT_ONCE", 1)
    assert point_search.search_points(table, [0, 2], tmp_path / "cache") == 1
    assert len(searched) == 2
    assert (table.landmarks(0) == 7).all()
    assert np.allclose(table.landmarks(2), point_search.TYPICAL_POINTS * 80)
    assert table.landmarks(1) is None

    again = FrameTable(open_split(str(folder), "train"))
    assert point_search.search_points(again, [0, 1, 2], tmp_path / "cache") == 1
    assert len(searched) == 3
    assert np.array_equal(again.landmarks(2), table.landmarks(2))


def test_an_interrupted_search_keeps_what_it_has(tmp_path: Path, monkeypatch):
    folder = write_crops(tmp_path / "crops")
    count = 0

    def find(images_rgb):
        nonlocal count
        count += len(images_rgb)
        if count == 4:
            raise KeyboardInterrupt
        return [np.full((5, 2), 7.0, np.float32)] * len(images_rgb)

    monkeypatch.setattr(point_search, "mtcnn_points", lambda: find)
    monkeypatch.setattr(point_search, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(point_search, "ROWS_BETWEEN_SAVES", 2)
    for _ in range(2):
        table = FrameTable(open_split(str(folder), "train"))
        try:
            point_search.search_points(table, range(6), tmp_path / "cache")
        except KeyboardInterrupt:
            continue
    # Three found, two of them saved, the fourth interrupted; then the four others.
    assert count == 8
    assert all((table.landmarks(number) == 7).all() for number in range(6))


def test_pictures_without_faces_are_not_trained_on(tmp_path: Path, monkeypatch):
    folder = write_crops(tmp_path / "crops")
    table = FrameTable(open_split(str(folder), "train"))
    monkeypatch.setattr(point_search, "mtcnn_points", lambda: lambda images: [None] * len(images))
    monkeypatch.setattr(point_search, "LEAST_JUDGED_ROWS", 6)
    with pytest.raises(FrameDataError, match="No face was found in 6 of 6"):
        point_search.search_points(table, range(6), tmp_path / "cache")


def test_mtcnn_finds_the_points_of_a_tight_crop():
    portrait = data.astronaut()
    x0, y0, x1, y1 = 175, 60, 280, 175
    crop = cv2.resize(portrait[y0:y1, x0:x1], (224, 224))
    expected = (PORTRAIT_POINTS_XY - (x0, y0)) * (224 / (x1 - x0), 224 / (y1 - y0))
    empty = np.full((224, 224, 3), 90, np.uint8)
    found, nothing = point_search.mtcnn_points()([crop, empty])
    assert np.abs(found - expected).mean() < 8
    assert nothing is None


# The data of a run.


def test_the_data_of_a_run_is_checked_before_any_work(collection: Path, tmp_path: Path):
    def refused(message: str, **options) -> None:
        with pytest.raises(FrameDataError, match=message):
            TrainingData(TrainingConfig(**options))

    train_file = str(collection / "train-00000-of-00001.parquet")
    refused("no validation split", data=train_file)
    genuine = [row for row in made_rows(2, 1, 0) if row["label"] == "real"]
    Dataset.from_list(genuine, features=FRAME_FEATURES).to_parquet(tmp_path / "genuine.parquet")
    refused(
        "both genuine and fake",
        data=str(collection),
        validation_data=str(tmp_path / "genuine.parquet"),
    )
    rows = [row | {"video_id": "one"} for row in made_rows(2, 1, 0)]
    Dataset.from_list(rows, features=FRAME_FEATURES).to_parquet(tmp_path / "merged.parquet")
    refused(
        "labelled genuine and frames labelled",
        data=str(collection),
        validation_data=str(tmp_path / "merged.parquet"),
    )
    leaking = TrainingData(TrainingConfig(data=str(collection), validation_data=train_file))
    assert leaking.shared_sources() == 16
    assert TrainingData(TrainingConfig(data=str(collection))).shared_sources() == 0
    some = TrainingData(TrainingConfig(data=str(collection), max_eval_samples=5))
    assert len(some.evaluation_frames) == 5
