"""caddm_hf.dataset.opening and .splits: one meaning of a split for all who open collections."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from caddm_hf.dataset.opening import MissingSplitError, find_split, open_rows, open_split
from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError
from caddm_hf.dataset.splits import SPLIT_WORDS, SPLITS, WHOLE, split_of_file
from caddm_hf.training.config import TrainingConfig
from caddm_hf.training.data import TrainingData
from support.made_collection import made_rows


def write(folder: Path, **videos: int) -> Path:
    """One file a split, with as many genuine videos and as many fakes, one frame each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (split, count) in enumerate(videos.items()):
        rows = Dataset.from_list(list(made_rows(count, 1, number)), features=FRAME_FEATURES)
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def test_no_word_stands_for_two_splits():
    words = [word for known in SPLIT_WORDS.values() for word in known]
    assert len(words) == len(set(words))
    assert tuple(SPLIT_WORDS) == SPLITS


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00001.parquet", "train"),
        ("Dev.parquet", "validation"),
        ("val_a.parquet", "validation"),
        ("test-0.parquet", "test"),
        ("training.parquet", None),
        ("frames.parquet", None),
    ],
)
def test_a_file_name_begins_with_its_split(name: str, split: str | None):
    assert split_of_file(name) == split


def test_every_split_of_a_folder_can_be_opened(tmp_path: Path):
    folder = str(write(tmp_path / "c", train=3, valid=2, test=1))
    assert [len(open_split(folder, split)) for split in SPLITS] == [6, 4, 2]
    assert [len(open_rows(folder, ("image",), split)) for split in SPLITS] == [6, 4, 2]
    assert open_rows(folder, ("image",)).split == "test"


def test_a_test_split_does_not_stand_in_for_validation(tmp_path: Path):
    folder = str(write(tmp_path / "c", train=3, test=1))
    with pytest.raises(MissingSplitError, match="has no validation split, only test, train"):
        open_split(folder, "validation")
    with pytest.raises(FrameDataError, match=r"validation split, only.*with --validation_data"):
        TrainingData(TrainingConfig(data=folder))
    with pytest.raises(FrameDataError, match="name one file of it as --validation_data"):
        TrainingData(TrainingConfig(data=folder, validation_data=folder))
    file = f"{folder}/test-00000-of-00001.parquet"
    data = TrainingData(TrainingConfig(data=folder, validation_data=file))
    assert len(data.evaluation_frames) == 2


def test_validation_data_of_one_split_needs_no_particular_name(tmp_path: Path):
    folder = str(write(tmp_path / "c", train=3))
    other = str(write(tmp_path / "other", test=2))
    data = TrainingData(TrainingConfig(data=folder, validation_data=other))
    assert len(data.evaluation_frames) == 4


@pytest.mark.parametrize("name", ["frames.parquet", "."])
def test_what_is_not_divided_is_used_whole_but_not_to_validate_on_itself(tmp_path: Path, name: str):
    rows = Dataset.from_list(list(made_rows(2, 1, 0)), features=FRAME_FEATURES)
    rows.to_parquet(tmp_path / "frames.parquet")
    path = str(tmp_path / name)
    for split in SPLITS:
        assert find_split(path, (split,)).name == WHOLE
        assert len(open_split(path, split)) == 4
    with pytest.raises(FrameDataError, match="has no validation split: name"):
        TrainingData(TrainingConfig(data=path))


def test_a_measurement_says_how_to_choose_another_split(tmp_path: Path):
    folder = str(write(tmp_path / "c", train=1))
    with pytest.raises(FrameDataError, match=r"no test or validation split.*with --split"):
        open_rows(folder, ("image",))
    assert open_rows(folder, ("image",), any_split=True).split == "train"


def test_a_split_without_rows_is_refused(tmp_path: Path):
    empty = pa.table({"image": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "train-0.parquet")
    with pytest.raises(FrameDataError, match="holds no rows"):
        open_split(str(tmp_path), "train")
