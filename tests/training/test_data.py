"""The data of a run: checks before any work."""

from pathlib import Path

import pytest
from datasets import Dataset

from caddm_hf.dataset.schema import FRAME_FEATURES, FrameDataError
from caddm_hf.training.config import TrainingConfig
from caddm_hf.training.data import TrainingData
from support.made_collection import made_rows


def test_the_data_of_a_run_is_checked_before_any_work(drawn_collection: Path, tmp_path: Path):
    collection = drawn_collection

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
