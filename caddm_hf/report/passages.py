"""Stretches of time in which one person's score stands out from the rest of the clip.

A short forgery hardly changes the mean over a whole clip. Its sign is a score that is high for a
while, and only then. A stretch is a passage when, frame after frame,

1. the smoothed log-odds stay above `level`, and
2. above the person's median by `margin` at least, and
3. there are `least_frames` such frames over `least_s` seconds, none missing for `longest_gap_s`.

Smoothing is a running median over `window_s` seconds, so a single frame never starts or ends a
passage. The person's median is taken over the evenly spread frames only: the additional frames
around suspicious moments would raise it.

The numbers were chosen on clips of one person, genuine and with four forged seconds in a minute;
docs/report.md has the measurement.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.formats import show_time
from .fields import Count, Probability, Seconds
from .leaning import Leaning
from .verdicts import Judgement, LogitScaling, Reason, Thresholds, Verdict, log_odds

# The share of a passage's frames that score at least its probability. A mean could be dominated
# by few frames, and is biased upwards because the highest stretch was selected.
FRAMES_THAT_REACH = 0.75


@dataclass(frozen=True)
class PassageRules:
    """When a stretch stands out, and when it is enough for "fake".

    Attributes:
        window_s: width of the running median, in seconds.
        level: calibrated log-odds of "fake" that every smoothed frame exceeds.
        margin: least distance from the person's median, in log-odds.
        least_frames: least number of frames of a passage.
        least_s: least time from its first to its last frame, in seconds.
        longest_gap_s: longest time between two of its frames.
        fake_least_frames, fake_least_s: a shorter passage is never enough for "fake".
    """

    window_s: float = 1.25
    level: float = 1.0
    margin: float = 2.0
    least_frames: int = 5
    least_s: float = 1.0
    longest_gap_s: float = 0.75
    fake_least_frames: int = 8
    fake_least_s: float = 2.0


@dataclass(frozen=True)
class Passage:
    """A stretch of time in which one person's score stands out."""

    start_s: Annotated[Seconds, Field(description="its first frame that stands out")]
    end_s: Annotated[Seconds, Field(description="its last")]
    fake_probability: Annotated[
        Probability, Field(description="calibrated; three in four of its frames reach it")
    ]
    frames: Annotated[Count, Field(description="looked at in it")]

    @property
    def words(self) -> str:
        """The time of the passage: "5.2 s to 8.2 s"."""
        return f"{show_time(self.start_s)} to {show_time(self.end_s)}"


def find_passages(
    times_s: Sequence[float],
    uncalibrated_probabilities: Sequence[float],
    evenly_spread: Sequence[bool],
    scaling: LogitScaling = LogitScaling(),
    rules: PassageRules = PassageRules(),
) -> list[Passage]:
    """The stretches of one person that stand out, in order of time.

    Args:
        times_s: times of the person's faces that count, never decreasing.
        uncalibrated_probabilities: probability of "fake" of each face.
        evenly_spread: for each face, whether its frame is one of the evenly spread frames.
        scaling: calibration of the checkpoint.
        rules: when a stretch stands out.
    """
    times, spread = np.asarray(times_s, float), np.asarray(evenly_spread, bool)
    if not spread.any():
        return []
    odds = scaling.scaled(np.array([log_odds(p) for p in uncalibrated_probabilities]))
    usual = float(np.median(odds[spread]))
    least = max(rules.level, usual + rules.margin)
    found = []
    for start, end in _runs(times, rules.longest_gap_s):
        smooth = _running_median(times[start:end], odds[start:end], rules.window_s)
        high = smooth > least
        for first, last in _true_runs(high):
            inside = slice(start + first, start + last + 1)
            start_s, end_s = float(times[inside][0]), float(times[inside][-1])
            frames = last - first + 1
            if frames >= rules.least_frames and end_s - start_s >= rules.least_s:
                reached = np.quantile(
                    np.asarray(uncalibrated_probabilities)[inside], 1 - FRAMES_THAT_REACH
                )
                probability = scaling.calibrated(float(reached))
                found.append(Passage(start_s, end_s, probability, frames))
    return found


def judge_passages(
    judgement: Judgement,
    passages: Sequence[Passage],
    thresholds: Thresholds,
    rules: PassageRules = PassageRules(),
) -> Judgement:
    """Judge a person whose score stands out in some passages.

    Such a person is never "real". The verdict is "fake" if one passage alone is enough: its
    probability is above the threshold, and it is long with many frames. Otherwise there is no
    verdict, and the reason names the strongest passage. The probability stays that of the mean.

    Args:
        judgement: by the mean over the evenly spread frames.
        passages: passages of the person.
        thresholds: thresholds of the checkpoint.
        rules: when a passage is enough.
    """
    if not passages or judgement.fake_probability is None or judgement.verdict is Verdict.FAKE:
        return judgement
    if any(is_enough(passage, thresholds, rules) for passage in passages):
        return Judgement(Verdict.FAKE, None, None, judgement.fake_probability)
    strongest = max(passages, key=lambda passage: passage.fake_probability)
    return replace(
        judgement,
        verdict=Verdict.CANNOT_TELL,
        reason=Reason.PASSAGE,
        explanation=f"{strongest.words} looks forged, unlike the rest: look at it.",
        leans_towards=Leaning.FAKE,
    )


def is_enough(
    passage: Passage, thresholds: Thresholds, rules: PassageRules = PassageRules()
) -> bool:
    """Whether a passage alone makes a person "fake"."""
    return (
        passage.fake_probability > thresholds.fake_above
        and passage.frames >= rules.fake_least_frames
        and passage.end_s - passage.start_s >= rules.fake_least_s
    )


def _runs(times: np.ndarray, longest_gap_s: float) -> Iterator[tuple[int, int]]:
    """Start and end of each run of frames without a longer gap."""
    breaks = np.flatnonzero(np.diff(times) > longest_gap_s) + 1
    edges = [0, *breaks.tolist(), len(times)]
    yield from pairwise(edges)


def _true_runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last position of each run of true values."""
    padded = np.concatenate([[False], flags, [False]]).astype(np.int8)
    changes = np.diff(padded)
    starts, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1) - 1
    yield from zip(starts.tolist(), ends.tolist(), strict=True)


def _running_median(times: np.ndarray, values: np.ndarray, window_s: float) -> np.ndarray:
    """Median over the values within half a window of each."""
    first = np.searchsorted(times, times - window_s / 2, "left")
    last = np.searchsorted(times, times + window_s / 2, "right")
    return np.array([np.median(values[a:b]) for a, b in zip(first, last, strict=True)])
