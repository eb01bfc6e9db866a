"""Calibration: what it finds on made-up scores, what it never changes, what the detector uses."""

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from caddm_hf.checkpoint.loading import load_model
from caddm_hf.dataset.schema import FrameDataError
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.evaluation.calibration import (
    calibrate_table,
    fit_video_scaling,
    store_calibration,
    video_logits,
)
from caddm_hf.evaluation.figures import Bootstrap, evaluate_table
from caddm_hf.evaluation.score_table import gather_videos, numbers
from caddm_hf.metrics.reliability import class_weights, expected_calibration_error
from caddm_hf.metrics.statistics import fit_platt_scaling
from caddm_hf.report.verdicts import LogitScaling, Thresholds
from support.made_scores import MadeVideo, made_table, write_tiny_model

RATES = [0.05, 0.01, 0.1]


def miscalibrated(
    temperature: float, count: int = 8000, frames: int = 1, seed: int = 0, bias: float = 0.0
):
    """Videos whose mean probability has a logit z so that (z + bias) / temperature is calibrated.

    With several frames these differ much: from nearly nothing to nearly twice the mean, or as far
    from 1 where the mean is above one half.
    """
    rng = np.random.default_rng(seed)
    true_logits = rng.normal(0, 2, count)
    labels = rng.random(count) < 1 / (1 + np.exp(-true_logits))
    factors = np.linspace(0.05, 1.95, frames) if frames > 1 else np.ones(1)
    videos = []
    logits_of_means = temperature * true_logits - bias
    for number, (label, logit) in enumerate(zip(labels, logits_of_means, strict=True)):
        rarer = factors / (1 + math.exp(abs(logit)))  # of the less probable class
        logits = np.sign(logit) * (np.log1p(-rarer) - np.log(rarer))
        videos.append(MadeVideo(f"v{number:05d}", int(label), [float(value) for value in logits]))
    return videos


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.5])
@pytest.mark.parametrize(("frames", "bias"), [(1, 0.0), (3, 0.0), (1, 2.0), (3, -2.0)])
def test_a_made_up_temperature_and_bias_are_found_within_5_percent(temperature, frames, bias):
    table = made_table(miscalibrated(temperature, frames=frames, bias=bias))
    found = calibrate_table(table, RATES)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.bias == pytest.approx(bias, rel=0.05, abs=0.05 * temperature)
    after = found.report["after"]["expected_calibration_error"]
    held = found.report["held_out"]["expected_calibration_error"]
    assert after < 0.02
    assert held < 0.025
    if (temperature, bias) != (1.0, 0.0):
        assert found.report["before"]["expected_calibration_error"] > 2 * after


def test_a_bias_repairs_what_no_temperature_can():
    """Logits that lean to "real" by 2: the best temperature alone is far from calibrated."""
    table = made_table(miscalibrated(1.0, bias=2.0))
    logits = video_logits(table)
    labels = logits.labels
    alone = min(
        expected_calibration_error(logits.probabilities(LogitScaling(temperature)), labels)
        for temperature in np.geomspace(0.05, 20, 60)
    )
    together = calibrate_table(table, RATES).report["after"]["expected_calibration_error"]
    assert alone > 0.08
    assert together < 0.02


def test_the_scaling_is_that_of_the_logits_of_the_means():
    rng = np.random.default_rng(0)
    videos = [
        MadeVideo(f"{n:03d}", n % 2, rng.normal((n % 2 - 0.5) * 3, 4, 6).tolist())
        for n in range(200)
    ]
    means = np.array([np.mean(1 / (1 + np.exp(-np.array(video.logits)))) for video in videos])
    labels = [video.label for video in videos]
    found = fit_video_scaling(video_logits(made_table(videos)))
    assert (found.temperature, found.bias) == pytest.approx(
        fit_platt_scaling(np.log(means / (1 - means)), labels)
    )


