"""Calibration: a temperature, a bias and two thresholds from a validation collection.

A video's probability is sigmoid((z + b) / T), where z is the logit of the mean of its frames'
uncalibrated probabilities. For a frame, z is its own logit. With T > 0, neither the order of frames
nor that of videos changes. T and b minimise the negative log likelihood of the videos'
probabilities, on which verdicts are based: Platt scaling (Platt 1999) of z. The temperature T
corrects too much or too little certainty. The bias b corrects a network that tends to one class,
such as "real" for unfamiliar forgeries: T alone leaves z = 0 at one half. Both classes have the
same total weight in the fit, so a probability assumes that a video is equally likely to be genuine
or fake. The thresholds are

    fake_above    at most the stated share of genuine videos is above it
    real_below    at most the stated share of fakes is below it

Scores between the two are undecided. If the classes are so well separated that the thresholds
cross, both become the middle between them.

With `by_domain` each domain (a video's origin, else its data set) has the same weight in the fit,
except that domains with fewer than `LEAST_GENUINE` videos of a class have less. `fake_above` keeps
the stated share in every domain with at least `LEAST_GENUINE` genuine videos and in all domains
together, so the share also holds in the worst domain. `real_below` keeps the share on average over
the domains.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.special import expit
from sklearn.model_selection import StratifiedGroupKFold

from ..core.atomic_files import write_atomically
from ..dataset.schema import FrameDataError
from ..metrics.reliability import calibration_figures, class_weights, reliability_curve
from ..metrics.statistics import fit_platt_scaling, threshold_at_false_positive_rate
from ..metrics.video_metrics.video_scores import OneClassError, area_under_roc
from ..model.configuration_caddm import CaddmConfig
from ..report.verdicts import LogitScaling, Thresholds, log_odds
from .figures import check_both_classes, proportion
from .score_table import gather_videos

FOLDS = 5
# Thresholds are rounded outwards to this many decimals. They are computed in double precision,
# but the detector compares them with probabilities in single precision.
DECIMALS = 7
# Domains with fewer videos do not influence thresholds, and have less weight in the fit.
LEAST_GENUINE = 20
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class VideoLogits:
    """The V scored videos of a table, each reduced to one logit.

    Attributes:
        logits: (V,) float64, log-odds of the mean of the frames' uncalibrated probabilities.
        labels: (V,) int64.
        groups: (V,) int64; videos of one source share a number.
        domains: (V,) names of the videos' domains; all equal if domains are not used.
    """

    logits: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    domains: np.ndarray

    def probabilities(self, scaling: LogitScaling) -> np.ndarray:
        """Return the (V,) probabilities of the videos, as `LogitScaling.calibrated` does."""
        return expit(scaling.scaled(self.logits))

    def select(self, videos: np.ndarray) -> "VideoLogits":
        """Return some of the videos, selected by index."""
        return VideoLogits(
            self.logits[videos], self.labels[videos], self.groups[videos], self.domains[videos]
        )

    def weights(self, prior: float | None) -> np.ndarray:
        """Return (V,) weights; a class's domains weigh the same, except that small ones weigh less.

        Args:
            prior: the share of fakes that probabilities assume; None for that of the videos.
        """
        weights = class_weights(self.labels, prior)
        for label in (0, 1):
            own = self.labels == label
            _, index, counts = np.unique(self.domains[own], return_inverse=True, return_counts=True)
            shares = np.minimum(counts, LEAST_GENUINE)
            weights[own] *= own.sum() / shares.sum() * (shares / counts)[index]
        return weights


@dataclass(frozen=True)
class Calibration:
    """The result of a calibration.

    Attributes:
        temperature, bias: T and b.
        real_below, fake_above: the thresholds of the verdicts.
        thresholds: rate -> threshold that at most this share of genuine videos exceeds.
        report: figures before and after, for the JSON file.
    """

    temperature: float
    bias: float
    real_below: float
    fake_above: float
    thresholds: dict[str, float]
    report: dict


def video_logits(table: pa.Table, by_domain: bool = False) -> VideoLogits:
    """Return logits from a scores table (one model, one collection, clean), without failed frames.

    Args:
        table: from `complete_table`.
        by_domain: whether to distinguish domains.

    Raises:
        FrameDataError: there is no score, or only one class has scores.
    """
    videos = gather_videos(table)
    check_both_classes(videos.labels, "The data")
    scored = videos.select(videos.scored)
    check_both_classes(scored.labels, "What could be scored of the data")
    _, groups = np.unique(np.array(scored.groups, dtype=object), return_inverse=True)
    logits = np.array([log_odds(score) for score in scored.scores])
    domains = np.array(scored.origins if by_domain else [""] * len(logits), dtype=object)
    return VideoLogits(logits, scored.labels, groups, domains)


def fit_video_scaling(videos: VideoLogits, prior: float | None = None) -> LogitScaling:
    """Fit the scaling of the videos' logits to their labels.

    Args:
        videos: of both classes.
        prior: the share of fakes that probabilities assume; None for that of the videos.

    Raises:
        FrameDataError: no temperature above 0 is best; the message is one sentence.
    """
    try:
        weights = videos.weights(prior)
        return LogitScaling(*fit_platt_scaling(videos.logits, videos.labels, weights))
    except (ValueError, OneClassError) as error:
        raise FrameDataError(f"No temperature and bias can be fitted: {error}.") from None


def negative_log_likelihood(
    probabilities: np.ndarray, labels: np.ndarray, prior: float | None = None
) -> float:
    """Return the mean of -log of the probability of each sample's label."""
    own = np.where(labels == 1, probabilities, 1 - probabilities)
    weights = class_weights(labels, prior)
    return float(-np.average(np.log(np.clip(own, TINY, 1)), weights=weights))


