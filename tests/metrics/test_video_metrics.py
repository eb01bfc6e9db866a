"""The `evaluate` module: values against scikit-learn, errors, batches, loading offline."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    roc_auc_score,
    roc_curve,
)

from caddm_hf.metrics.video_metrics import aggregate_by_video, equal_error_rate
from caddm_hf.metrics.video_metrics.video_metrics import VideoMetrics

REPOSITORY = Path(__file__).resolve().parents[2]
METRIC_FOLDER = REPOSITORY / "caddm_hf" / "metrics" / "video_metrics"


@pytest.fixture
def metric(tmp_path):
    return VideoMetrics(cache_dir=str(tmp_path))


def random_frames(seed, n_videos=25, levels=5):
    """Frames of videos with 1 to 8 frames and few distinct scores, so that ties abound."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_videos) % 3 == 0
    video_index = np.repeat(np.arange(n_videos), rng.integers(1, 9, n_videos))
    scores = rng.integers(0, levels + 1, len(video_index)) / levels
    return {
        "predictions": scores,
        "references": labels[video_index].astype(int),
        "video_ids": [f"method/{index:03d}" for index in video_index],
    }


def summarise(frames, summary):
    """Video labels and scores by a plain loop over the videos."""
    ids = np.array(frames["video_ids"])
    distinct = sorted(set(frames["video_ids"]))
    scores = [summary(frames["predictions"][ids == name]) for name in distinct]
    labels = [frames["references"][ids == name][0] for name in distinct]
    return np.array(labels), np.array(scores)


def mean_of_top_3(values):
    return math.fsum(sorted(values)[-3:]) / min(3, len(values))


@pytest.mark.parametrize(
    ("arguments", "summary"),
    [
        ({}, lambda values: math.fsum(values) / len(values)),
        ({"aggregation": "max"}, max),
        ({"aggregation": "top_k", "top_k": 3}, mean_of_top_3),
    ],
    ids=["mean", "max", "top_k"],
)
@pytest.mark.parametrize("seed", range(4))
def test_values_agree_with_scikit_learn(metric, seed, arguments, summary):
    frames = random_frames(seed)
    results = metric.compute(**frames, **arguments, threshold=0.6)
    labels, scores = summarise(frames, summary)
    called_fake = scores > 0.6
    assert results == {
        "frame_auc": pytest.approx(roc_auc_score(frames["references"], frames["predictions"])),
        "frame_eer": pytest.approx(
            equal_error_rate(frames["predictions"], frames["references"]), abs=1e-12
        ),
        "video_auc": pytest.approx(roc_auc_score(labels, scores), abs=1e-12),
        "video_eer": pytest.approx(equal_error_rate(scores, labels), abs=1e-12),
        "video_average_precision": pytest.approx(average_precision_score(labels, scores)),
        "video_accuracy": pytest.approx(accuracy_score(labels, called_fake)),
        "video_balanced_accuracy": pytest.approx(balanced_accuracy_score(labels, called_fake)),
        "n_frames": len(frames["predictions"]),
        "n_videos": 25,
        "n_genuine_videos": 16,
        "n_fake_videos": 9,
    }


@pytest.mark.parametrize("seed", range(20))
def test_eer_is_where_the_interpolated_roc_meets_the_diagonal(seed):
    rng = np.random.default_rng(seed)
    labels = np.concatenate(([0, 1], rng.integers(0, 2, 30)))
    # The fake mean passes from below the genuine one to above it, over the seeds.
    scores = np.round(rng.normal(labels * (seed - 5) / 5, 1.0), 1)
    false_positives, true_positives, _ = roc_curve(labels, scores)
    # A sloped line through each vertical step, so that the curve is a function for the solver.
    sloped = false_positives + 1e-10 * np.arange(len(false_positives))
    sloped /= sloped[-1]
    expected = brentq(lambda rate: 1 - rate - np.interp(rate, sloped, true_positives), 0, 1)
    assert equal_error_rate(scores, labels) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("genuine", "fake", "expected"),
    [
        ([0.1, 0.2], [0.8, 0.9], 0.0),
        ([0.8, 0.9], [0.1, 0.2], 1.0),
        ([0.5, 0.5], [0.5], 0.5),
        # ROC (0,0) (0,.5) (.5,.5) (.5,1) (1,1): the diagonal meets the step at FPR .5.
        ([0.1, 0.6], [0.4, 0.9], 0.5),
        # ROC (0,0) (0,.5) (1/3,1) (1,1): x = 1 - (.5 + 1.5 x), so x = .2.
        ([0.1, 0.2, 0.5], [0.5, 0.9], 0.2),
    ],
)
def test_eer_by_hand(genuine, fake, expected):
    labels = [0] * len(genuine) + [1] * len(fake)
    assert equal_error_rate(genuine + fake, labels) == pytest.approx(expected, abs=1e-12)


