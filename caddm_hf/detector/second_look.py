"""Which moments of a video are sampled again, more densely.

Evenly spread frames of a long clip are seconds apart, so a short forgery shows in only one or two.
Around frames where a person's score is unusually high for that person, further frames are sampled.
They serve to find passages. Scores of people and videos still use the evenly spread frames only, so
that they remain comparable with published protocols.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SecondLook:
    """Where and how densely to sample again.

    Attributes:
        around_s: seconds before and after a moment. At 32 frames a minute a forgery of four
            seconds shows in two frames, and reaches at most four seconds from either.
        frames_per_s: density of the new frames. Skipped if the evenly spread frames are already
            that dense.
        level: a moment must exceed these calibrated log-odds of "fake".
        margin: a moment must exceed the person's median by this much, in log-odds.
        most_moments: of all people together, the most outstanding first.
    """

    around_s: float = 4.0
    frames_per_s: float = 4.0
    level: float = -1.0
    margin: float = 2.0
    most_moments: int = 3

    @property
    def most_frames(self) -> int:
        """The largest number of frames that a second look adds."""
        return int(self.most_moments * 2 * self.around_s * self.frames_per_s)


@dataclass(frozen=True)
class ScoredTrack:
    """The evenly spread frames of one person.

    Attributes:
        times_s: time of each frame, increasing.
        log_odds: calibrated, of "fake", one per frame.
    """

    times_s: Sequence[float]
    log_odds: Sequence[float]


def moments_to_look_at(tracks: Sequence[ScoredTrack], rules: SecondLook) -> list[float]:
    """Return the times in seconds that stand out, the most outstanding first.

    They are at least `around_s` apart.

    Args:
        tracks: of the people who may be judged.
        rules: what stands out.
    """
    candidates = []
    for track in tracks:
        odds = np.asarray(track.log_odds, float)
        if not len(odds):
            continue
        above = odds - np.median(odds)
        candidates += [
            (float(height), float(time_s))
            for time_s, height, value in zip(track.times_s, above, odds, strict=True)
            if height > rules.margin and value > rules.level
        ]
    chosen: list[float] = []
    for _, time_s in sorted(candidates, reverse=True):
        if all(abs(time_s - other) >= rules.around_s for other in chosen):
            chosen.append(time_s)
    return chosen[: rules.most_moments]


def frames_to_look_at(
    moments_s: Sequence[float],
    spread: Sequence[int],
    frame_count: int,
    duration_s: float,
    rules: SecondLook,
) -> list[int]:
    """Return the indices of new frames around the given moments, in order.

    Args:
        moments_s: seconds from the start.
        spread: indices of the evenly spread frames.
        frame_count: of the video.
        duration_s: of the video.
        rules: how far around each moment, and how densely.
    """
    if not moments_s or duration_s <= 0 or frame_count < 2:
        return []
    rate = frame_count / duration_s
    step = max(1.0, rate / rules.frames_per_s)
    if len(spread) * step >= frame_count:
        return []
    wanted: set[int] = set()
    for moment in moments_s:
        first, last = (moment - rules.around_s) * rate, (moment + rules.around_s) * rate
        # All moments use one grid, so that overlapping ones share frames.
        grid = np.arange(np.ceil(first / step), np.floor(last / step) + 1) * step
        wanted |= {int(index) for index in grid if 0 <= index < frame_count}
    return sorted(wanted - set(spread))[: rules.most_frames]
