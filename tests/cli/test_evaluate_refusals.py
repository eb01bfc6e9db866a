"""Commands that cannot be carried out: one sentence, exit status 2, no traceback."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from caddm_hf.checkpoint.loading import load_model
from caddm_hf.cli.main import main
from caddm_hf.dataset.schema import FRAME_FEATURES
from support.made_collection import made_rows, write_collection
from support.made_scores import run, write_tiny_model

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("data") / "made", 1, 4, frames=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def one_class(tmp_path) -> Path:
    rows = [row for row in made_rows(2, 1, seed=1) if row["label"] == "real"]
    path = tmp_path / "one_class.parquet"
    Dataset.from_list(rows, features=FRAME_FEATURES).to_parquet(path)
    return path


def refusal(capsys, *arguments: object) -> str:
    """The sentence of a command that ends with status 2 and without a traceback."""
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    return lines[0]


@pytest.mark.parametrize(
    "command", [("evaluate",), ("evaluate", "--robustness"), ("calibrate", "--dry-run")]
)
def test_one_class_is_refused_before_anything_is_scored(
    command, one_class, model, capsys, tmp_path
):
    out = tmp_path / "out"
    sentence = refusal(capsys, *command, "--model", model, "--data", one_class, "--output", out)
    assert "holds no fake videos" in sentence
    assert not out.exists()


@pytest.mark.parametrize(
    "command",
    [("evaluate",), ("calibrate",), ("probe-identity",), ("evaluate", "--localisation")],
)
def test_collections_of_another_schema_are_refused(command, model, tmp_path, capsys):
    path = tmp_path / "strange.parquet"
    Dataset.from_dict({"text": ["x"]}).to_parquet(path)
    out = tmp_path / "out"
    sentence = refusal(capsys, *command, "--model", model, "--data", path, "--output", out)
    assert "lacks the column" in sentence


def test_models_without_thresholds_are_refused(model, collection, tmp_path, capsys):
    folder = shutil.copytree(model, tmp_path / "none")
    config = json.loads((folder / "config.json").read_text())
    common = ("--data", collection, "--output", tmp_path / "out", "--bootstrap-samples", 20)
    sentence = refusal(
        capsys, "evaluate", "--model", folder, *common, "--false-positive-rate", 0.01
    )
    assert "no threshold for a false-positive rate of 0.01" in sentence
    (folder / "config.json").write_text(json.dumps(config | {"fake_above": None}))
    assert "'fake_above' of its config.json is null" in refusal(
        capsys, "evaluate", "--model", folder, *common
    )
    del config["fake_above"], config["real_below"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "has no threshold" in refusal(capsys, "evaluate", "--model", folder, *common)
    assert run("evaluate", "--model", folder, *common, "--ranking-only") == 0
    (result,) = json.loads((tmp_path / "out" / "evaluation.json").read_text())["results"]
    assert "verdicts" not in result["overall"]


def test_other_refusals(model, collection, one_class, tmp_path, capsys):
    def sentence(*arguments: object) -> str:
        return refusal(capsys, *arguments, "--output", tmp_path / "out")

    assert "the Hub cannot be reached" in sentence(
        "evaluate", "--model", "nobody/nothing", "--data", collection
    )
    assert "Two collections are called" in sentence(
        "evaluate", "--model", model, "--data", collection, collection
    )
    assert "--max-videos must be at least 2" in sentence(
        "evaluate", "--model", model, "--data", collection, "--max-videos", 1
    )
    assert "one model and one collection" in sentence(
        "evaluate", "--localisation", "--model", model, model, "--data", collection
    )
    assert "--save-to" in sentence("calibrate", "--model", "untrained", "--data", collection)
    assert "lacks the column 'identity'" in sentence(
        "probe-identity", "--model", model, "--data", collection
    )
    assert "at least two people with two photographs" in sentence(
        "probe-identity", "--model", model, "--data", one_class, "--identity-column", "video_id"
    )


def test_frames_that_cannot_be_scored_at_all(tmp_path, collection, capsys):
    broken = write_tiny_model(tmp_path / "nan")
    loaded = load_model(broken)
    with torch.no_grad():  # finite, but their difference is not
        loaded.model.classifier.bias.copy_(torch.tensor([-3e38, 3e38]))
    loaded.model.save_pretrained(broken)
    sentence = refusal(
        capsys, "evaluate", "--model", broken, "--data", collection, "--output", tmp_path / "out"
    )
    assert "No frame of 'made' could be scored: the network gave no finite score" in sentence


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "probe-identity"])
def test_wrong_options_show_the_usage(command, capsys):
    for wrong in (["--frames", "0"], ["--bootstrap-samples", "x"], ["--robustness=1"]):
        with pytest.raises(SystemExit) as caught:
            main([command, "--data", "x", *wrong])
        assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_of_a_measurement_does_not_wait_for_torch():
    code = "import sys; sys.argv=['caddm_hf','evaluate','--help']\n"
    code += "from caddm_hf.cli.main import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout.splitlines()[-1] == "False False"
