"""`evaluate` and `calibrate` as a user meets them: files, resumed runs, shared processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, Image

from caddm_hf.checkpoint.card import CALIBRATED, NOT_CALIBRATED
from caddm_hf.checkpoint.loading import load_model
from caddm_hf.dataset.schema import FRAME_FEATURES
from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.evaluation import scoring as frame_scoring
from caddm_hf.evaluation.scoring import FrameScorer
from support.made_collection import made_rows, write_collection
from support.made_scores import run, write_leaning_model, write_tiny_model
from support.measurement_files import read_measurement

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    """20 genuine and 20 fake videos of 2 frames, with landmarks."""
    return write_collection(tmp_path_factory.mktemp("data") / "made", 1, 20, frames=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def test_evaluate_scores_what_the_detector_would(collection, model, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        run(
            "evaluate",
            "--model",
            model,
            "--data",
            collection,
            "--output",
            out,
            "--bootstrap-samples",
            50,
            "--batch-size",
            16,
        )
        == 0
    )
    report = read_measurement(out, "evaluation")
    table = pq.read_table(out / "scores.parquet").to_pylist()
    assert len(table) == 80
    loaded = load_model(model)
    rows = list(made_rows(20, 2, seed=2))
    by_key = {(row["video_id"], row["frame_index"]): row for row in table}
    for row in rows[::9]:
        image = Image().decode_example(row["image"])
        crop, _ = loaded.image_processor.align(np.array(image), np.array(row["landmarks"]))
        with torch.inference_mode():
            output = loaded.model(loaded.image_processor.pixel_values([crop]))
            probability = float(loaded.model.fake_probability(output)[0])
        scored = by_key[row["video_id"], row["frame_index"]]
        assert scored["probability"] == pytest.approx(probability, abs=1e-4)
        assert (scored["method"], scored["dataset"]) == (row["method"], "made")
    protocol = report["protocol"]
    assert (protocol["frames"], protocol["bootstrap_samples"]) == (32, 50)
    (data,), (described,) = report["collections"], report["models"]
    assert data["compressions"] == ["raw"]
    assert (data["genuine_videos"], data["fake_videos"]) == (20, 20)
    assert re.fullmatch("[0-9a-f]{32}", data["fingerprint"])
    assert re.fullmatch("[0-9a-f]{32}", described["weights_digest"])
    assert described["name"] == "tiny"
    assert "torch" in report["versions"]
    (result,) = report["results"]
    assert result["overall"]["counts"]["groups"] == 20
    assert str(tmp_path) not in json.dumps(report)
    assert "video AUC" in capsys.readouterr().out


def test_several_models_give_one_table_and_sections_of_their_own(collection, model, tmp_path):
    other = write_tiny_model(tmp_path / "other", seed=1)
    ours = shutil.copytree(model, tmp_path / "tiny")
    (other / "README.md").write_text("# Other\n\nIts own words.\n")
    arguments = (
        "evaluate",
        "--model",
        ours,
        other,
        "--data",
        collection,
        "--max-videos",
        8,
        "--bootstrap-samples",
        20,
        "--output",
        tmp_path / "out",
        "--update-card",
    )
    assert run(*arguments) == 0
    report = read_measurement(tmp_path / "out", "evaluation")
    table = report["cross_dataset_table"]
    assert table["columns"] == ["made raw"]
    assert [row["model"] for row in table["rows"]] == ["tiny", "other"]
    assert report["results"][0]["overall"]["counts"]["videos"] == 8
    scores = pq.read_table(tmp_path / "out" / "scores.parquet").to_pandas()
    assert scores.groupby("model")["logit_difference"].mean().nunique() == 2
    section = (tmp_path / "out" / "evaluation.md").read_text()
    assert "tiny" in section
    assert "### Across datasets" in section
    card = (other / "README.md").read_text()
    assert card.startswith("# Other\n\nIts own words.")
    assert "| tiny |" not in card
    assert (other / "evaluation" / "evaluation.png").is_file()
    # A second time the section is replaced, not repeated.
    assert run(*arguments) == 0
    assert (other / "README.md").read_text().count("## Evaluation") == 1


def test_an_interrupted_run_goes_on_where_it_stopped(collection, model, tmp_path, monkeypatch):
    monkeypatch.setattr(frame_scoring, "FRAMES_PER_CHUNK", 16)
    scored = []
    original = FrameScorer.logit_differences

    def counted(self, crops_rgb):
        scored.append(len(crops_rgb))
        return original(self, crops_rgb)

    monkeypatch.setattr(FrameScorer, "logit_differences", counted)
    out = tmp_path / "out"
    arguments = (
        "evaluate",
        "--model",
        model,
        "--data",
        collection,
        "--output",
        out,
        "--bootstrap-samples",
        20,
    )
    assert run(*arguments) == 0
    assert scored == [16] * 5
    whole = pq.read_table(out / "scores.parquet")
    first = read_measurement(out, "evaluation")
    chunks = sorted((out / "intermediate").glob("scores-*/chunk-*.parquet"))
    assert len(chunks) == 5
    chunks[1].unlink()
    chunks[3].write_bytes(chunks[3].read_bytes()[:100])
    scored.clear()
    assert run(*arguments) == 0
    assert scored == [16] * 2
    assert pq.read_table(out / "scores.parquet").equals(whole)
    again = read_measurement(out, "evaluation")
    assert again["results"] == first["results"]
    # Another model, or other frames, share nothing with it.
    scored.clear()
    assert run(*arguments, "--frames", 1) == 0
    assert sum(scored) == 40


def test_two_processes_make_the_table_of_one(collection, model, tmp_path):
    """160 rows, so three chunks are dealt to two processes."""
    rows = Dataset.from_list(list(made_rows(20, 4, seed=5)), features=FRAME_FEATURES)
    data = tmp_path / "data"
    data.mkdir()
    rows.to_parquet(data / "test-0.parquet")
    arguments = ("evaluate", "--model", model, "--data", data, "--bootstrap-samples", 20)
    assert run(*arguments, "--output", tmp_path / "one") == 0
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launcher += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0", "-m", "caddm_hf"]
    done = subprocess.run(
        [
            sys.executable,
            *launcher,
            *map(str, arguments),
            "--output",
            str(tmp_path / "two"),
            "--device",
            "cpu",
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, two = (pq.read_table(tmp_path / name / "scores.parquet") for name in ("one", "two"))
    assert len(one) == 160
    assert one.equals(two)
    reports = [read_measurement(tmp_path / name, "evaluation") for name in ("one", "two")]
    assert [report["protocol"]["processes"] for report in reports] == [1, 2]
    assert reports[0]["results"] == reports[1]["results"]


def test_a_folder_of_videos_is_scored_as_the_detector_scores_it(
    model, face_clip, empty_clip, tmp_path
):
    clips = tmp_path / "clips"
    for name, clip in (
        ("real/a.mp4", face_clip),
        ("fake/swap/a.mp4", face_clip),
        ("fake/swap/none.mp4", empty_clip),
    ):
        (clips / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, clips / name)
    (clips / "real" / "broken.mp4").write_text("not a video")
    out = tmp_path / "out"
    assert (
        run(
            "evaluate",
            "--model",
            model,
            "--data",
            clips,
            "--frames",
            6,
            "--output",
            out,
            "--bootstrap-samples",
            20,
        )
        == 0
    )
    (result,) = read_measurement(out, "evaluation")["results"]
    counts = result["overall"]["counts"]
    assert (counts["videos"], counts["failed_genuine"], counts["failed_fake"]) == (4, 1, 1)
    assert result["failures"]["reasons"] == {"no face found": 1, "unreadable": 1}
    table = pq.read_table(out / "scores.parquet").to_pylist()
    served = VideoDetector(load_model(model), DetectionConfig(frames=6), "cpu")(face_clip)
    for video in ("real/a.mp4", "fake/swap/a.mp4"):
        scores = [row["probability"] for row in table if row["video_id"] == video]
        assert len(scores) == 6
        assert np.mean(scores) == pytest.approx(served.judgement.fake_probability, abs=1e-4)
    assert result["overall"]["ranking"]["video_auc"]["estimate"] == 0.5  # one clip twice


def test_calibrate_then_evaluate_at_what_it_stored(tmp_path):
    data = write_collection(tmp_path / "data", 1, 40, frames=1)
    folder = write_leaning_model(tmp_path / "leaning", list(made_rows(40, 1, seed=2)))
    before = folder.joinpath("config.json").read_text()
    common = ("--data", data, "--bootstrap-samples", 20)
    assert run("evaluate", "--model", folder, *common, "--output", tmp_path / "before") == 0
    out = tmp_path / "dry"
    assert run("calibrate", "--model", folder, *common, "--output", out, "--dry-run") == 0
    as_found = read_measurement(out, "calibration")["calibration"]["prior"]
    assert as_found == {"fake_share": 0.5, "as_found": True}
    assert folder.joinpath("config.json").read_text() == before
    copy = tmp_path / "calibrated"
    (folder / "README.md").write_text(f"# Model\n\n{NOT_CALIBRATED}\n")
    assert (
        run(
            "calibrate",
            "--model",
            folder,
            *common,
            "--output",
            tmp_path / "cal",
            "--save-to",
            copy,
            "--false-positive-rate",
            0.2,
            0.1,
            "--prior",
            0.3,
            "--update-card",
        )
        == 0
    )
    assert folder.joinpath("config.json").read_text() == before
    report = read_measurement(tmp_path / "cal", "calibration")
    config = json.loads((copy / "config.json").read_text())
    found = report["calibration"]
    assert config["calibration_temperature"] == found["temperature"]["after"]
    assert config["calibration_bias"] == found["bias"]["after"] != 0
    assert report["model"]["bias"] == found["bias"]["before"] == 0
    temperature, bias = (found[name]["after"] for name in ("temperature", "bias"))
    assert f"and bias 0 became {temperature:.4g} and {bias:.4g}" in (copy / "README.md").read_text()
    assert config["fake_above"] == found["thresholds"]["after"]["fake_above"]
    assert set(config["calibration"]["thresholds"]) == {"0.2", "0.1"}
    assert config["calibration"]["prior"] == {"fake_share": 0.3, "as_found": False}
    assert "A probability presumes that 30.0% of videos are fake (" in (
        (copy / "README.md").read_text()
    )
    assert (
        config["calibration"]["collection"]["fingerprint"] == (report["collection"]["fingerprint"])
    )
    assert "## Calibration" in (copy / "README.md").read_text()
    assert CALIBRATED in (copy / "README.md").read_text()
    assert NOT_CALIBRATED not in (copy / "README.md").read_text()
    assert (
        run(
            "calibrate", "--model", folder, *common, "--output", tmp_path / "cal", "--save-to", copy
        )
        == 2
    )

    after = tmp_path / "after"
    assert (
        run("evaluate", "--model", copy, *common, "--output", after, "--false-positive-rate", 0.1)
        == 0
    )
    results = [
        read_measurement(tmp_path / "before", "evaluation"),
        read_measurement(after, "evaluation"),
    ]
    assert results[1]["models"][0]["bias"] == bias
    served = pq.read_table(after / "scores.parquet").to_pandas()
    logits = (served["logit_difference"] + bias) / temperature
    assert served["probability"].to_numpy() == pytest.approx(1 / (1 + np.exp(-logits)))
    blocks = [report["results"][0]["overall"] for report in results]
    assert blocks[0]["ranking"] == blocks[1]["ranking"]
    assert blocks[1]["verdicts"]["false_positive_rate"]["estimate"] <= 0.1
