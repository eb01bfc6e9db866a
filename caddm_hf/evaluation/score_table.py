"""The scores table: one row per frame, from which all figures of an evaluation are computed.

    model, collection, dataset, compression, method, video_id, source_video_id, label,
    frame_index, distortion, level, origin, face_px, logit_difference, probability, temperature,
    bias, failure

`logit_difference` is the fake logit minus the genuine one. `probability` is computed from it with
the model's calibration, `temperature` and `bias`. A frame without a score has neither logit nor
probability, but a reason in `failure`. `face_px` is the side of the detected face, or of a
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

# Schema of stored scores; the model's name and calibration are added on reading.
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
SEPARATOR = "\x1f"  # between the parts of a video's key; no sensible name contains it


class VideoKey(NamedTuple):
    """The values that identify a video, independent of its file name."""

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
        scores: (V,) float64, mean of the frames' uncalibrated probabilities, the ranking used in
            papers; NaN for videos without a score.
        probabilities: (V,) float64, the calibrated scores, on which verdicts are based; their
            order is that of the scores.
        frame_counts: (V,) int64, number of frames.
        scored_counts: (V,) int64, number of frames with a score.
        failures: V reasons, "" for videos with a score.
        origins: V origins, or datasets for videos without an origin.
        face_px: (V,) float64, median side of the scored faces; NaN for videos without a score.
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
        """Return the videos for which the (V,) bool array `chosen` is True."""
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
    """Add the columns that depend on the model's calibration and the run.

    Args:
        scored: with `SCORED_SCHEMA`.
        model: name of the model.
        collection: name of the collection.
        scaling: of the model; converts logit differences to probabilities.
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
    """Return the rows whose columns have the given values, such as `distortion="none"`."""
    for column, value in values.items():
        table = table.filter(pc.equal(table[column], value))
    return table


def video_names(table: pa.Table) -> list[str]:
    """Return the joined key of each row's video: dataset, compression, method and id.

    The id alone would merge videos of different methods if ids are bare file names.
    """
    parts = [
        [value or "" for value in table[column].to_pylist()]
        for column in ("dataset", "compression", "method", "video_id")
    ]
    return [SEPARATOR.join(row) for row in zip(*parts, strict=True)]


def numbers(table: pa.Table, column: str) -> np.ndarray:
    """Return a column as float64, NaN for null."""
    return table[column].cast(pa.float64()).to_numpy(zero_copy_only=False)


def gather_videos(table: pa.Table) -> Videos:
    """Aggregate the frames of a table to videos.

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
    """Return for each row the name shared by all videos of the same source."""
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
    """Return for each video without a score the most frequent reason among its frames."""
    reasons: list[dict[str, int]] = [{} for _ in scored_counts]
    for number, reason in zip(index, table["failure"].to_pylist(), strict=True):
        if reason and not scored_counts[number]:
            reasons[number][reason] = reasons[number].get(reason, 0) + 1
    return [
        max(found, key=lambda reason: (found[reason], reason)) if found else "" for found in reasons
    ]
