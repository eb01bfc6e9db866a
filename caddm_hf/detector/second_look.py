"""Which moments of a video are worth a second, closer look.

Evenly spread frames of a long clip lie seconds apart, so of a short forgery they show one or two.
Where a person's score is high for that person, the frames around it are looked at as well. These
frames find passages. The scores of people and videos stay those of the evenly spread frames, so
that they can be compared with published protocols.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SecondLook:
    """Where and how closely to look again.

    Attributes:
        around_s: seconds before and after a moment. At 32 frames a minute a forgery of four
            seconds shows in two, and reaches at most four seconds from either.
        frames_per_s: frames looked at there. Where the evenly spread ones lie as close, the
            second look finds nothing new and is left out.
        level: calibrated log-odds of "fake" that a moment exceeds.
        margin: how far a moment lies above the person's median, in log-odds.
        most_moments: of all people together, the most outstanding first.
    """

    around_s: float = 4.0
    frames_per_s: float = 4.0
    level: float = -1.0
    margin: float = 2.0
    most_moments: int = 3

    @property
    def most_frames(self) -> int:
        """The most frames a second look adds."""
        return int(self.most_moments * 2 * self.around_s * self.frames_per_s)


@dataclass(frozen=True)
class ScoredTrack:
    """The evenly spread frames of one person.

    Attributes:
        times_s: when they are shown, increasing.
        log_odds: calibrated, of "fake", one a frame.
    """

    times_s: Sequence[float]
    log_odds: Sequence[float]


def moments_to_look_at(tracks: Sequence[ScoredTrack], rules: SecondLook) -> list[float]:
    """The moments of a video that stand out, in seconds; most outstanding first.

    No two are nearer to each other than `around_s`.

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
    """The frames around some moments that were not looked at yet, in order.

    Args:
        moments_s: seconds from the start.
        spread: indices of the evenly spread frames.
        frame_count: of the video.
        duration_s: of the video.
        rules: how far and how densely.
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
        # On one grid for all moments, so that two that overlap share their frames.
        grid = np.arange(np.ceil(first / step), np.floor(last / step) + 1) * step
        wanted |= {int(index) for index in grid if 0 <= index < frame_count}
    return sorted(wanted - set(spread))[: rules.most_frames]
