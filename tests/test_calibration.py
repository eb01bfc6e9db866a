"""Calibration: what it finds on made-up scores, what it never changes, what the detector uses."""

import json
import math

import numpy as np
import pytest
from made_scores import MadeVideo, made_table, write_tiny_model

from caddm_hf.calibration import (
    BINS,
    calibrate_table,
    fit_video_temperature,
    store_calibration,
    video_logits,
)
from caddm_hf.evaluation import Bootstrap, evaluate_table
from caddm_hf.frame_dataset import FrameDataError
from caddm_hf.model_loading import load_model
from caddm_hf.score_statistics import expected_calibration_error, fit_temperature
from caddm_hf.score_table import numbers
from caddm_hf.verdicts import Thresholds
from caddm_hf.video_detection import VideoDetector

RATES = [0.05, 0.01, 0.1]


def miscalibrated(temperature: float, count: int = 8000, frames: int = 1, seed: int = 0):
    """Videos whose logits are `temperature` times those that are calibrated."""
    rng = np.random.default_rng(seed)
    true_logits = rng.normal(0, 2, count)
    labels = rng.random(count) < 1 / (1 + np.exp(-true_logits))
    return [
        MadeVideo(f"v{number:05d}", int(label), [float(temperature * logit)] * frames)
        for number, (label, logit) in enumerate(zip(labels, true_logits, strict=True))
    ]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.5])
@pytest.mark.parametrize("frames", [1, 3])
def test_a_made_up_temperature_is_found_within_5_percent(temperature, frames):
    table = made_table(miscalibrated(temperature, frames=frames))
    found = calibrate_table(table, RATES)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    after = found.report["after"]["expected_calibration_error"]
    held = found.report["held_out"]["expected_calibration_error"]
    assert after < 0.02
    assert held < 0.025
    if temperature != 1.0:
        assert found.report["before"]["expected_calibration_error"] > 2 * after


def test_with_one_frame_a_video_it_is_the_frames_temperature():
    logits = video_logits(made_table(miscalibrated(2.0, count=400)))
    assert fit_video_temperature(logits) == fit_temperature(
        logits.logit_differences, logits.labels[logits.video]
    )


def test_with_several_frames_no_temperature_fits_the_videos_better():
    rng = np.random.default_rng(0)
    videos = [
        MadeVideo(f"{n}", n % 2, rng.normal((n % 2 - 0.5) * 3, 4, 6).tolist()) for n in range(200)
    ]
    logits = video_logits(made_table(videos))
    best = fit_video_temperature(logits)

    def loss(temperature: float) -> float:
        total = 0.0
        for video in videos:
            fake = np.mean([1 / (1 + math.exp(-z / temperature)) for z in video.logits])
            total -= math.log(fake if video.label else 1 - fake)
        return total

    assert all(loss(best) <= loss(best * factor) for factor in (0.2, 0.8, 0.99, 1.01, 1.3, 5))


@pytest.mark.parametrize("seed", range(3))
def test_ranking_never_changes(seed):
    """The frames' order, and every ranking figure of the published protocol."""
    rng = np.random.default_rng(seed)
    videos = [
        MadeVideo(f"{n}", n % 2, rng.normal(n % 2, 3, rng.integers(1, 9)).tolist())
        for n in range(60)
    ]
    before = made_table(videos)
    after = made_table(videos, calibrate_table(before, RATES).temperature)
    order_before, order_after = (
        np.argsort(numbers(table, "probability"), kind="stable") for table in (before, after)
    )
    assert np.array_equal(order_before, order_after)
    ranking = [
        {
            name: figure
            for name, figure in found["overall"]["ranking"].items()
            if name != "video_auc_calibrated"
        }
        | found["overall"]["frames"]
        for found in (evaluate_table(table, None, Bootstrap(20)) for table in (before, after))
    ]
    assert ranking[0] == ranking[1]


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_keep_the_stated_rates_and_not_more(seed):
    videos = miscalibrated(2.0, count=500, seed=seed)
    found = calibrate_table(made_table(videos), RATES, miss_rate=0.02)
    scores = {0: [], 1: []}
    for video in videos:
        probability = 1 / (1 + math.exp(-video.logits[0] / found.temperature))
        scores[video.label].append(probability)
    genuine, fake = (np.array(scores[label]) for label in (0, 1))
    assert 0 <= found.real_below < found.fake_above <= 1
    assert np.mean(genuine > found.fake_above) <= 0.05
    assert np.mean(fake < found.real_below) <= 0.02
    # One more video would have been allowed at most.
    assert np.mean(genuine > found.fake_above) > 0.05 - 2 / len(genuine)
    assert np.mean(fake < found.real_below) > 0.02 - 2 / len(fake)
    for rate, row in zip(RATES, found.report["at_rates"], strict=True):
        assert found.thresholds[f"{rate:g}"] == row["threshold"]
        assert np.mean(genuine > row["threshold"]) <= rate
    assert found.thresholds["0.05"] == found.fake_above
    assert found.thresholds["0.1"] < found.thresholds["0.05"] < found.thresholds["0.01"]