def test_with_a_prior_the_number_of_fakes_changes_nothing():
    """The same videos, the fakes three times over: calibration and figures stay."""
    videos = miscalibrated(2.0, count=400, bias=1.0)
    copies = [
        replace(video, video_id=f"{video.video_id} {number}")
        for video in videos
        for number in range(3 if video.label else 1)
    ]
    once, more, as_found = (
        calibrate_table(made_table(given), RATES, prior=prior)
        for given, prior in ((videos, 0.3), (copies, 0.3), (copies, None))
    )
    assert more.temperature == pytest.approx(once.temperature, rel=1e-6)
    assert more.bias == pytest.approx(once.bias, rel=1e-6)
    for figure in ("expected_calibration_error", "negative_log_likelihood"):
        assert more.report["after"][figure] == pytest.approx(once.report["after"][figure])
    assert more.report["prior"] == {"fake_share": 0.3, "as_found": False}
    # As found the fakes are more, and so is the probability of being one: by as much as the odds.
    share = np.mean([video.label for video in copies])
    assert as_found.report["prior"] == {"fake_share": pytest.approx(share), "as_found": True}
    odds = math.log(share / (1 - share)) - math.log(0.3 / 0.7)
    risen = as_found.bias / as_found.temperature - more.bias / more.temperature
    assert risen == pytest.approx(odds, rel=0.1)
    for figure in ("false_positive_rate", "miss_rate", "undecided"):
        assert as_found.report["after"][figure] == more.report["after"][figure]


@pytest.mark.parametrize("seed", range(3))
def test_ranking_never_changes(seed):
    """The order of frames and of videos of several different frames, and every ranking figure."""
    rng = np.random.default_rng(seed)
    videos = [
        MadeVideo(f"{n}", n % 2, rng.normal(n % 2, 3, rng.integers(1, 9)).tolist())
        for n in range(60)
    ]
    before = made_table(videos)
    found = calibrate_table(before, RATES)
    assert found.report["before"]["video_auc"] == found.report["after"]["video_auc"]
    fitted = LogitScaling(found.temperature, found.bias)
    for scaling in (fitted, LogitScaling(0.5, -3.0), LogitScaling(1.0, 2.0), LogitScaling(4.0)):
        tables = before, made_table(videos, scaling)
        frames = [np.argsort(numbers(table, "probability"), kind="stable") for table in tables]
        assert np.array_equal(*frames)
        served = [gather_videos(table).probabilities for table in tables]
        assert not np.allclose(*served)
        assert np.array_equal(*(np.argsort(values, kind="stable") for values in served))
        ranking = [
            overall["ranking"] | overall["frames"]
            for overall in (
                evaluate_table(table, None, Bootstrap(20))["overall"] for table in tables
            )
        ]
        assert ranking[0] == ranking[1]


def test_evaluation_serves_what_was_calibrated():
    """The probabilities thresholds are chosen on are those that verdicts compare with them."""
    videos = miscalibrated(3.0, count=200, frames=4)
    logits = video_logits(made_table(videos))
    for temperature, bias in product((0.3, 1.0, 3.0), (-1.5, 0.0, 0.5)):
        scaling = LogitScaling(temperature, bias)
        assert gather_videos(made_table(videos, scaling)).probabilities == pytest.approx(
            logits.probabilities(scaling), rel=1e-9
        )


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_keep_the_stated_rates_and_not_more(seed):
    videos = miscalibrated(2.0, count=500, seed=seed, bias=1.5)
    found = calibrate_table(made_table(videos), RATES, miss_rate=0.02)
    scores = {0: [], 1: []}
    for video in videos:
        probability = 1 / (1 + math.exp(-(video.logits[0] + found.bias) / found.temperature))
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
    videos = [MadeVideo(f"g{n}", 0, [-4.0 - n / 4]) for n in range(49)]
    videos += [MadeVideo(f"f{n}", 1, [4.0 + n / 4]) for n in range(49)]
    videos += [MadeVideo("wrong genuine", 0, [5.0]), MadeVideo("wrong fake", 1, [-5.0])]
    found = calibrate_table(made_table(videos), [0.05])
    assert found.real_below == found.fake_above == pytest.approx(0.5)


