"""The other measurements as a user meets them: robustness, identity, localisation, false alarms."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, Value

from caddm_hf.dataset.schema import FRAME_FEATURES
from support.made_collection import made_rows, write_collection
from support.made_scores import run, write_tiny_model
from support.measurement_files import read_measurement

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    """20 genuine and 20 fake videos of 2 frames, with landmarks."""
    return write_collection(tmp_path_factory.mktemp("data") / "made", 1, 20, frames=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


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
    (result,) = read_measurement(out, "robustness")["results"]
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
    report = read_measurement(out, "identity-probe")
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
    report = read_measurement(out, "localisation")
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
    report = read_measurement(out, "false-alarms")
    thresholds, probabilities = report["thresholds"], np.array(report["probabilities"])
    assert len(probabilities) == report["collection"]["pictures"]
    called_fake = report["verdicts"]["called_fake"]
    assert called_fake["successes"] == (probabilities > thresholds["fake_above"]).sum()
    assert called_fake["trials"] == len(probabilities)
    assert (out / "false-alarms.md").read_text().startswith("## Genuine pictures")
    assert "called fake" in capsys.readouterr().out
    # The same weights, calibrated.
    scaling = {"calibration_temperature": 2.0, "calibration_bias": 1.2}
    moved = write_tiny_model(tmp_path / "moved", **scaling)
    calibrated = ["evaluate", "--false-alarms", "--model", moved, "--data", collection]
    assert run(*calibrated, "--output", tmp_path / "moved_out") == 0
    served = np.array(read_measurement(tmp_path / "moved_out", "false-alarms")["probabilities"])
    logits = np.log(probabilities / (1 - probabilities))
    assert served == pytest.approx(1 / (1 + np.exp(-(logits + 1.2) / 2)), abs=1e-3)
    # Rows that were trained on are left out.
    assert run(*arguments, "--output", out, "--skip-rows", 4) == 0
    assert read_measurement(out, "false-alarms")["collection"]["pictures"] < len(probabilities)
    assert run(*arguments, "--output", out, "--skip-rows", 10_000) == 2
    assert "no more than 10000 rows" in capsys.readouterr().err