def calibrate_table(
    table: pa.Table,
    rates: Sequence[float],
    miss_rate: float | None = None,
    shipped: tuple[LogitScaling, Thresholds] = (LogitScaling(), Thresholds(0.4, 0.6)),
    seed: int = 0,
    prior: float | None = None,
    by_domain: bool = False,
) -> Calibration:
    """Compute temperature, bias, thresholds and figures from a scores table.

    Args:
        table: from `complete_table`: one model, one collection, clean.
        rates: accepted shares of genuine videos called fake, in (0, 1); the first determines
            `fake_above`, all are recorded.
        miss_rate: accepted share of fakes called real; by default the first of `rates`.
        shipped: the model's present calibration and thresholds.
        seed: of the folds.
        prior: the share of fakes that probabilities assume, in (0, 1); None for the table's.
        by_domain: give domains equal weight, and keep the rate in the worst domain.

    Raises:
        FrameDataError: the scores cannot be calibrated; the message is one sentence.
    """
    logits = video_logits(table, by_domain)
    scaling = fit_video_scaling(logits, prior)
    old_scaling, old = shipped
    before, after = logits.probabilities(old_scaling), logits.probabilities(scaling)
    miss_rate = rates[0] if miss_rate is None else miss_rate
    real_below, fake_above = _band(after, logits, rates[0], miss_rate)
    genuine = after[logits.labels == 0]
    thresholds = {
        f"{rate:g}": _outwards(_fake_threshold(after, logits, rate), up=True) for rate in rates
    }
    report = {
        "temperature": {"before": old_scaling.temperature, "after": scaling.temperature},
        "bias": {"before": old_scaling.bias, "after": scaling.bias},
        "thresholds": {
            "before": {"real_below": old.real_below, "fake_above": old.fake_above},
            "after": {"real_below": real_below, "fake_above": fake_above},
        },
        "stated_rates": {"false_positive": rates[0], "miss": miss_rate},
        "prior": {
            "fake_share": float(np.mean(logits.labels)) if prior is None else prior,
            "as_found": prior is None,
        },
        "before": _figures(before, logits.labels, old, prior),
        "after": _figures(after, logits.labels, Thresholds(real_below, fake_above), prior),
        "held_out": _held_out(logits, rates[0], miss_rate, seed, prior),
        "at_rates": [
            {
                "rate": rate,
                "threshold": thresholds[f"{rate:g}"],
                "false_positive_rate": _share(genuine > thresholds[f"{rate:g}"]),
                "detection_rate": _share(after[logits.labels == 1] > thresholds[f"{rate:g}"]),
            }
            for rate in rates
        ],
        "domains": _domains(after, logits, Thresholds(real_below, fake_above)),
        "videos": {
            "genuine": int(np.sum(logits.labels == 0)),
            "fake": int(np.sum(logits.labels == 1)),
        },
    }
    return Calibration(
        scaling.temperature, scaling.bias, real_below, fake_above, thresholds, report
    )


def _fake_threshold(probabilities: np.ndarray, videos: VideoLogits, rate: float) -> float:
    """Return the threshold that keeps the rate over all genuine videos and in large domains."""
    genuine = probabilities[videos.labels == 0]
    domains = videos.domains[videos.labels == 0]
    found = [threshold_at_false_positive_rate(genuine, rate)]
    for domain in set(domains):
        own = genuine[domains == domain]
        if len(own) >= LEAST_GENUINE:
            found.append(threshold_at_false_positive_rate(own, rate))
    return max(found)


def _real_threshold(probabilities: np.ndarray, videos: VideoLogits, miss_rate: float) -> float:
    """Return the largest threshold with at most this weighted share of fakes below it."""
    fake = np.flatnonzero(videos.labels == 1)
    fake = fake[np.argsort(probabilities[fake], kind="stable")]
    weights = videos.weights(None)[fake]
    below = np.concatenate([[0.0], np.cumsum(weights)[:-1]]) / weights.sum()
    return float(probabilities[fake][below <= miss_rate + TINY].max())


def _band(
    probabilities: np.ndarray, videos: VideoLogits, rate: float, miss_rate: float
) -> tuple[float, float]:
    """Return `real_below` and `fake_above` that keep the stated rates on these videos."""
    fake_above = _fake_threshold(probabilities, videos, rate)
    real_below = _real_threshold(probabilities, videos, miss_rate)
    if real_below > fake_above:
        middle = round((real_below + fake_above) / 2, DECIMALS)
        return middle, middle
    return _outwards(real_below, up=False), _outwards(fake_above, up=True)