def test_the_report_is_that_of_its_own_definitions():
    videos = miscalibrated(3.0, count=300)
    table = made_table(videos)
    shipped = LogitScaling(2.0, 0.8), Thresholds(0.3, 0.7)
    found = calibrate_table(table, RATES, shipped=shipped, prior=0.5)
    assert found.report["temperature"] == {"before": 2.0, "after": found.temperature}
    assert found.report["bias"] == {"before": 0.8, "after": found.bias}
    labels = np.array([video.label for video in videos])
    logits = np.array([video.logits[0] for video in videos])
    before = 1 / (1 + np.exp(-(logits + 0.8) / 2.0))
    assert found.report["before"]["expected_calibration_error"] == pytest.approx(
        expected_calibration_error(before, labels, weights=class_weights(labels, 0.5))
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
        ([MadeVideo("a", 0, [-1.0]), MadeVideo("b", 1, [2.0])], "would be 0.*more, or harder"),
        ([MadeVideo("a", 0, [1.0]), MadeVideo("b", 1, [-2.0])], "do not score higher"),
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
    assert (found.temperature, found.bias) == (clean.temperature, clean.bias)
    assert found.report["videos"] == clean.report["videos"]


def test_the_detector_uses_what_was_stored(tmp_path, face_picture):
    folder = write_tiny_model(tmp_path / "model", real_below=0.2, fake_above=0.9)
    untouched = json.loads((folder / "config.json").read_text())
    uncalibrated = VideoDetector(load_model(folder), device="cpu")(face_picture)
    found = calibrate_table(made_table(miscalibrated(2.5, count=300, bias=1.0)), RATES)
    assert abs(found.bias) > 0.5
    store_calibration(folder, found, {"collection": {"name": "made"}})

    config = json.loads((folder / "config.json").read_text())
    changed = {key for key in config if config[key] != untouched.get(key)}
    fitted = {"calibration_temperature", "calibration_bias", "real_below", "fake_above"}
    assert changed == {*fitted, "calibration"}
    loaded = load_model(folder)
    assert loaded.model.config.calibration["thresholds"] == found.thresholds
    detector = VideoDetector(loaded, device="cpu")
    assert detector.thresholds == Thresholds(found.real_below, found.fake_above)
    report = detector(face_picture)
    raw = uncalibrated.people[0].faces[0].fake_probability
    served = report.people[0].faces[0].fake_probability
    assert math.log(served / (1 - served)) * found.temperature == pytest.approx(
        math.log(raw / (1 - raw)) + found.bias, rel=1e-4
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


def two_domains() -> list[MadeVideo]:
    """A large easy domain, and a small one whose genuine videos score 2 higher."""
    rng = np.random.default_rng(5)
    videos = []
    for domain, count, shift in (("easy", 400, 0.0), ("hard", 40, 2.0)):
        for number in range(count):
            label = number % 2
            logit = float(rng.normal(2 * label, 1) + (0 if label else shift))
            name = f"{domain}-{number:03d}"
            videos.append(MadeVideo(name, label, [logit], origin=domain))
    return videos


def test_the_rate_holds_in_the_worst_domain():
    table = made_table(two_domains())
    pooled = calibrate_table(table, [0.05])
    worst = calibrate_table(table, [0.05], by_domain=True)

    def rates(found):
        videos = gather_videos(table)
        scaling = LogitScaling(found.temperature, found.bias)
        probabilities = video_logits(table).probabilities(scaling)
        genuine = videos.labels == 0
        return {
            domain: float(
                np.mean(
                    probabilities[genuine & (np.array(videos.origins) == domain)] > found.fake_above
                )
            )
            for domain in ("easy", "hard")
        }

    assert rates(pooled)["hard"] > 0.05
    assert max(rates(worst).values()) <= 0.05
    shares = {block["domain"]: block for block in worst.report["domains"]}
    assert shares["hard"]["false_positive_rate"]["estimate"] == rates(worst)["hard"]
    assert [block["domain"] for block in pooled.report["domains"]] == [""]


def test_domains_weigh_the_same_in_the_fit():
    """Four hundred copies of the easy domain's videos do not outvote the hard one."""
    videos = two_domains()
    copies = [replace(v, video_id=f"{v.video_id}-again") for v in videos if v.origin == "easy"]
    once = calibrate_table(made_table(videos), [0.05], by_domain=True)
    twice = calibrate_table(made_table(videos + copies), [0.05], by_domain=True)
    assert twice.temperature == pytest.approx(once.temperature, rel=1e-3)
    assert twice.bias == pytest.approx(once.bias, rel=1e-3)


def test_a_small_domain_moves_no_threshold():
    videos = [*two_domains(), *(MadeVideo(f"few-{n}", 0, [4.0], origin="few") for n in range(3))]
    rate = calibrate_table(made_table(videos), [0.05], by_domain=True)
    probability = LogitScaling(rate.temperature, rate.bias).calibrated(1 / (1 + math.exp(-4.0)))
    assert rate.fake_above < probability
