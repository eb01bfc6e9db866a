"""The commands as a user meets them: files written, runs resumed, processes shared."""

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
from datasets import Dataset, Features, Image, Value
from made_collection import made_rows, write_collection
from made_scores import fresh_accelerate, run, write_leaning_model, write_tiny_model  # noqa: F401

from caddm_hf import frame_scoring
from caddm_hf.frame_dataset import FRAME_FEATURES
from caddm_hf.frame_scoring import FrameScorer
from caddm_hf.model_card import CALIBRATED, NOT_CALIBRATED
from caddm_hf.model_loading import load_model
from caddm_hf.video_detection import DetectionConfig, VideoDetector

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    """20 genuine and 20 fake videos of 2 frames, with landmarks."""
    return write_collection(tmp_path_factory.mktemp("data") / "made", 1, 20, frames=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def read(folder: Path, kind: str) -> dict:
    report = json.loads((folder / f"{kind}.json").read_text())
    assert (report["kind"], report["schema_version"]) == (kind, 1)
    assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"{kind}.md").read_text().startswith("## ")
    return report


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
    report = read(out, "evaluation")
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
    report = read(tmp_path / "out", "evaluation")
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
    first = read(out, "evaluation")
    chunks = sorted((out / "intermediate").glob("scores-*/chunk-*.parquet"))
    assert len(chunks) == 5
    chunks[1].unlink()
    chunks[3].write_bytes(chunks[3].read_bytes()[:100])
    scored.clear()
    assert run(*arguments) == 0
    assert scored == [16] * 2
    assert pq.read_table(out / "scores.parquet").equals(whole)
    again = read(out, "evaluation")
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
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, two = (pq.read_table(tmp_path / name / "scores.parquet") for name in ("one", "two"))
    assert len(one) == 160
    assert one.equals(two)
    reports = [read(tmp_path / name, "evaluation") for name in ("one", "two")]
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
    (result,) = read(out, "evaluation")["results"]
    counts = result["overall"]["counts"]
    assert (counts["videos"], counts["failed_genuine"], counts["failed_fake"]) == (4, 1, 1)
    assert result["failures"]["reasons"] == {"no face found": 1, "unreadable": 1}
    table = pq.read_table(out / "scores.parquet").to_pylist()
    served = VideoDetector(load_model(model), DetectionConfig(frames=6), "cpu")(face_clip)
    for video in ("real/a.mp4", "fake/swap/a.mp4"):
        scores = [row["probability"] for row in table if row["video_id"] == video]
        assert len(scores) == 6
        assert np.mean(scores) == pytest.approx(served.largest_face_probability(), abs=1e-4)
    assert result["overall"]["ranking"]["video_auc"]["estimate"] == 0.5  # one clip twice


def test_robustness(collection, model, tmp_path):
    out = tmp_path / "out"
    assert (
        run(
            "evaluate",
            "--robustness",
            "--model",
            model,
            "--data",
            collection,
            "--max-videos",
            6,
            "--bootstrap-samples",
            20,
            "--output",
            out,
            "--frames",
            1,
        )
        == 0
    )
    (result,) = read(out, "robustness")["results"]
    assert len(result["curves"]) == 7
    assert all(len(curve["video_auc"]) == 5 for curve in result["curves"])
    table = pq.read_table(out / "robustness-scores.parquet")
    assert len(table) == 6 * 36
    scores = {}
    for row in table.to_pylist():
        scores.setdefault(row["video_id"], {})[row["distortion"], row["level"]] = row[
            "logit_difference"
        ]
    assert all(len(set(values.values())) > 30 for values in scores.values())