def test_frames_of_a_long_video_do_not_outweigh_a_short_one(metric):
    results = metric.compute(
        predictions=[0.9] * 8 + [0.1, 0.5],
        references=[1] * 8 + [1, 0],
        video_ids=["long"] * 8 + ["short", "genuine"],
    )
    assert results["frame_auc"] == pytest.approx(8 / 9)
    assert results["video_auc"] == pytest.approx(1 / 2)


def test_a_score_at_the_threshold_is_called_genuine(metric):
    frames = {"predictions": [0.5, 0.5], "references": [0, 1], "video_ids": ["real", "fake"]}
    assert metric.compute(**frames)["video_accuracy"] == 0.5
    assert metric.compute(**frames, threshold=0.49)["video_accuracy"] == 0.5
    frames["predictions"] = [0.5, 0.51]
    assert metric.compute(**frames)["video_accuracy"] == 1.0


def test_one_file_name_under_two_methods_stays_two_videos(metric):
    results = metric.compute(
        predictions=[0.9, 0.2, 0.5],
        references=[1, 1, 0],
        video_ids=["Deepfakes/c23/183_253", "FaceSwap/c23/183_253", "original/c23/183"],
    )
    assert results["n_fake_videos"] == 2
    assert results["video_auc"] == 0.5  # merged, their mean of .55 would rank above .5


@pytest.mark.parametrize("arguments", [{}, {"aggregation": "top_k", "top_k": 2}])
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_frames_does_not_matter(metric, seed, arguments):
    frames = random_frames(seed, levels=7)
    order = np.random.default_rng(seed).permutation(len(frames["predictions"]))
    shuffled = {key: [values[index] for index in order] for key, values in frames.items()}
    assert metric.compute(**shuffled, **arguments) == metric.compute(**frames, **arguments)


def test_videos_with_the_same_frames_in_another_order_are_tied():
    values = [0.1, 0.7, 0.3, 0.2]
    assert sum(values) != sum(reversed(values))  # plain sums would break the tie
    videos = aggregate_by_video(
        values + values[::-1], [0] * 4 + [1] * 4, ["genuine"] * 4 + ["fake"] * 4
    )
    assert videos.scores[0] == videos.scores[1]


def test_aggregation_by_hand():
    scores, labels = [0.2, 0.9, 0.4, 0.8, 0.3], [1, 0, 1, 1, 0]
    ids = ["b", "a", "b", "b", "a"]
    mean = aggregate_by_video(scores, labels, ids)
    assert mean.video_ids == ("a", "b")
    assert mean.scores == pytest.approx([0.6, 1.4 / 3])
    assert mean.labels.tolist() == [0, 1]
    assert mean.frame_counts.tolist() == [2, 3]
    assert aggregate_by_video(scores, labels, ids, "max").scores.tolist() == [0.9, 0.8]
    top_two = aggregate_by_video(scores, labels, ids, "top_k", 2)
    assert top_two.scores == pytest.approx([0.6, 0.6])
    longer_than_any = aggregate_by_video(scores, labels, ids, "top_k", 99)
    assert longer_than_any.scores.tolist() == mean.scores.tolist()


def test_batches_give_what_one_call_gives(metric):
    frames = random_frames(7)
    expected = metric.compute(**frames, threshold=0.3)
    for start in range(0, len(frames["predictions"]), 10):
        metric.add_batch(**{key: values[start : start + 10] for key, values in frames.items()})
    assert metric.compute(threshold=0.3) == expected


