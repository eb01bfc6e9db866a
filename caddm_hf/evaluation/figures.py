"""The figures of an evaluation, as pure functions of a scores table.

Ranking figures (AUC, EER, average precision) follow the published protocol: a video's score is the
mean of its frames' uncalibrated probabilities. Figures of verdicts (accuracy, rates) use the
calibrated mean and the model's thresholds, as the detector does. A video without a score counts as
failed; no score is made up for it.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ..core.random_streams import RandomStream, random_generator
from ..dataset.schema import FrameDataError
from ..detector.config import DetectionConfig
from ..metrics.reliability import calibration_figures
from ..metrics.statistics import bootstrap_interval, wilson_interval
from ..metrics.video_metrics.video_scores import area_under_roc, average_precision, equal_error_rate
from ..report.verdicts import Thresholds
from .score_table import Videos, frame_groups, gather_videos, numbers

Estimate = dict  # a number with its interval: "estimate", "low", "high"; "why" if there is none
LEAST_FRAMES = DetectionConfig.least_frames  # a video with fewer scored frames gets no verdict
LEVEL = 0.95
FACE_SIZES_PX = (64, 96, 128, 192)  # bounds of the bins of face sizes
RANKING = (
    ("video_auc", area_under_roc),
    ("video_eer", equal_error_rate),
    ("video_average_precision", average_precision),
)
FRAME_RANKING = (
    ("frame_auc", area_under_roc),
    ("frame_eer", equal_error_rate),
    ("frame_average_precision", average_precision),
)


@dataclass(frozen=True)
class Bootstrap:
    """Settings of bootstrap intervals. Videos of one source are resampled together.

    Attributes:
        samples: number of resamples.
        seed: of the random numbers.
    """

    samples: int = 1000
    seed: int = 0

    def figure(
        self,
        metric: Callable,
        scores: np.ndarray,
        labels: np.ndarray,
        groups: Sequence[Hashable],
    ) -> Estimate:
        """Return a metric with its interval: estimate, low, high and settings.

        If there is no interval, `low` and `high` are None and `why` gives the reason.
        """
        try:
            estimate = float(metric(scores, labels))
        except ValueError as error:
            return {"estimate": None, "low": None, "high": None, "why": f"{error}"}
        rng = random_generator(self.seed, RandomStream.EVALUATION_INTERVAL)
        try:
            interval = bootstrap_interval(
                metric, scores, labels, rng, self.samples, LEVEL, groups=groups
            )
        except ValueError as error:
            return {"estimate": estimate, "low": None, "high": None, "why": f"{error}"}
        if interval.low == interval.high:
            why = f"all {self.samples} resamples give the same, so the doubt left is not known"
            return {"estimate": estimate, "low": None, "high": None, "why": why}
        return {
            "estimate": estimate,
            "low": interval.low,
            "high": interval.high,
            "level": LEVEL,
            "method": "bootstrap",
            "samples": interval.samples,
            "redrawn": interval.redrawn,
        }


def proportion(successes: int, trials: int) -> Estimate:
    """Return a share with its Wilson interval, which has width at 0 and 1, unlike bootstrap."""
    if not trials:
        return {"estimate": None, "low": None, "high": None, "why": "there is nothing to count"}
    low, high = wilson_interval(successes, trials, LEVEL)
    return {
        "estimate": successes / trials,
        "low": low,
        "high": high,
        "level": LEVEL,
        "method": "wilson",
        "successes": int(successes),
        "trials": int(trials),
    }


def evaluate_table(
    table: pa.Table, thresholds: Thresholds | None, bootstrap: Bootstrap = Bootstrap()
) -> dict:
    """Compute all figures of one model on one collection.

    Args:
        table: from `complete_table`, one model, one collection, clean.
        thresholds: of the model; None omits the figures of verdicts and calibration.
        bootstrap: settings of the intervals.

    Returns:
        "overall": from `summarise`, with "frames" and "calibration". "datasets" and "methods":
        lists of the same for each dataset and compression, and for each method's fakes with the
        genuine videos of their dataset and compression. "failures": the videos without a score.
        With thresholds also "false_alarms" (see `count_false_alarms`).

    Raises:
        FrameDataError: there are no videos, or only genuine or only fake ones.
    """
    videos = gather_videos(table)
    check_both_classes(videos.labels, "The data")
    overall = summarise(videos, thresholds, bootstrap)
    overall["frames"] = summarise_frames(table, bootstrap)
    if thresholds is not None and len(set(videos.labels[videos.scored])) == 2:
        overall["calibration"] = calibration_of(videos.select(videos.scored))
    places = np.array([f"{key.dataset}\n{key.compression}" for key in videos.keys])
    blocks, methods = [], []
    for place in dict.fromkeys(places):
        here = videos.select(places == place)
        name = {"dataset": here.keys[0].dataset, "compression": here.keys[0].compression}
        blocks.append(name | summarise(here, thresholds, bootstrap))
        of_method = np.array([key.method or "" for key in here.keys])
        for method in sorted(set(of_method[here.labels == 1])):
            chosen = here.select((here.labels == 0) | (of_method == method))
            methods.append(name | {"method": method} | summarise(chosen, thresholds, bootstrap))
    found = {
        "overall": overall,
        "datasets": blocks,
        "methods": methods,
        "failures": list_failures(videos),
    }
    if thresholds is not None:
        found["false_alarms"] = count_false_alarms(videos, thresholds)
    return found


def check_both_classes(labels: np.ndarray, subject: str) -> None:
    """Raise a FrameDataError unless there are genuine and fake videos."""
    for label, missing in ((0, "genuine"), (1, "fake")):
        if not np.any(np.asarray(labels) == label):
            raise FrameDataError(
                f"{subject} holds no {missing} videos: AUC, EER and accuracy need both kinds."
            )


def summarise(videos: Videos, thresholds: Thresholds | None, bootstrap: Bootstrap) -> dict:
    """Return figures of some videos: "counts", "ranking", and with thresholds "verdicts"."""
    scored = videos.select(videos.scored)
    ranking = {
        name: bootstrap.figure(metric, scored.scores, scored.labels, scored.groups)
        if len(scored)
        else _nothing("no video has a score")
        for name, metric in RANKING
    }
    if len(scored):
        ranking["video_accuracy_at_half"] = bootstrap.figure(
            _accuracy_at_half, scored.scores, scored.labels, scored.groups
        )
        ranking["video_auc_calibrated"] = bootstrap.figure(
            area_under_roc, scored.probabilities, scored.labels, scored.groups
        )
    ranking["video_auc_if_failures_are_wrong"] = _pessimistic_auc(videos)
    block = {"counts": count_videos(videos), "ranking": ranking}
    if thresholds is not None:
        block["verdicts"] = judge_videos(videos, thresholds)
    return block


def count_videos(videos: Videos) -> dict:
    """Count the videos and frames, and those that could not be scored."""
    failed = ~videos.scored
    return {
        "videos": len(videos),
        "genuine": int(np.sum(videos.labels == 0)),
        "fake": int(np.sum(videos.labels == 1)),
        "failed": int(failed.sum()),
        "failed_genuine": int(np.sum(failed & (videos.labels == 0))),
        "failed_fake": int(np.sum(failed & (videos.labels == 1))),
        "groups": len(set(videos.groups)),
        "frames": int(videos.frame_counts.sum()),
        "frames_failed": int((videos.frame_counts - videos.scored_counts).sum()),
    }


def summarise_frames(table: pa.Table, bootstrap: Bootstrap) -> dict:
    """Return ranking figures of single frames; intervals resample whole videos."""
    differences = numbers(table, "logit_difference")
    scored = np.isfinite(differences)
    if not scored.any():
        return {name: _nothing("no frame has a score") for name, _ in FRAME_RANKING}
    labels = numbers(table, "label").astype(np.int64)[scored]
    groups = [group for group, kept in zip(frame_groups(table), scored, strict=True) if kept]
    return {
        name: bootstrap.figure(metric, differences[scored], labels, groups)
        for name, metric in FRAME_RANKING
    }


def judge_videos(videos: Videos, thresholds: Thresholds) -> dict:
    """Return figures of the verdicts at the model's thresholds.

    For each class: the videos judged right, wrong, undecided (score between the thresholds, or
    too few scored frames) and failed. The shares are:

        false_positive_rate    genuine videos called fake, of those with a score
        miss_rate              fake videos called real, of those with a score
        detection_rate         fake videos called fake, of those with a score
        accuracy               right videos, of those with a verdict
        right_of_all           right videos, of all including failed and undecided
        decided_of_all         videos with a verdict, of all
    """
    needed = np.minimum(LEAST_FRAMES, videos.frame_counts)
    judged = videos.scored & (videos.scored_counts >= needed)
    with np.errstate(invalid="ignore"):  # NaN of failed videos compares as False
        called_fake = judged & (videos.probabilities > thresholds.fake_above)
        called_real = judged & (videos.probabilities < thresholds.real_below)
    table = {}
    for label, name in ((0, "genuine"), (1, "fake")):
        of_class = videos.labels == label
        right, wrong = (called_real, called_fake) if label == 0 else (called_fake, called_real)
        table[name] = {
            "right": int(np.sum(of_class & right)),
            "wrong": int(np.sum(of_class & wrong)),
            "undecided": int(np.sum(of_class & videos.scored & ~right & ~wrong)),
            "failed": int(np.sum(of_class & ~videos.scored)),
        }
    right, wrong = (sum(table[name][word] for name in table) for word in ("right", "wrong"))
    scored = {
        name: sum(row[word] for word in ("right", "wrong", "undecided"))
        for name, row in table.items()
    }
    return {
        "thresholds": {
            "real_below": thresholds.real_below,
            "fake_above": thresholds.fake_above,
        },
        "outcomes": table,
        "false_positive_rate": proportion(table["genuine"]["wrong"], scored["genuine"]),
        "miss_rate": proportion(table["fake"]["wrong"], scored["fake"]),
        "detection_rate": proportion(table["fake"]["right"], scored["fake"]),
        "accuracy": proportion(right, right + wrong),
        "right_of_all": proportion(right, len(videos)),
        "decided_of_all": proportion(right + wrong, len(videos)),
    }


def count_false_alarms(videos: Videos, thresholds: Thresholds) -> dict:
    """Return the share of genuine videos called fake, by origin and by size of the face.

    Returns:
        "by_origin" and "by_face_size", each name -> figure. Videos without an origin count under
        their dataset. Sizes are medians over the scored frames, in pixels.
    """
    genuine = videos.select(videos.scored & (videos.labels == 0))
    origins = np.array(genuine.origins, dtype=object)
    bins = np.searchsorted(FACE_SIZES_PX, genuine.face_px, side="right")
    spans = [f"{low} to {high}" for low, high in pairwise(FACE_SIZES_PX)]
    sizes = [f"below {FACE_SIZES_PX[0]}", *spans, f"{FACE_SIZES_PX[-1]} and more"]
    parts = {
        "by_origin": {name: origins == name for name in sorted(set(genuine.origins))},
        "by_face_size": {
            name: (bins == number) & np.isfinite(genuine.face_px)
            for number, name in enumerate(sizes)
        },
    }
    return {
        title: {
            name: judge_videos(genuine.select(chosen), thresholds)["false_positive_rate"]
            for name, chosen in masks.items()
            if chosen.any()
        }
        for title, masks in parts.items()
    }


def calibration_of(videos: Videos) -> dict:
    """Return the calibration error of scored videos."""
    return {
        "fake_share": float(videos.labels.mean()),
        **calibration_figures(videos.probabilities, videos.labels),
    }


def list_failures(videos: Videos) -> dict:
    """List the videos without a score with their reasons, and count each reason."""
    failed = [
        (key, reason)
        for key, reason, scored in zip(videos.keys, videos.failures, videos.scored, strict=True)
        if not scored
    ]
    reasons = Counter(reason.split(":")[0] for _, reason in failed)
    listed = [{**key._asdict(), "reason": reason} for key, reason in failed]
    return {"reasons": dict(reasons.most_common()), "videos": listed}


def cross_dataset_table(results: Sequence[dict]) -> dict:
    """Tabulate video AUC and false-positive rate of every model on every dataset.

    Args:
        results: each with "model", "collection" and the result of `evaluate_table`.

    Returns:
        "columns": names of datasets, with the compression; "rows": for each model its name and
        lists of figures, "video_auc" and "false_positive_rate", None if the model was not
        evaluated there or has no thresholds.
    """
    columns: dict[tuple, str] = {}
    cells: dict[str, dict[tuple, dict]] = {}
    for result in results:
        for block in result["datasets"]:
            key = (result["collection"], block["dataset"], block["compression"])
            if key not in columns:
                name = " ".join(filter(None, key[1:]))
                taken = name in columns.values()
                columns[key] = f"{name} ({result['collection']})" if taken else name
            cells.setdefault(result["model"], {})[key] = {
                "video_auc": block["ranking"]["video_auc"],
                "false_positive_rate": block.get("verdicts", {}).get("false_positive_rate"),
            }
    rows = [
        {"model": model}
        | {
            name: [found.get(key, {}).get(name) for key in columns]
            for name in ("video_auc", "false_positive_rate")
        }
        for model, found in cells.items()
    ]
    return {"columns": list(columns.values()), "rows": rows}


def _pessimistic_auc(videos: Videos) -> Estimate:
    """Return the AUC if every failed video were at the wrong end of the ranking."""
    scores = np.where(videos.scored, videos.scores, 1.5 - 2.0 * videos.labels)
    try:
        return {"estimate": area_under_roc(scores, videos.labels)}
    except ValueError as error:
        return _nothing(f"{error}")


def _accuracy_at_half(scores: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean((scores > 0.5) == (labels == 1)))


def _nothing(why: str) -> Estimate:
    return {"estimate": None, "low": None, "high": None, "why": why}