def test_calibrate_then_evaluate_at_what_it_stored(tmp_path):
    data = write_collection(tmp_path / "data", 1, 40, frames=1)
    folder = write_leaning_model(tmp_path / "leaning", list(made_rows(40, 1, seed=2)))
    before = folder.joinpath("config.json").read_text()
    common = ("--data", data, "--bootstrap-samples", 20)
    assert run("evaluate", "--model", folder, *common, "--output", tmp_path / "before") == 0
    out = tmp_path / "dry"
    assert run("calibrate", "--model", folder, *common, "--output", out, "--dry-run") == 0
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
            "--update-card",
        )
        == 0
    )
    assert folder.joinpath("config.json").read_text() == before
    report = read(tmp_path / "cal", "calibration")
    config = json.loads((copy / "config.json").read_text())
    found = report["calibration"]
    assert config["calibration_temperature"] == found["temperature"]["after"]
    assert config["fake_above"] == found["thresholds"]["after"]["fake_above"]
    assert set(config["calibration"]["thresholds"]) == {"0.2", "0.1"}
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
    results = [read(tmp_path / "before", "evaluation"), read(after, "evaluation")]
    blocks = [report["results"][0]["overall"] for report in results]
    assert blocks[0]["ranking"] == blocks[1]["ranking"]
    assert blocks[1]["verdicts"]["false_positive_rate"]["estimate"] <= 0.1


def test_probe_identity(tmp_path, model):
    rows = [
        {
            "image": row["image"],
            "landmarks": row["landmarks"],
            "who": row["video_id"],
            "video_id": f"{row['video_id']}-{row['frame_index']}",
        }
        for row in made_rows(6, 4, seed=4)
        if row["label"] == "real"
    ]
    features = Features(
        {
            "image": Image(),
            "landmarks": FRAME_FEATURES["landmarks"],
            "who": Value("string"),
            "video_id": Value("string"),
        }
    )
    path = tmp_path / "people.parquet"
    Dataset.from_list(rows, features=features).to_parquet(path)
    out = tmp_path / "out"
    plain = write_tiny_model(tmp_path / "plain", seed=3)
    assert (
        run(
            "probe-identity",
            "--model",
            model,
            "--data",
            path,
            "--identity-column",
            "who",
            "--plain-model",
            plain,
            "--output",
            out,
            "--bootstrap-samples",
            20,
        )
        == 0
    )
    report = read(out, "identity-probe")
    assert [row["role"] for row in report["results"]] == (
        ["model"] * 3 + ["plain"] * 3 + ["random", "pixels"]
    )
    assert report["chance"] == pytest.approx(1 / 6)
    assert (report["collection"]["people"], report["collection"]["photographs"]) == (6, 24)
    assert all(0 <= row["accuracy"]["estimate"] <= 1 for row in report["results"])


def test_localisation(tmp_path, collection, model):
    out = tmp_path / "out"
    assert (
        run(
            "evaluate",
            "--localisation",
            "--model",
            model,
            "--data",
            collection,
            "--faces",
            4,
            "--output",
            out,
            "--bootstrap-samples",
            20,
        )
        == 0
    )
    report = read(out, "localisation")
    assert report["collection"]["faces"] == 4
    assert {block["forgery"] for block in report["results"]} == {"self", "cross"}
    assert set(report["results"][0]["methods"]) == {
        "anchors",
        "anchors, stretched",
        "Grad-CAM",
        "centre",
    }


def test_false_alarms_are_counted_on_genuine_pictures(tmp_path, collection, model, capsys):
    out = tmp_path / "out"
    arguments = ["evaluate", "--false-alarms", "--model", model, "--data", collection]
    assert run(*arguments, "--output", out) == 0
    report = read(out, "false-alarms")
    thresholds, probabilities = report["thresholds"], np.array(report["probabilities"])
    assert len(probabilities) == report["collection"]["pictures"]
    called_fake = report["verdicts"]["called_fake"]
    assert called_fake["successes"] == (probabilities > thresholds["fake_above"]).sum()
    assert called_fake["trials"] == len(probabilities)
    assert (out / "false-alarms.md").read_text().startswith("## Genuine pictures")
    assert "called fake" in capsys.readouterr().out
    # Rows that were trained on are left out.
    assert run(*arguments, "--output", out, "--skip-rows", 4) == 0
    assert read(out, "false-alarms")["collection"]["pictures"] < len(probabilities)
    assert run(*arguments, "--output", out, "--skip-rows", 10_000) == 2
    assert "no more than 10000 rows" in capsys.readouterr().err
