"""A killed and resumed run is the unbroken run: losses, weights, files."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from caddm_hf.core.atomic_files import (
    make_folder_atomically,
    remove_folder_atomically,
    remove_partial,
    write_atomically,
)
from caddm_hf.core.errors import TrainingError
from caddm_hf.training.checkpoints import (
    LOG_FILE,
    Checkpoints,
    TrainingLog,
    TrainingState,
    WeightAverage,
    read_log,
)
from support.made_collection import write_collection
from support.training_runs import (
    TINY,
    start_training,
    train,
)

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("made"), 5, 3, frames=2, side=80)


def assert_equal_runs(one: Path, other: Path) -> None:
    assert read_log(one / LOG_FILE) == read_log(other / LOG_FILE)
    weights, other_weights = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert weights.keys() == other_weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, other_weights[name]), name
    metadata, other_metadata = (
        json.loads((folder / "training_metadata.json").read_text()) for folder in (one, other)
    )
    for key in ("metrics", "kinds", "best_step", "steps"):
        assert metadata[key] == other_metadata[key]


def kill_after(process: subprocess.Popen, log: Path, step: int, delay_s: float) -> None:
    """SIGKILL the process and its workers some time after it has logged a step."""
    while process.poll() is None:
        lines = read_log(log)
        if lines and lines[-1]["step"] >= step:
            time.sleep(delay_s)
            break
        time.sleep(0.01)
    with_workers = os.getpgid(process.pid) if process.poll() is None else None
    if with_workers is not None:
        os.killpg(with_workers, signal.SIGKILL)
    process.communicate()


def test_a_killed_run_goes_on_as_if_it_had_not_been(collection: Path, tmp_path: Path):
    # Steps end within an epoch of 20 draws, and checkpoints do not meet evaluations.
    options = [*TINY, "--data", collection, "--max_steps", 14, "--eval_steps", 5]
    options += ["--save_steps", 3]
    assert train(*options, "--output_dir", tmp_path / "whole") == 0

    broken = [*options, "--output_dir", tmp_path / "broken"]
    process = start_training(*broken, "--dataloader_num_workers", 1)
    kill_after(process, tmp_path / "broken" / LOG_FILE, 8, 0.0)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "broken" / "model.safetensors").exists()
    assert train(*broken, "--resume_from_checkpoint", "latest") == 0

    assert_equal_runs(tmp_path / "whole", tmp_path / "broken")


def test_pairs_shares_and_frozen_stages_go_on_as_if_not_interrupted(
    collection: Path, tmp_path: Path
):
    start = tmp_path / "start"
    assert train(*TINY, "--data", collection, "--output_dir", start, "--max_steps", 1) == 0
    options = [*TINY, "--data", collection, "--initial_model", start, "--frozen_stages", 2]
    options += ["--paired_batches", "--dataset_shares", "made=1", "--self_blend_share", 1]
    options += ["--shrink_share", 0.5, "--retouch_share", 0.5, "--eval_steps", 3]
    assert train(*options, "--output_dir", tmp_path / "whole", "--max_steps", 5) == 0
    broken = [*options, "--output_dir", tmp_path / "broken", "--resume_from_checkpoint", "latest"]
    assert train(*broken, "--max_steps", 3) == 0
    assert train(*broken, "--max_steps", 5, "--dataloader_num_workers", 1) == 0
    assert_equal_runs(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_kills_at_random_moments(collection: Path, tmp_path: Path):
    steps = 120
    options = [*TINY, "--data", collection, "--max_steps", steps, "--eval_steps", 9]
    options += ["--save_steps", 4, "--dataloader_num_workers", 1]
    assert train(*options, "--output_dir", tmp_path / "whole") == 0

    broken = [*options, "--output_dir", tmp_path / "broken", "--resume_from_checkpoint", "latest"]
    rng = np.random.default_rng()
    moments = np.sort(rng.integers(1, steps - 15, 10))
    print("killed at", moments)
    for moment in moments:
        process = start_training(*broken)
        # Steps, checkpoints and evaluations take a few hundredths to tenths of a second.
        kill_after(process, tmp_path / "broken" / LOG_FILE, int(moment), rng.uniform(0, 0.3))
        assert process.returncode == -signal.SIGKILL
    assert train(*broken) == 0

    assert_equal_runs(tmp_path / "whole", tmp_path / "broken")


def test_an_earlier_checkpoint_can_be_gone_on_from(collection: Path, tmp_path: Path):
    output = tmp_path / "run"
    options = [*TINY, "--data", collection, "--max_steps", 6, "--save_steps", 2]
    options += ["--eval_steps", 100, "--output_dir", output, "--save_total_limit", 5]
    assert train(*options) == 0
    before = load_file(output / "model.safetensors"), read_log(output / LOG_FILE)
    assert train(*options, "--resume_from_checkpoint", output / "checkpoints" / "step-000002") == 0
    after = load_file(output / "model.safetensors"), read_log(output / LOG_FILE)
    assert before[1] == after[1]
    assert all(torch.equal(tensor, after[0][name]) for name, tensor in before[0].items())


def test_what_cannot_be_resumed_is_refused(collection: Path, tmp_path: Path, capsys):
    output = tmp_path / "run"
    options = [*TINY, "--data", collection, "--max_steps", 1, "--output_dir", output]
    assert train(*options) == 0

    assert train(*options) == 2
    assert "--resume_from_checkpoint latest" in capsys.readouterr().err
    resume = ("--resume_from_checkpoint", "latest")
    assert train(*options, *resume, "--seed", 7) == 2
    assert "--seed 42, not 7" in capsys.readouterr().err
    other = write_collection(tmp_path / "other", 4, 3, frames=1, side=80)
    assert train(*options, *resume, "--data", other) == 2
    assert "--data" in capsys.readouterr().err
    assert train(*options, "--resume_from_checkpoint", tmp_path / "step-000009") == 2
    assert "not a checkpoint" in capsys.readouterr().err

    weights = output / "checkpoints" / "step-000001" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert train(*options, *resume) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_run_can_be_made_longer_unless_its_rate_depends_on_the_length(
    collection: Path, tmp_path: Path, capsys
):
    options = [*TINY, "--data", collection, "--output_dir", tmp_path / "run"]
    assert train(*options, "--max_steps", 1) == 0
    resume = ("--resume_from_checkpoint", "latest", "--max_steps", 3)
    assert train(*options, *resume) == 0
    assert read_log(tmp_path / "run" / LOG_FILE)[-1]["step"] == 3

    options = [*options, "--output_dir", tmp_path / "cosine", "--lr_scheduler_type", "cosine"]
    assert train(*options, "--max_steps", 1) == 0
    assert train(*options, *resume) == 2
    assert "--max_steps" in capsys.readouterr().err


def save_step(checkpoints: Checkpoints, step: int, best_step: int) -> None:
    model = nn.Linear(2, 2)
    state = TrainingState(step=step, best_step=best_step, best_video_auc=0.5)
    checkpoints.save(state, {}, model, WeightAverage(model, 0.9), {"optimizer": {}})


def test_the_newest_checkpoints_and_the_best_are_kept(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", kept=2)
    for step in range(1, 7):
        save_step(checkpoints, step, best_step=min(step, 2))
    assert checkpoints.steps() == [2, 5, 6]
    assert checkpoints.find("latest").state.step == 6
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_a_half_written_checkpoint_is_no_checkpoint(tmp_path: Path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "checkpoints", kept=2)
    save_step(checkpoints, 1, best_step=1)
    half = tmp_path / "checkpoints" / ".partial-step-000002"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert checkpoints.steps() == [1]
    checkpoints.clean()
    assert not half.exists()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_step(checkpoints, 2, best_step=1)
    assert checkpoints.steps() == [1]


def test_the_optimizer_file_needs_no_unpickling(tmp_path: Path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoints = Checkpoints(tmp_path / "checkpoints", kept=1)
    average = WeightAverage(model, 0.9)
    average.update_parameters(model)
    saved = {"optimizer": optimizer.state_dict()}
    checkpoints.save(TrainingState(step=3), {"seed": 1}, model, average, saved)

    found = checkpoints.find("latest")
    other = nn.Linear(2, 2)
    other_average = WeightAverage(other, 0.9)
    restored = checkpoints.load(found, other, other_average)
    assert found.options == {"seed": 1}
    assert torch.equal(other.weight, model.weight)
    assert int(other_average.n_averaged) == 1
    assert restored["optimizer"]["state"][0]["step"] == 1
    with pytest.raises(TrainingError, match="damaged"):
        checkpoints.load(found, nn.Linear(3, 2), other_average)


def test_the_average_of_weights_is_the_formula():
    model = nn.BatchNorm1d(3)
    average = WeightAverage(model, decay=0.6)
    expected = None
    for n in range(6):
        with torch.no_grad():
            model.weight.copy_(torch.randn(3))
        model(torch.randn(4, 3))
        average.update_parameters(model)
        decay = min(0.6, (1 + n) / (10 + n))
        new = torch.stack([model.weight.detach(), model.running_mean])
        expected = new if expected is None else decay * expected + (1 - decay) * new
    assert torch.allclose(average.module.weight, expected[0])
    assert torch.allclose(average.module.running_mean, expected[1])
    assert average.module.num_batches_tracked == 6
    assert not average.module.training


def test_a_decay_of_zero_takes_the_weights_as_they_are():
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay=0.0)
    for _ in range(3):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 2))
        average.update_parameters(model)
        assert torch.equal(average.module.weight, model.weight)


def test_the_log_forgets_steps_after_the_checkpoint(tmp_path: Path):
    path = tmp_path / LOG_FILE
    path.write_text('{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n{"step": 3, "lo')
    log = TrainingLog(path, step=1)
    log.add({"step": 2, "loss": 5})
    assert read_log(path) == [{"step": 1, "loss": 3}, {"step": 2, "loss": 5}]


def test_files_and_folders_appear_whole_or_not_at_all(tmp_path: Path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("old")

    def stop_in_file():
        with write_atomically(file) as new:
            new.write(b"half")
            raise RuntimeError

    def stop_in_folder():
        with make_folder_atomically(folder) as partial:
            (partial / "half").write_text("half")
            raise RuntimeError

    for stop in (stop_in_file, stop_in_folder):
        with pytest.raises(RuntimeError):
            stop()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

    with make_folder_atomically(folder) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text("whole")
        assert not folder.exists()
    assert (folder / "inner" / "file").read_text() == "whole"
    remove_folder_atomically(folder)
    (tmp_path / ".partial-rest").mkdir()
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