def _outwards(threshold: float, up: bool) -> float:
    scale = 10**DECIMALS
    rounded = (math.ceil if up else math.floor)(threshold * scale) / scale
    return min(1.0, max(0.0, rounded))


def _share(hits: np.ndarray) -> dict:
    return proportion(int(hits.sum()), len(hits))


def _figures(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: Thresholds, prior: float | None
) -> dict:
    real_below, fake_above = thresholds.real_below, thresholds.fake_above
    curve = reliability_curve(probabilities, labels, weights=class_weights(labels, prior))
    genuine, fake = probabilities[labels == 0], probabilities[labels == 1]
    undecided = (probabilities >= real_below) & (probabilities <= fake_above)
    return {
        **calibration_figures(probabilities, labels, prior),
        "negative_log_likelihood": negative_log_likelihood(probabilities, labels, prior),
        "video_auc": area_under_roc(probabilities, labels),
        "false_positive_rate": _share(genuine > fake_above),
        "miss_rate": _share(fake < real_below),
        "undecided": _share(undecided),
        "reliability": {
            "bin_edges": curve.bin_edges.tolist(),
            "mean_probabilities": curve.mean_probabilities.tolist(),
            "fake_shares": curve.fake_shares.tolist(),
            "counts": curve.counts.tolist(),
        },
    }


def _held_out(
    logits: VideoLogits, rate: float, miss_rate: float, seed: int, prior: float | None
) -> dict:
    """Return the same figures on held-out videos, by cross-validation.

    Videos of one source stay in one fold. Figures on the fitted videos are too optimistic; the
    difference from the held-out figures shows by how much.
    """
    n_groups = min(len(set(logits.groups[logits.labels == label])) for label in (0, 1))
    folds = min(FOLDS, n_groups)
    if folds < 2:
        return {"folds": 0, "why": "too few videos to hold any out"}
    probabilities = np.empty(len(logits.labels))
    called_fake, called_real = (np.zeros(len(logits.labels), bool) for _ in range(2))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    numbers_ = np.arange(len(logits.labels))
    for fitted, held in splitter.split(numbers_, logits.labels, logits.groups):
        part = logits.select(fitted)
        try:
            check_both_classes(part.labels, "A fold")
            scaling = fit_video_scaling(part, prior)
        except FrameDataError as error:
            return {"folds": 0, "why": f"{error}"}
        below, above = _band(part.probabilities(scaling), part, rate, miss_rate)
        probabilities[held] = logits.select(held).probabilities(scaling)
        called_fake[held] = probabilities[held] > above
        called_real[held] = probabilities[held] < below
    labels = logits.labels
    return {
        "folds": folds,
        **calibration_figures(probabilities, labels, prior),
        "negative_log_likelihood": negative_log_likelihood(probabilities, labels, prior),
        "false_positive_rate": _share(called_fake[labels == 0]),
        "miss_rate": _share(called_real[labels == 1]),
        "undecided": _share(~called_fake & ~called_real),
    }


def _domains(probabilities: np.ndarray, videos: VideoLogits, thresholds: Thresholds) -> list[dict]:
    """Return the error and detection rates of each domain."""
    found = []
    for domain in sorted(set(videos.domains)):
        own = videos.domains == domain
        genuine = probabilities[own & (videos.labels == 0)]
        fake = probabilities[own & (videos.labels == 1)]
        block: dict = {"domain": domain, "genuine": len(genuine), "fake": len(fake)}
        if len(genuine):
            block["false_positive_rate"] = _share(genuine > thresholds.fake_above)
            block["called_real"] = _share(genuine < thresholds.real_below)
        if len(fake):
            block["detection_rate"] = _share(fake > thresholds.fake_above)
            block["miss_rate"] = _share(fake < thresholds.real_below)
        if len(genuine) and len(fake):
            labels = videos.labels[own]
            block |= calibration_figures(probabilities[own], labels, 0.5)
            block["video_auc"] = area_under_roc(probabilities[own], labels)
        found.append(block)
    return found


def store_calibration(folder: Path, calibration: Calibration, record: dict) -> None:
    """Write a calibration into a model folder's `config.json`, which the detector reads.

    Args:
        folder: of the model.
        calibration: what to store.
        record: its origin (data, fingerprint, counts), stored in `calibration` with the
            thresholds by rate.

    Raises:
        FrameDataError: the configuration cannot be read.
        OSError: the configuration cannot be written.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FrameDataError(f"'{path}' cannot be read: {error}") from None
    config |= {
        "calibration_temperature": calibration.temperature,
        "calibration_bias": calibration.bias,
        "real_below": calibration.real_below,
        "fake_above": calibration.fake_above,
        "calibration": {"thresholds": calibration.thresholds, **record},
    }
    CaddmConfig(**config)  # raises if the detector would refuse the values
    with write_atomically(path) as file:
        file.write((json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
