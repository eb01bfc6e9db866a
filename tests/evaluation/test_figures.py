"""The figures of an evaluation against computations of another kind, and what is counted."""

import json
import math
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.stats import binom, norm

from caddm_hf.dataset.schema import FrameDataError
from caddm_hf.evaluation.figures import (
    Bootstrap,
    cross_dataset_table,
    evaluate_table,
    proportion,
)
from caddm_hf.evaluation.score_table import gather_videos
from caddm_hf.metrics.video_metrics.video_scores import area_under_roc
from caddm_hf.report.verdicts import LogitScaling, Thresholds
from support.made_scores import MadeVideo, made_table

QUICK = Bootstrap(samples=50)
BAND = Thresholds(real_below=0.4, fake_above=0.6)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def random_videos(rng: np.random.Generator, count: int = 30) -> list[MadeVideo]:
    """Videos of one to six frames; scores are rounded, so that there are ties."""
    return [
        MadeVideo(
            f"v{number:03d}",
            number % 2,
            np.round(rng.normal(number % 2, 1.5, rng.integers(1, 7)), 1).tolist(),
        )
        for number in range(count)
    ]


def by_pairs(genuine: list[float], fake: list[float]) -> float:
    """AUC by its definition: each fake against each genuine one."""
    won = sum((f > g) + 0.5 * (f == g) for g, f in product(genuine, fake))
    return won / (len(genuine) * len(fake))


@pytest.mark.parametrize("seed", range(5))
def test_figures_agree_with_plain_counting(seed):
    videos = random_videos(np.random.default_rng(seed))
    scaling = LogitScaling(1.7, 0.6)
    found = evaluate_table(made_table(videos, scaling), BAND, QUICK)["overall"]
    means = {
        label: [
            math.fsum(map(sigmoid, video.logits)) / len(video.logits)
            for video in videos
            if video.label == label
        ]
        for label in (0, 1)
    }
    frames = {
        label: [logit for video in videos if video.label == label for logit in video.logits]
        for label in (0, 1)
    }
    ranking = {name: figure["estimate"] for name, figure in found["ranking"].items()}
    assert ranking["video_auc"] == pytest.approx(by_pairs(means[0], means[1]))
    assert found["frames"]["frame_auc"]["estimate"] == pytest.approx(by_pairs(frames[0], frames[1]))

    # Average precision by its definition: precision at each step of recall, ties as one step.
    expected, seen = 0.0, 0
    for score in sorted({*means[0], *means[1]}, reverse=True):
        fakes = sum(value >= score for value in means[1])
        genuine = sum(value >= score for value in means[0])
        expected += (fakes - seen) / len(means[1]) * fakes / (fakes + genuine)
        seen = fakes
    assert ranking["video_average_precision"] == pytest.approx(expected)

    # EER: where the two error rates cross, on the straight lines between thresholds.
    scores = [math.inf, *sorted({*means[0], *means[1]}, reverse=True)]
    rates = [
        (np.mean([v >= s for v in means[0]]), np.mean([v < s for v in means[1]])) for s in scores
    ]
    for (false_a, miss_a), (false_b, miss_b) in pairwise(rates):
        if miss_b <= false_b:
            share = (miss_a - false_a) / ((miss_a - false_a) + (false_b - miss_b))
            assert ranking["video_eer"] == pytest.approx(false_a + share * (false_b - false_a))
            break
    assert ranking["video_accuracy_at_half"] == pytest.approx(
        np.mean([v <= 0.5 for v in means[0]] + [v > 0.5 for v in means[1]])
    )

    # Verdicts go by the mean of the uncalibrated probabilities, calibrated.
    outcomes = {"right": 0, "wrong": 0, "undecided": 0}
    false_positives = 0
    for video in videos:
        mean = math.fsum(sigmoid(z) for z in video.logits) / len(video.logits)
        served = sigmoid((math.log(mean / (1 - mean)) + 0.6) / 1.7)
        verdict = 1 if served > 0.6 else 0 if served < 0.4 else None
        word = "undecided" if verdict is None else "right" if verdict == video.label else "wrong"
        outcomes[word] += 1
        false_positives += verdict == 1 and video.label == 0
    verdicts = found["verdicts"]
    for word, count in outcomes.items():
        assert sum(row[word] for row in verdicts["outcomes"].values()) == count
    genuine_count = len(means[0])
    assert verdicts["false_positive_rate"]["estimate"] == false_positives / genuine_count
    decided = outcomes["right"] + outcomes["wrong"]
    assert verdicts["accuracy"]["estimate"] == outcomes["right"] / decided
    assert verdicts["decided_of_all"]["estimate"] == decided / len(videos)


