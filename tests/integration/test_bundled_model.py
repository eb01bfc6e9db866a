"""The checkpoint that comes with the repository, and what it says of the examples."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import caddm_hf
from caddm_hf.checkpoint.bundled import BUNDLED_MODEL, bundled_model
from caddm_hf.core.errors import ModelError
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.model.face_alignment import transform_points
from caddm_hf.page.examples import SWAPPED_HALF_AXES_XY, SWAPPED_MIDDLE_XY, make_examples
from caddm_hf.preparation.joining import read_recipe
from caddm_hf.report.verdicts import Verdict
from caddm_hf.training.arguments import parse_training_config
from caddm_hf.training.config import TrainingConfig

MODEL_CODE = Path(caddm_hf.__file__).parent / "model"


@pytest.fixture(scope="module")
def detector() -> VideoDetector:
    return VideoDetector.from_pretrained(backend="torch")


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> dict[str, Path]:
    return make_examples(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize("kind", ["clip", "picture"])
def test_the_example_forgery_is_called_fake_and_the_genuine_one_is_not(detector, examples, kind):
    assert detector(examples[f"swapped_{kind}"]).judgement.verdict == Verdict.FAKE
    genuine = detector(examples[f"genuine_{kind}"])
    assert genuine.judgement.verdict != Verdict.FAKE
    assert genuine.warnings == []


def test_the_heatmap_lights_the_swapped_region(detector, examples):
    (person,) = detector(examples["swapped_picture"]).people
    (face,) = person.faces
    row, column = np.unravel_index(np.argmax(face.heatmap), face.heatmap.shape)
    to_crop = np.asarray(face.alignment)
    back = np.linalg.inv(np.vstack([to_crop, [0, 0, 1]]))[:2]
    peak_xy = transform_points(back, np.array([column, row], float))
    off = (peak_xy - SWAPPED_MIDDLE_XY) / SWAPPED_HALF_AXES_XY
    assert np.hypot(*off) < 1, peak_xy
    (genuine,) = detector(examples["genuine_picture"]).people[0].faces
    assert face.heatmap.max() > 0.4 > 2 * genuine.heatmap.max()
    assert len(face.artifact_boxes) == 1


def test_the_folder_is_whole_and_small():
    size = sum(path.stat().st_size for path in BUNDLED_MODEL.rglob("*") if path.is_file())
    assert size <= 25 * 2**20
    config = json.loads((BUNDLED_MODEL / "config.json").read_text())
    assert config["trained"] is True
    assert 0 < config["real_below"] < config["fake_above"] < 1
    assert config["calibration"]["thresholds"]
    stored = load_file(BUNDLED_MODEL / "model.safetensors")
    assert all(np.isfinite(t.float().numpy()).all() for t in stored.values())
    for code in BUNDLED_MODEL.glob("*.py"):
        assert code.read_text() == (MODEL_CODE / code.name).read_text(), code.name


def test_the_card_says_what_it_must():
    card = (BUNDLED_MODEL / "README.md").read_text()
    for words in (
        "dfdc_faces",
        "own terms",
        "evidence, not proof",
        "Known failures",
        "called fake",
        "## Calibration",
        "## Evaluation",
        "## Localisation",
        "train_accelerate.py",
    ):
        assert words in card


def test_a_missing_checkpoint_is_told(monkeypatch):
    monkeypatch.setattr("caddm_hf.checkpoint.bundled.BUNDLED_MODEL", Path("absent"))
    with pytest.raises(ModelError, match="name another one"):
        bundled_model()


def commands_of(script: str, arguments: list[str], folder: Path) -> list[list[str]]:
    """What a training script runs, with a `python` that only writes down what it is asked."""
    said = folder / "said"
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nprintf "%s\\t" "$@" >> {said}\necho >> {said}\n')
    python.chmod(0o755)
    subprocess.run(
        ["sh", BUNDLED_MODEL.parent / script, *arguments],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        check=True,
    )
    return [line.split("\t")[:-1] for line in said.read_text().splitlines()]


def test_the_script_of_the_start_gives_commands_that_parse(tmp_path: Path):
    arguments = ["DATA", "PARTS", "PORTRAITS", "PRESS", "OUT"]
    commands = commands_of("train_lite0.sh", arguments, tmp_path)
    *before, join, fourth, fifth, sixth, last, calibrate = commands
    trainings = [*before, fourth, fifth, sixth, last]
    assert {words[0] for words in trainings} == {"train_accelerate.py"}
    assert join[0] == "data_scripts/join_genuine_pictures.py"
    for words in (fourth, fifth, sixth, last):
        assert words[words.index("--genuine_data") + 1] == join[join.index("--out") + 1]
    stages = [parse_training_config(words[1:]) for words in trainings]
    *chain, mixed_in, published = stages
    assert [stage.initial_model for stage in chain[1:]] == [s.output_dir for s in chain[:-1]]
    assert mixed_in.initial_model == published.initial_model == chain[-1].output_dir
    assert published.mixed_model == mixed_in.output_dir
    assert calibrate[:3] == ["-m", "caddm_hf", "calibrate"]


def test_the_training_script_repeats_the_recorded_options(tmp_path: Path):
    """One command makes everything, from the data folder to the calibrated model."""
    (tmp_path / "data" / "FaceForensics++").mkdir(parents=True)
    (tmp_path / "programs").mkdir()
    out = tmp_path / "out"
    arguments = [str(tmp_path / "data"), str(out)]
    commands = commands_of("train_world.sh", arguments, tmp_path / "programs")
    split, *start, c23, c40, join, training, calibrate = commands
    assert split[0] == "data_scripts/split_by_source.py"
    assert [words[0] for words in (c23, c40)] == ["data_scripts/build_frame_dataset.py"] * 2
    assert join[0] == "data_scripts/join_collections.py"
    made = {Path(words[words.index("--out") + 1]).name for words in (c23, c40)}
    sources = read_recipe(BUNDLED_MODEL.parent / "world.yaml")
    assert made <= {source.data for source in sources}
    assert (out / "sources" / "FaceForensics++").exists()
    published = parse_training_config(training[1:])
    last = [words for words in start if words[0] == "train_accelerate.py"][-1]
    assert published.initial_model == parse_training_config(last[1:]).output_dir
    assert published.data == join[join.index("--out") + 1]
    metadata = json.loads((BUNDLED_MODEL / "training_metadata.json").read_text())
    recorded, command = metadata["options"], metadata["command"]
    for option in ("initial_share", "max_steps", "stop_after_steps"):
        assert command[command.index(f"--{option}") + 1] == str(getattr(published, option))
    # Options that the checkpoint is older than keep their defaults.
    defaults = TrainingConfig(data="DATA", output_dir="OUT").fixed_options()
    differing = {
        name
        for name, value in published.fixed_options().items()
        if recorded.get(name, defaults[name]) != value
        and name not in ("data", "validation_data", "initial_model")
    }
    assert differing == set()
    assert calibrate[:3] == ["-m", "caddm_hf", "calibrate"]
    assert calibrate[calibrate.index("--model") + 1] == published.output_dir
