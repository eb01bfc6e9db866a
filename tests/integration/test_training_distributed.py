"""Two processes on one machine, talking over gloo, against one."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader

from caddm_hf.core.errors import TrainingError
from caddm_hf.model.configuration_caddm import CaddmConfig
from caddm_hf.model.modeling_caddm import CaddmForDeepfakeDetection
from caddm_hf.training.config import TrainingConfig
from caddm_hf.training.data import TrainingData
from caddm_hf.training.samples import KINDS, TrainingFrames, training_loader
from caddm_hf.training.validation import evaluation_loader, predict, video_metrics
from support.made_collection import write_collection
from support.training_runs import (
    TINY,
    start_training,
    train,
)

pytestmark = pytest.mark.usefixtures("fresh_accelerate")

TWO_PROCESSES = (
    *("-m", "torch.distributed.run", "--nproc_per_node", "2"),
    *("--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"),
)


class DrawnPositions(TrainingFrames):
    """Gives the draws' places in the epoch in the place of samples."""

    def __getitem__(self, draw):
        return np.array([draw.epoch, draw.position, draw.row])


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    # 22 validation rows: neither a multiple of the batch of 8 nor of two batches.
    return write_collection(tmp_path_factory.mktemp("made"), 6, 11, frames=1, side=80)


def options(collection: Path, output: Path) -> list:
    shares = ["--self_blend_share", 0.5]
    return [*TINY, "--data", collection, "--output_dir", output, "--max_steps", 3, *shares]


def test_two_processes_evaluate_like_one_and_make_the_same_samples(
    collection: Path, tmp_path: Path
):
    process = start_training(*options(collection, tmp_path / "two"), launcher=TWO_PROCESSES)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    two = json.loads((tmp_path / "two" / "training_metadata.json").read_text())
    assert two["device"].startswith("2 process(es)")

    # The metric of one process on the same weights, exactly.
    config = TrainingConfig(data=str(collection), image_size=64, backbone="test_resnet")
    data = TrainingData(config)
    model = CaddmForDeepfakeDetection.from_pretrained(tmp_path / "two").eval()
    accelerator = Accelerator(cpu=True)
    loader = accelerator.prepare(evaluation_loader(data.evaluation_frames, 8, 0))
    predictions = predict(accelerator, model, loader, 8)
    assert len(predictions.rows) == 22
    metrics = video_metrics(predictions, data.evaluation_frames.table, two["options"]["seed"])
    assert metrics == two["metrics"]
    with (tmp_path / "two" / "predictions.csv").open() as file:
        scores = [float(line["fake_probability"]) for line in csv.DictReader(file)]
    assert np.array_equal(np.float32(scores), np.float32(predictions.probabilities))

    # One process makes of the same draws the same samples.
    assert train(*options(collection, tmp_path / "one")) == 0
    one = json.loads((tmp_path / "one" / "training_metadata.json").read_text())
    assert sum(one["kinds"].values()) == 24
    assert set(one["kinds"]) == set(KINDS)
    assert one["kinds"] == two["kinds"]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_epoch_is_dealt_out_once_whatever_the_number_of_processes(
    collection: Path, processes: int
):
    data = TrainingData(TrainingConfig(data=str(collection), image_size=64))
    frames = DrawnPositions(data.table, data.plan, data.maker)
    epochs, micro_batch = 2, 2
    stop = epochs * len(data.plan)
    assert len(data.plan) == 12
    seen = []
    for process in range(processes):
        loader = training_loader(frames, 0, stop, micro_batch, workers=0)
        prepared = prepare_data_loader(
            loader, num_processes=processes, process_index=process, put_on_device=False
        )
        seen += [tuple(map(int, draw)) for batch in prepared for draw in batch]
    expected = [(draw.epoch, draw.position, draw.row) for draw in data.plan.draws(0, stop)]
    assert sorted(seen) == expected
    for epoch in range(epochs):
        rows = [row for drawn_in, _, row in seen if drawn_in == epoch]
        assert sorted(rows) == list(range(len(data.table)))


def test_the_batch_is_divided_or_refused():
    config = TrainingConfig(batch_size=24, gradient_accumulation_steps=3)
    assert config.micro_batch_size(processes=2) == 4
    with pytest.raises(TrainingError, match="cannot be divided evenly"):
        config.micro_batch_size(processes=5)
    with pytest.raises(TrainingError, match="at least two"):
        config.micro_batch_size(processes=8)


def test_wrong_weights_would_be_noticed(collection: Path, tmp_path: Path):
    """The comparison above fails where it should: other weights give other scores."""
    data = TrainingData(TrainingConfig(data=str(collection), image_size=64))
    accelerator = Accelerator(cpu=True)
    loader = accelerator.prepare(evaluation_loader(data.evaluation_frames, 8, 0))
    config = CaddmConfig(backbone="test_resnet", artifact_width=32, image_size=64)
    scores = [
        predict(accelerator, CaddmForDeepfakeDetection(config).eval(), loader, 8).probabilities
        for _ in range(2)
    ]
    assert not np.array_equal(*scores)