def test_known_answers_by_hand():
    logit = math.log(0.8 / 0.2)
    videos = [
        MadeVideo("a", 0, [-logit, -logit]),  # 0.2
        MadeVideo("b", 0, [logit, -logit]),  # 0.5, undecided
        MadeVideo("c", 1, [0.0, 0.0]),  # 0.5, undecided
        MadeVideo("d", 1, [logit, logit]),  # 0.8
    ]
    found = evaluate_table(made_table(videos), BAND, QUICK)["overall"]
    assert found["ranking"]["video_auc"]["estimate"] == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert found["verdicts"]["outcomes"] == {
        "genuine": {"right": 1, "wrong": 0, "undecided": 1, "failed": 0},
        "fake": {"right": 1, "wrong": 0, "undecided": 1, "failed": 0},
    }
    assert found["verdicts"]["right_of_all"]["estimate"] == 0.5


def test_a_score_on_a_threshold_is_undecided():
    half = Thresholds(real_below=0.5, fake_above=0.5)
    videos = [MadeVideo("a", 0, [0.0]), MadeVideo("b", 1, [0.0])]
    outcomes = evaluate_table(made_table(videos), half, QUICK)["overall"]["verdicts"]["outcomes"]
    assert [row["undecided"] for row in outcomes.values()] == [1, 1]


def test_videos_of_one_name_under_several_methods_stay_apart():
    videos = [
        MadeVideo("000.mp4", 0, [-1.0]),
        MadeVideo("000.mp4", 1, [2.0], method="Deepfakes"),
        MadeVideo("000.mp4", 1, [-2.0], method="FaceSwap"),
        MadeVideo("000.mp4", 1, [-2.0], method="FaceSwap", compression="c40"),
        MadeVideo("000.mp4", 0, [-1.0], compression="c40"),
        MadeVideo("000.mp4", 0, [3.0], dataset="other"),
        MadeVideo("000.mp4", 1, [3.0], dataset="other"),
    ]
    table = made_table(videos)
    assert len(gather_videos(table)) == len(videos)
    found = evaluate_table(table, BAND, QUICK)
    assert found["overall"]["counts"]["videos"] == len(videos)
    methods = {
        (b["dataset"], b["compression"], b["method"]): b["ranking"]["video_auc"]["estimate"]
        for b in found["methods"]
    }
    assert methods == {
        ("made", None, "Deepfakes"): 1.0,
        ("made", None, "FaceSwap"): 0.0,
        ("made", "c40", "FaceSwap"): 0.0,
        ("other", None, "patch"): 0.5,
    }
    assert [(b["dataset"], b["compression"]) for b in found["datasets"]] == [
        ("made", None),
        ("made", "c40"),
        ("other", None),
    ]


def test_failed_videos_are_counted_and_get_no_score():
    rng = np.random.default_rng(1)
    videos = random_videos(rng)
    before = evaluate_table(made_table(videos), BAND, QUICK)["overall"]
    failed = [
        MadeVideo("lost-genuine", 0, [None, None]),
        MadeVideo("lost-fake", 1, [None]),
        MadeVideo("lost-fake-2", 1, [None]),
    ]
    found = evaluate_table(made_table(videos + failed), BAND, QUICK)
    after = found["overall"]
    assert after["counts"]["failed"] == 3
    assert after["counts"]["failed_fake"] == 2
    assert after["counts"]["frames_failed"] == 4
    for name in ("video_auc", "video_eer", "video_average_precision"):
        assert after["ranking"][name]["estimate"] == before["ranking"][name]["estimate"]
    assert after["frames"]["frame_auc"]["estimate"] == before["frames"]["frame_auc"]["estimate"]
    assert after["verdicts"]["outcomes"]["genuine"]["failed"] == 1
    assert after["verdicts"]["false_positive_rate"] == before["verdicts"]["false_positive_rate"]
    assert (
        after["verdicts"]["right_of_all"]["trials"]
        == before["verdicts"]["right_of_all"]["trials"] + 3
    )
    # At worst the lost genuine video ranks above and the lost fakes below everything.
    genuine = [np.mean([sigmoid(z) for z in v.logits]) for v in videos if v.label == 0] + [2.0]
    fake = [np.mean([sigmoid(z) for z in v.logits]) for v in videos if v.label == 1] + [-1.0] * 2
    worst = after["ranking"]["video_auc_if_failures_are_wrong"]["estimate"]
    assert worst == pytest.approx(by_pairs(genuine, fake))
    assert found["failures"]["reasons"] == {"no face found": 3}
    assert {video["video_id"] for video in found["failures"]["videos"]} == {
        video.video_id for video in failed
    }