GOOD = {"predictions": [0.1, 0.2, 0.9], "references": [0, 0, 1], "video_ids": ["a", "a", "b"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"references": [0, 1, 1]}, r"video 'a' has frames labelled genuine and .* labelled fake"),
        ({"references": [0, 0, 0]}, "only genuine videos were given; AUC, .* needs? both classes"),
        ({"references": [1, 1, 1]}, "only fake videos were given; AUC, .* needs? both classes"),
        ({"references": [0, 0, 0.7]}, "label 2 is 0.7; labels must be 0 .* or 1"),
        ({"predictions": [0.1, math.nan, 0.9]}, "score 1 is nan"),
        ({"predictions": [0.1, None, 0.9]}, "score 1 is nan"),
        ({"predictions": [0.1, 0.2, math.inf]}, "score 2 is inf"),
        ({"predictions": [0.1, 0.2, 1.5]}, r"score 2 is 1.5, outside \[0, 1\]; .*probability"),
        ({"predictions": [-0.1, 0.2, 0.5]}, r"score 0 is -0.1, outside \[0, 1\]"),
        ({"video_ids": ["a", "a", None]}, "video id 2 is None"),
        ({"video_ids": ["a", "a", ""]}, "video id 2 is ''"),
        ({"predictions": [], "references": [], "video_ids": []}, "no scores were given"),
        ({"threshold": 50}, r"threshold must lie in \[0, 1\], got 50"),
        ({"threshold": math.nan}, "threshold must lie in .* got nan"),
        ({"aggregation": "median"}, 'must be "mean", "max" or "top_k", got \'median\''),
        ({"aggregation": "top_k"}, "positive whole top_k, got None"),
        ({"aggregation": "top_k", "top_k": 0}, "positive whole top_k, got 0"),
        ({"aggregation": "top_k", "top_k": 1.5}, "positive whole top_k, got 1.5"),
        ({"top_k": 3}, "no effect with aggregation"),
    ],
)
def test_unusable_input_is_named(metric, changes, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(**{**GOOD, **changes})


def test_ids_must_be_text_and_as_many_as_scores():
    with pytest.raises(ValueError, match="video id 0 is 183"):
        aggregate_by_video([0.1], [0], [183])
    with pytest.raises(ValueError, match="2 scores need as many video ids, got 1"):
        aggregate_by_video([0.1, 0.2], [0, 0], ["a"])
    with pytest.raises(ValueError, match="2 scores need 2 labels"):
        aggregate_by_video([0.1, 0.2], [0], ["a", "b"])
    with pytest.raises(ValueError, match=r"one number per sample, got shape \(1, 2\)"):
        aggregate_by_video([[0.1, 0.2]], [0], ["a"])


def test_the_metric_works_again_after_an_error(metric):
    with pytest.raises(ValueError, match="only genuine"):
        metric.compute(**{**GOOD, "references": [0, 0, 0]})
    assert metric.compute(**GOOD)["video_auc"] == 1.0


def test_the_readme_example_runs_offline(tmp_path):
    """A fresh process, an empty cache, no network: load by path and print what the card says."""
    card = (METRIC_FOLDER / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    expected = re.search(r"```text\n(.*?)```", card, re.DOTALL)[1]
    check = "\nassert isinstance(video_metrics, evaluate.Metric)\n"
    offline = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", code + check],
        cwd=REPOSITORY,
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == expected


def test_the_metric_needs_nothing_else_of_the_package(tmp_path):
    """The folder alone, moved elsewhere, loads where `caddm_hf` cannot be imported."""
    folder = tmp_path / "video_metrics"
    folder.mkdir()
    for name in ("video_metrics.py", "video_scores.py"):
        (folder / name).write_bytes((METRIC_FOLDER / name).read_bytes())
    code = (
        "import sys; sys.modules['caddm_hf'] = None\n"
        "import evaluate\n"
        f"metric = evaluate.load({str(folder)!r})\n"
        f"print(metric.compute(**{GOOD!r})['video_auc'])\n"
    )
    offline = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == "1.0\n"