def test_no_band_is_left_where_one_threshold_keeps_both_rates():
    videos = [MadeVideo(f"g{n}", 0, [-4.0 - n]) for n in range(49)]
    videos += [MadeVideo(f"f{n}", 1, [4.0 + n]) for n in range(49)]
    videos += [MadeVideo("wrong genuine", 0, [5.0]), MadeVideo("wrong fake", 1, [-5.0])]
    found = calibrate_table(made_table(videos), [0.05])
    assert found.real_below == found.fake_above == pytest.approx(0.5)


def test_the_report_is_that_of_its_own_definitions():
    videos = miscalibrated(3.0, count=300)
    table = made_table(videos)
    found = calibrate_table(table, RATES, shipped=(2.0, 0.3, 0.7))
    labels = np.array([video.label for video in videos])
    logits = np.array([video.logits[0] for video in videos])
    before = 1 / (1 + np.exp(-logits / 2.0))
    assert found.report["before"]["expected_calibration_error"] == pytest.approx(
        expected_calibration_error(before, labels, BINS)
    )
    assert found.report["before"]["undecided"]["successes"] == int(
        np.sum((before >= 0.3) & (before <= 0.7))
    )
    held = found.report["held_out"]
    assert held["folds"] == 5
    assert abs(held["false_positive_rate"]["estimate"] - 0.05) < 0.04
    json.dumps(found.report, allow_nan=False)


def test_videos_of_one_source_are_held_out_together():
    """With pure noise shared by a source's videos, a fold must not know the held-out ones."""
    rng = np.random.default_rng(0)
    sources = rng.normal(0, 3, 12)
    videos = [
        MadeVideo(f"{s}-{label}-{n}", label, [float(logit + label)], source=f"s{s}")
        for s, logit in enumerate(sources)
        for label in (0, 1)
        for n in range(3)
    ]
    logits = video_logits(made_table(videos))
    assert len(set(logits.groups)) == 12
    assert calibrate_table(made_table(videos), [0.2]).report["held_out"]["folds"] == 5


@pytest.mark.parametrize(
    ("videos", "sentence"),
    [
        ([MadeVideo("a", 0, [1.0])], "no fake videos"),
        ([MadeVideo("a", 0, [-1.0]), MadeVideo("b", 1, [None])], "could be scored.*no fake"),
        ([MadeVideo("a", 0, [-1.0]), MadeVideo("b", 1, [2.0])], "right side.*more, or harder"),
        ([MadeVideo("a", 0, [1.0]), MadeVideo("b", 1, [-2.0])], "lean to the wrong class"),
    ],
)
def test_scores_that_cannot_be_calibrated(videos, sentence):
    with pytest.raises(FrameDataError, match=sentence):
        calibrate_table(made_table(videos), RATES)


def test_failed_frames_take_no_part():
    videos = miscalibrated(2.0, count=300)
    with_failures = [MadeVideo(v.video_id, v.label, [*v.logits, None]) for v in videos] + [
        MadeVideo("lost", 0, [None])
    ]
    clean, found = (calibrate_table(made_table(table), RATES) for table in (videos, with_failures))
    assert found.temperature == clean.temperature
    assert found.report["videos"] == clean.report["videos"]


def test_the_detector_uses_what_was_stored(tmp_path, face_picture):
    folder = write_tiny_model(tmp_path / "model", real_below=0.2, fake_above=0.9)
    untouched = json.loads((folder / "config.json").read_text())
    uncalibrated = VideoDetector(load_model(folder), device="cpu")(face_picture)
    found = calibrate_table(made_table(miscalibrated(2.5, count=300)), RATES)
    store_calibration(folder, found, {"collection": {"name": "made"}})

    config = json.loads((folder / "config.json").read_text())
    changed = {key for key in config if config[key] != untouched.get(key)}
    assert changed == {"calibration_temperature", "real_below", "fake_above", "calibration"}
    loaded = load_model(folder)
    assert loaded.model.config.calibration["thresholds"] == found.thresholds
    detector = VideoDetector(loaded, device="cpu")
    assert detector.thresholds == Thresholds(found.real_below, found.fake_above)
    report = detector(face_picture)
    raw = uncalibrated.people[0].faces[0].fake_probability
    served = report.people[0].faces[0].fake_probability
    assert math.log(served / (1 - served)) * found.temperature == pytest.approx(
        math.log(raw / (1 - raw)), rel=1e-4
    )
    # Saved again, for example by push_to_hub, the record stays.
    loaded.model.save_pretrained(tmp_path / "again")
    assert (
        json.loads((tmp_path / "again" / "config.json").read_text())["calibration"]
        == (config["calibration"])
    )


def test_a_damaged_configuration_is_left_as_it_is(tmp_path):
    found = calibrate_table(made_table(miscalibrated(2.0, count=100)), RATES)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FrameDataError, match="cannot be read"):
        store_calibration(tmp_path, found, {})
    assert (tmp_path / "config.json").read_text() == "{"