def test_failed_frames_do_not_enter_the_mean_but_too_few_leave_no_verdict():
    videos = [
        MadeVideo("plenty", 1, [3.0] * 5 + [None] * 5),
        MadeVideo("few", 1, [3.0] * 4 + [None] * 6),
        MadeVideo("short", 1, [3.0] * 2),
        MadeVideo("g", 0, [-3.0]),
    ]
    table = made_table(videos)
    scores = dict(
        zip(
            [k.video_id for k in gather_videos(table).keys],
            gather_videos(table).scores,
            strict=True,
        )
    )
    assert scores["plenty"] == pytest.approx(sigmoid(3.0))
    outcomes = evaluate_table(table, BAND, QUICK)["overall"]["verdicts"]["outcomes"]
    assert outcomes["fake"] == {"right": 2, "wrong": 0, "undecided": 1, "failed": 0}


@pytest.mark.parametrize(("label", "missing"), [(0, "fake"), (1, "genuine")])
def test_one_class_is_named(label, missing):
    videos = [MadeVideo("a", label, [1.0]), MadeVideo("b", label, [2.0])]
    with pytest.raises(FrameDataError, match=f"no {missing} videos"):
        evaluate_table(made_table(videos), BAND, QUICK)


def test_one_class_within_a_part_is_no_error_but_no_figure():
    videos = [
        MadeVideo("a", 0, [1.0]),
        MadeVideo("b", 1, [2.0]),
        MadeVideo("c", 1, [2.0], dataset="fakes only"),
    ]
    found = evaluate_table(made_table(videos), BAND, QUICK)
    block = next(b for b in found["datasets"] if b["dataset"] == "fakes only")
    assert block["ranking"]["video_auc"]["estimate"] is None
    assert "only fake" in block["ranking"]["video_auc"]["why"]
    json.dumps(found, allow_nan=False)


def test_a_video_with_both_labels_is_an_error():
    table = made_table([MadeVideo("a", 1, [1.0], method="m"), MadeVideo("b", 0, [1.0])])
    method = table.schema.get_field_index("method")
    table = table.set_column(method, "method", [["m", "m"]])
    video_id = table.schema.get_field_index("video_id")
    table = table.set_column(video_id, "video_id", [["a", "a"]])
    with pytest.raises(FrameDataError, match="'a' has frames labelled real and frames labelled"):
        gather_videos(table)


def test_an_interval_without_width_is_not_given():
    videos = [MadeVideo(f"{n}", n % 2, [float(n % 2)]) for n in range(20)]
    figure = evaluate_table(made_table(videos), BAND, QUICK)["overall"]["ranking"]["video_auc"]
    assert figure["estimate"] == 1.0
    assert figure["low"] is None
    assert "doubt" in figure["why"]


def test_intervals_follow_the_seed_and_keep_sources_together():
    rng = np.random.default_rng(3)
    videos = [
        MadeVideo(
            f"{source}-{copy}",
            source % 2,
            [float(rng.normal(source % 2))],
            source=f"s{source}",
        )
        for source in range(20)
        for copy in range(2)
    ]
    table = made_table(videos)
    block = evaluate_table(table, BAND, QUICK)["overall"]
    assert block["counts"]["groups"] == 20
    again = evaluate_table(table, BAND, QUICK)["overall"]
    other = evaluate_table(table, BAND, Bootstrap(50, seed=1))["overall"]
    assert block["ranking"]["video_auc"] == again["ranking"]["video_auc"]
    assert block["ranking"]["video_auc"]["low"] != other["ranking"]["video_auc"]["low"]


