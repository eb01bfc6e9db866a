"""The scores table: one row a frame, from which every figure of an evaluation is computed.

    model, collection, dataset, compression, method, video_id, source_video_id, label,
    frame_index, distortion, level, origin, face_px, logit_difference, probability, temperature,
    bias, failure

`logit_difference` is the fake logit minus the genuine one, `probability` what the model's
calibration, `temperature` and `bias`, makes of it. A frame without a score has neither logit nor
probability, and says why in `failure`. `face_px` is the side of the face that was found, or of a
collection's picture.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from ..dataset.schema import FrameDataError
from ..metrics.video_metrics.video_scores import aggregate_by_video
from ..report.verdicts import LogitScaling

# What is stored while scoring; the model's name and calibration are added when it is read.
SCORED_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("compression", pa.string()),
        ("method", pa.string()),
        ("video_id", pa.string()),
        ("source_video_id", pa.string()),
        ("label", pa.int8()),
        ("frame_index", pa.int32()),
        ("distortion", pa.string()),
        ("level", pa.int8()),
        ("origin", pa.string()),
        ("face_px", pa.float32()),
        ("logit_difference", pa.float64()),
        ("failure", pa.string()),
    ]
)
CALIBRATION = ("temperature", "bias")  # the columns of a `LogitScaling`
CLEAN = "none"  # the distortion of an untouched crop, with level 0
SEPARATOR = "\x1f"  # between the parts of a video's key; in no sensible name


class VideoKey(NamedTuple):
    """What identifies a video, whatever its file is called."""

    dataset: str
    compression: str | None
    method: str | None
    video_id: str


@dataclass(frozen=True, eq=False)
class Videos:
    """The videos of a scores table; V of them, sorted by key.

    Attributes:
        keys: V keys.
        labels: (V,) int64, 0 genuine, 1 fake.
        groups: V names; videos with one genuine source share it.
        scores: (V,) float64, mean of the frames' uncalibrated probabilities, which is what
            papers rank by; NaN where no frame has a score.
        probabilities: (V,) float64, the scores calibrated, which verdicts are made of; they rank
            as the scores do.
        frame_counts: (V,) int64, frames that were to be scored.
        scored_counts: (V,) int64, frames that were.
        failures: V reasons, "" where a frame has a score.
        origins: V names of where videos come from: the origin, else the dataset.
        face_px: (V,) float64, median side of the scored faces; NaN where there are none.
    """

    keys: list[VideoKey]
    labels: np.ndarray
    groups: list[str]
    scores: np.ndarray
    probabilities: np.ndarray
    frame_counts: np.ndarray
    scored_counts: np.ndarray
    failures: list[str]
    origins: list[str]
    face_px: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def scored(self) -> np.ndarray:
        """(V,) bool: videos with a score."""
        return self.scored_counts > 0

    def select(self, chosen: np.ndarray) -> "Videos":
        """Those where the (V,) bool array `chosen` is True."""
        numbers = np.flatnonzero(chosen)
        return Videos(
            keys=[self.keys[n] for n in numbers],
            labels=self.labels[numbers],
            groups=[self.groups[n] for n in numbers],
            scores=self.scores[numbers],
            probabilities=self.probabilities[numbers],
            frame_counts=self.frame_counts[numbers],
            scored_counts=self.scored_counts[numbers],
            failures=[self.failures[n] for n in numbers],
            origins=[self.origins[n] for n in numbers],
            face_px=self.face_px[numbers],
        )


def complete_table(
    scored: pa.Table, model: str, collection: str, scaling: LogitScaling
) -> pa.Table:
    """Add what depends on the model's calibration and the run.

    Args:
        scored: of `SCORED_SCHEMA`.
        model: its name.
        collection: its name.
        scaling: of the model; makes a probability of a logit difference.
    """
    differences = scored["logit_difference"].to_numpy(zero_copy_only=False)
    missing = np.isnan(differences)
    probabilities = pa.array(expit(scaling.scaled(differences)), mask=missing)
    count = len(scored)
    scored = scored.append_column("probability", probabilities)
    for name, value in zip(CALIBRATION, (scaling.temperature, scaling.bias), strict=True):
        scored = scored.append_column(name, pa.array([value] * count, pa.float64()))
    scored = scored.append_column("model", pa.array([model] * count, pa.string()))
    scored = scored.append_column("collection", pa.array([collection] * count, pa.string()))
    calibrated = ["probability", *CALIBRATION]
    columns = ["model", "collection", *SCORED_SCHEMA.names[:-1], *calibrated, "failure"]
    return scored.select(columns)


def keep(table: pa.Table, **values) -> pa.Table:
    """The rows whose columns have the given values, for example `distortion="none"`."""
    for column, value in values.items():
        table = table.filter(pc.equal(table[column], value))
    return table


def video_names(table: pa.Table) -> list[str]:
    """For each row the joined key of its video: dataset, compression, method and id.

    The id alone would merge videos of different methods wherever ids are bare file names.
    """
    parts = [
        [value or "" for value in table[column].to_pylist()]
        for column in ("dataset", "compression", "method", "video_id")
    ]
    return [SEPARATOR.join(row) for row in zip(*parts, strict=True)]


def numbers(table: pa.Table, column: str) -> np.ndarray:
    """A column as float64, NaN where it is null."""
    return table[column].cast(pa.float64()).to_numpy(zero_copy_only=False)


def gather_videos(table: pa.Table) -> Videos:
    """Put the frames of a table together into videos.

    Args:
        table: with the columns of `complete_table`, of one model and one distortion.

    Raises:
        FrameDataError: a video has frames of both labels, or there is no row.
    """
    if not len(table):
        raise FrameDataError("There are no frames to evaluate.")
    names = np.array(video_names(table), dtype=object)
    labels = numbers(table, "label").astype(np.int64)
    distinct, first, index, counts = _unique(names)
    fake_frames = np.bincount(index, weights=labels, minlength=len(distinct))
    conflicting = np.flatnonzero((fake_frames > 0) & (fake_frames < counts))
    if conflicting.size:
        video = distinct[conflicting[0]].split(SEPARATOR)[-1]
        raise FrameDataError(
            f"Video '{video}' has frames labelled real and frames labelled fake: video_id must be "
            "unique within a dataset and method."
        )
    differences = numbers(table, "logit_difference")
    scored = np.isfinite(differences)
    scores, probabilities = np.full((2, len(distinct)), np.nan)
    if scored.any():
        chosen = [str(name) for name in names[scored]]
        position = {str(name): number for number, name in enumerate(distinct)}
        videos = aggregate_by_video(expit(differences[scored]), labels[scored], chosen)
        places = [position[video_id] for video_id in videos.video_ids]
        scores[places] = videos.scores
        scalings = zip(*(numbers(table, name)[first[places]] for name in CALIBRATION), strict=True)
        probabilities[places] = [
            LogitScaling(*scaling).calibrated(score)
            for score, scaling in zip(videos.scores, scalings, strict=True)
        ]
    firsts = table.take(pa.array(first)).to_pylist()
    keys = [
        VideoKey(row["dataset"], row["compression"], row["method"], row["video_id"])
        for row in firsts
    ]
    scored_counts = np.bincount(index, weights=scored, minlength=len(distinct)).astype(np.int64)
    return Videos(
        keys=keys,
        labels=labels[first],
        groups=[_group(row) for row in firsts],
        scores=scores,
        probabilities=probabilities,
        frame_counts=counts,
        scored_counts=scored_counts,
        failures=_failures(table, index, scored_counts),
        origins=[row["origin"] or row["dataset"] for row in firsts],
        face_px=_median_sizes(table, index, scored, len(distinct)),
    )


def frame_groups(table: pa.Table) -> list[str]:
    """For each row the name that its video shares with the videos of the same source."""
    columns = ("dataset", "video_id", "source_video_id")
    return [_group(row) for row in table.select(columns).to_pylist()]


def _median_sizes(table: pa.Table, index: np.ndarray, scored: np.ndarray, count: int) -> np.ndarray:
    sizes = numbers(table, "face_px")
    known = scored & np.isfinite(sizes)
    medians = np.full(count, np.nan)
    order = np.argsort(index[known], kind="stable")
    videos, starts = np.unique(index[known][order], return_index=True)
    for video, of_video in zip(videos, np.split(sizes[known][order], starts[1:]), strict=False):
        medians[video] = np.median(of_video)
    return medians


def _unique(names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return np.unique(names, return_index=True, return_inverse=True, return_counts=True)


def _group(row: dict) -> str:
    source = row["source_video_id"] or row["video_id"]
    return f"{row['dataset']}{SEPARATOR}{source}"


def _failures(table: pa.Table, index: np.ndarray, scored_counts: np.ndarray) -> list[str]:
    """Of each video without a score the reason that most of its frames give."""
    reasons: list[dict[str, int]] = [{} for _ in scored_counts]
    for number, reason in zip(index, table["failure"].to_pylist(), strict=True):
        if reason and not scored_counts[number]:
            reasons[number][reason] = reasons[number].get(reason, 0) + 1
    return [
        max(found, key=lambda reason: (found[reason], reason)) if found else "" for found in reasons
    ]
