"""Where a training starts from, and how its model is stored."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from timm.models import group_parameters

from caddm_hf import CaddmForDeepfakeDetection
from caddm_hf.checkpoint import publish as model_publishing
from caddm_hf.checkpoint.loading import load_model
from support.made_collection import write_collection
from support.training_runs import TINY, train

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("made"), 12, 6, frames=1)


@pytest.fixture(scope="module")
def first(collection: Path, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("first") / "model"
    run = ["--data", collection, "--output_dir", output, "--max_steps", 3, "--seed", 5]
    assert train(*TINY, *run) == 0
    return output


def test_training_goes_on_from_a_finished_model(collection: Path, first: Path, tmp_path: Path):
    output = tmp_path / "second"
    run = ["--data", collection, "--output_dir", output, "--initial_model", first]
    assert train(*TINY, *run, "--max_steps", 0) == 0
    before, after = (load_model(folder).model.state_dict() for folder in (first, output))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "went on from the weights of model" in (output / "README.md").read_text()


def test_the_weights_are_mixed_with_those_of_the_start(
    collection: Path, first: Path, tmp_path: Path, capsys
):
    """What is saved, evaluated and told is the mixture; training itself goes on without it."""
    run = ["--data", collection, "--initial_model", first, "--max_steps", 3]
    mixing = ["--resume_from_checkpoint", "latest", "--initial_share"]
    weights, scores = {}, {}
    for share in (0, 0.25, 1):
        output = tmp_path / f"{share}"
        assert train(*TINY, *run, "--output_dir", output, *mixing, share) == 0
        weights[share] = load_file(output / "model.safetensors")
        scores[share] = (output / "predictions.csv").read_text()
        checkpoint = load_file(output / "checkpoints" / "step-000003" / "average.safetensors")
        assert all(torch.equal(checkpoint[name], weights[0][name]) for name in weights[0])
    start = load_file(first / "model.safetensors")
    moved = 0
    for name, value in weights[0].items():
        if value.is_floating_point():
            expected = 0.75 * value + 0.25 * start[name]
            torch.testing.assert_close(weights[0.25][name], expected, atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(weights[1][name], start[name], atol=1e-6, rtol=1e-5)
            moved += not torch.equal(value, start[name])
    assert moved
    assert len(set(scores.values())) == 3
    card = (tmp_path / "0.25" / "README.md").read_text()
    assert "The weights here are 25% those of model and 75% what became of them." in card

    with pytest.raises(SystemExit, match="2"):
        train(*TINY, "--data", collection, "--output_dir", "x", "--initial_share", 0.5)
    assert "--initial_share has no effect without" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        train(*TINY, "--data", collection, "--output_dir", "x", "--h264_mildest", 42)
    assert "must not be above --h264_strongest" in capsys.readouterr().err


def test_another_trainings_weights_are_mixed_in(
    collection: Path, first: Path, tmp_path: Path, capsys
):
    run = ["--data", collection, "--initial_model", first, "--max_steps", 2]
    mixing = ["--mixed_model", tmp_path / "sibling", "--initial_share"]
    mixed = ["--output_dir", tmp_path / "mixed", "--seed", 8]
    assert train(*TINY, *run, "--output_dir", tmp_path / "sibling", "--seed", 7) == 0
    assert train(*TINY, *run, "--output_dir", tmp_path / "alone", "--seed", 8) == 0
    assert train(*TINY, *run, *mixed, *mixing, 0.25) == 0
    sibling, alone, mixture = (
        load_file(tmp_path / name / "model.safetensors") for name in ("sibling", "alone", "mixed")
    )
    for name in (n for n, value in mixture.items() if value.is_floating_point()):
        expected = 0.25 * sibling[name] + 0.75 * alone[name]
        torch.testing.assert_close(mixture[name], expected, atol=1e-6, rtol=1e-5)
    card = (tmp_path / "mixed" / "README.md").read_text()
    assert "Training went on from the weights of model." in card
    assert "The weights here are 25% those of sibling and 75% what became of them." in card

    with pytest.raises(SystemExit, match="2"):
        train(*TINY, *run, *mixed, *mixing[:-1])
    assert "--mixed_model has no effect without --initial_share" in capsys.readouterr().err
    mixed[1] = tmp_path / "refused"
    assert train(*TINY, *run, *mixed, *mixing, 0.25, "--artifact_width", 16) == 2
    assert train(*TINY, *run, *mixed, "--initial_share", 0.5, "--mixed_model", "no/where") == 2
    assert "--mixed_model" in capsys.readouterr().err


def test_a_model_of_another_shape_is_no_start(
    collection: Path, first: Path, tmp_path: Path, capsys
):
    run = ["--data", collection, "--output_dir", tmp_path / "x", "--initial_model", first]
    assert train(*TINY, *run, "--artifact_width", 16, "--max_steps", 1) == 2
    assert "artifact width 32, which are not those of this run" in capsys.readouterr().err
    assert train(*TINY, *run[:-1], tmp_path / "nowhere", "--max_steps", 1) == 2
    assert "--initial_model: " in capsys.readouterr().err


def test_a_checkpoint_is_a_start_as_well(collection: Path, first: Path, tmp_path: Path, capsys):
    (checkpoint,) = (first / "checkpoints").iterdir()
    run = ["--data", collection, "--initial_model", checkpoint, "--max_steps", 0]
    assert train(*TINY, *run, "--output_dir", tmp_path / "second") == 0
    before, after = (
        load_model(folder).model.state_dict() for folder in (first, tmp_path / "second")
    )
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert train(*TINY, *run, "--output_dir", tmp_path / "x", "--artifact_width", 16) == 2
    assert "has another backbone or artifact width than this run" in capsys.readouterr().err
    damaged = shutil.copytree(checkpoint, tmp_path / "damaged")
    (damaged / "average.safetensors").write_bytes(b"none")
    run[3] = damaged
    assert train(*TINY, *run, "--output_dir", tmp_path / "x") == 2
    assert "damaged' is damaged" in capsys.readouterr().err


def test_frozen_stages_keep_weights_and_statistics(
    collection: Path, first: Path, tmp_path: Path, capsys
):
    output = tmp_path / "frozen"
    run = ["--data", collection, "--initial_model", first, "--learning_rate", "1e-2"]
    options = [*run, "--output_dir", output, "--max_steps", 3, "--ema_decay", 0]
    assert train(*TINY, *options, "--frozen_stages", 2) == 0
    before, after = (load_model(folder).model for folder in (first, output))
    backbone = before.backbone
    stages = group_parameters(backbone, backbone.group_matcher(coarse=True))
    frozen = {f"backbone.{name}" for stage in sorted(stages)[:2] for name in stages[stage]}
    modules = {name.rpartition(".")[0] for name in frozen}
    old, new = before.state_dict(), after.state_dict()
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    kept = {name for name in old if name.rpartition(".")[0] in modules}
    assert {name.rpartition(".")[2] for name in kept} >= {"weight", "running_mean", "running_var"}
    assert not moved & kept
    learning = {name for name, _ in before.named_parameters()} - frozen
    assert len(moved & learning) > 0.9 * len(learning)
    assert any("running_mean" in name for name in moved)

    assert train(*TINY, *run, "--output_dir", tmp_path / "x", "--frozen_stages", 9) == 2
    assert "stages, and one must learn" in capsys.readouterr().err


def test_half_precision_halves_the_file_and_hardly_the_answer(
    collection: Path, first: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(model_publishing, "HALVED_FROM", 0)  # the tiny network has small tensors
    output = tmp_path / "half"
    run = ["--data", collection, "--output_dir", output, "--initial_model", first]
    assert train(*TINY, *run, "--max_steps", 0, "--weights_precision", "half") == 0
    stored = load_file(output / "model.safetensors")
    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.float16}
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (first, output)]
    assert sizes[1] < 0.6 * sizes[0]
    assert json.loads((output / "config.json").read_text())["dtype"] == "float32"

    full, half = (CaddmForDeepfakeDetection.from_pretrained(f).eval() for f in (first, output))
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    crops = torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        answers = [model.fake_probability(model(crops)) for model in (full, half)]
    assert (answers[0] - answers[1]).abs().max() < 0.002
    assert not torch.equal(answers[0], answers[1])


def test_the_shares_of_forgeries_are_followed(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "partial"
    run = ["--data", collection, "--output_dir", output, "--max_steps", 3]
    shares = ["--fake_share", 0, "--self_blend_share", 1, "--partial_share", 1]
    rendered = []
    monkeypatch.setattr(
        "caddm_hf.augmentation.self_blending.as_rendered",
        lambda image, *_: rendered.append(1) or image,
    )
    assert train(*TINY, *run, *shares, "--rendered_share", 1) == 0
    assert rendered
    kinds = json.loads((output / "training_metadata.json").read_text())["kinds"]
    assert kinds["self-blended-partial"] > 0
    assert kinds["self-blended"] == 0


def test_a_stopped_run_has_a_model_and_goes_on_as_if_nothing_was(collection: Path, tmp_path: Path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run = ["--data", collection, "--max_steps", 3, "--seed", 5]
    assert train(*TINY, *run, "--output_dir", whole) == 0
    assert train(*TINY, *run, "--output_dir", stopped, "--stop_after_steps", 2) == 0
    assert (stopped / "model.safetensors").exists()
    assert json.loads((stopped / "training_metadata.json").read_text())["steps"] == 2
    assert train(*TINY, *run, "--output_dir", stopped, "--resume_from_checkpoint", "latest") == 0
    last = Path("checkpoints", "step-000003", "average.safetensors")
    expected, found = (load_file(folder / last) for folder in (whole, stopped))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