def test_intervals_of_the_frame_auc_cover_the_truth_although_frames_are_alike():
    """Frames of a video share most of their score; the truth is known for normal scores."""
    rng = np.random.default_rng(0)
    gap, spread = 1.0, 0.4
    truth = norm.cdf(gap / math.sqrt(2 * (1 + spread**2)))
    rounds, hits, naive_hits = 150, 0, 0
    labels = np.repeat(np.arange(80) % 2, 8)
    groups = np.repeat(np.arange(80), 8)
    for number in range(rounds):
        base = rng.normal(0, 1, 80) + gap * (np.arange(80) % 2)
        scores = base[groups] + rng.normal(0, spread, len(groups))
        bootstrap = Bootstrap(samples=200, seed=number)
        figure = bootstrap.figure(area_under_roc, scores, labels, groups.tolist())
        hits += figure["low"] <= truth <= figure["high"]
        naive = bootstrap.figure(area_under_roc, scores, labels, list(range(len(groups))))
        naive_hits += naive["low"] <= truth <= naive["high"]
    # 95% nominal; three standard errors of 150 rounds are 5 points.
    assert 0.89 <= hits / rounds <= 1.0
    assert naive_hits / rounds < 0.75


def test_intervals_of_accuracy_cover_the_truth():
    rng = np.random.default_rng(0)
    rounds, hits = 200, 0
    for number in range(rounds):
        labels = np.arange(60) % 2
        right = rng.random(60) < 0.8
        scores = np.where(right, labels, 1 - labels).astype(float)
        figure = Bootstrap(200, number).figure(
            lambda s, t: float(np.mean((s > 0.5) == (t == 1))), scores, labels, list(range(60))
        )
        hits += figure["low"] <= 0.8 <= figure["high"]
    assert 0.89 <= hits / rounds <= 0.99


def test_intervals_of_shares_cover_the_truth():
    """Computed exactly: the chance of each count times whether its interval holds the truth."""
    for trials, truth in product((20, 200), (0.02, 0.1, 0.5)):
        covered = 0.0
        for count in range(trials + 1):
            figure = proportion(count, trials)
            if figure["low"] <= truth <= figure["high"]:
                covered += binom.pmf(count, trials, truth)
        assert 0.92 <= covered <= 0.995
    assert proportion(0, 0)["estimate"] is None


def test_cross_dataset_table():
    def block(dataset: str, compression: str | None, auc: float) -> dict:
        ranking = {"video_auc": {"estimate": auc}}
        return {"dataset": dataset, "compression": compression, "ranking": ranking}

    results = [
        {"model": "a", "collection": "one", "datasets": [block("x", "c23", 0.9)]},
        {"model": "a", "collection": "two", "datasets": [block("y", None, 0.7)]},
        {"model": "b", "collection": "two", "datasets": [block("y", None, 0.6)]},
        {"model": "b", "collection": "three", "datasets": [block("y", None, 0.5)]},
    ]
    table = cross_dataset_table(results)
    assert table["columns"] == ["x c23", "y", "y (three)"]
    values = [
        (row["model"], [cell and cell["estimate"] for cell in row["video_auc"]])
        for row in table["rows"]
    ]
    assert values == [("a", [0.9, 0.7, None]), ("b", [None, 0.6, 0.5])]
    assert table["rows"][0]["false_positive_rate"] == [None, None, None]


def test_false_alarms_by_origin_and_face_size():
    """Only genuine videos with a score count; the size is the median over their frames."""
    called_fake, called_real = [3.0] * 6, [-3.0] * 6
    videos = [
        MadeVideo("a", 0, called_fake, origin="phone", face_px=50),
        MadeVideo("b", 0, called_real, origin="phone", face_px=64),
        MadeVideo("c", 0, called_real, dataset="web", face_px=95.5),
        MadeVideo("d", 0, called_fake, dataset="web", face_px=192),
        MadeVideo("e", 0, [None] * 6, origin="lost"),
        MadeVideo("f", 0, called_real, origin="phone", face_px=None),
        MadeVideo("g", 1, called_fake, origin="phone", face_px=50),
    ]
    found = evaluate_table(made_table(videos), BAND, QUICK)["false_alarms"]

    def counts(title: str) -> dict:
        return {name: (f["successes"], f["trials"]) for name, f in found[title].items()}

    assert counts("by_origin") == {"phone": (1, 3), "web": (1, 2)}
    assert counts("by_face_size") == {
        "below 64": (1, 1),
        "64 to 96": (0, 2),
        "192 and more": (1, 1),
    }
    assert "false_alarms" not in evaluate_table(made_table(videos), None, QUICK)


def test_the_false_positive_rate_stands_beside_every_auc():
    videos = [MadeVideo("a", 0, [3.0] * 6), MadeVideo("b", 1, [4.0] * 6)]
    found = evaluate_table(made_table(videos), BAND, QUICK)
    table = cross_dataset_table([{"model": "a", "collection": "one", **found}])
    assert table["rows"][0]["false_positive_rate"][0]["estimate"] == 1
