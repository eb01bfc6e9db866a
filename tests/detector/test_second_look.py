"""caddm_hf.detector.second_look: where a long clip is looked at more closely."""

import numpy as np
import pytest

from caddm_hf.detector.second_look import (
    ScoredTrack,
    SecondLook,
    frames_to_look_at,
    moments_to_look_at,
)

RULES = SecondLook()
TIMES = np.linspace(0, 60, 32)


def track(height: float, start: float, end: float) -> ScoredTrack:
    odds = np.where((start <= TIMES) & (end >= TIMES), height, -2.0)
    return ScoredTrack(TIMES.tolist(), odds.tolist())


@pytest.mark.parametrize("start", np.arange(0, 56, 0.7))
def test_four_seconds_of_a_minute_are_hit_and_seen_whole(start):
    moments = moments_to_look_at([track(3, start, start + 4)], RULES)
    assert moments
    spread = np.linspace(0, 1499, 32).astype(int).tolist()
    frames = frames_to_look_at(moments, spread, 1500, 60, RULES)
    seen = np.array(sorted({*frames, *spread})) / 25
    inside = seen[(seen >= start) & (seen <= start + 4)]
    assert len(inside) >= 15
    assert np.diff(inside).max() <= 0.3
    assert not set(frames) & set(spread)


def test_a_steady_clip_is_not_looked_at_again():
    assert moments_to_look_at([track(0, 0, 60), track(-2, 0, 0)], RULES) == []
    assert frames_to_look_at([], [0], 100, 4, RULES) == []


def test_a_short_clip_is_dense_enough_already():
    spread = np.linspace(0, 199, 32).astype(int).tolist()
    assert frames_to_look_at([2.0], spread, 200, 8, RULES) == []


def test_moments_are_few_and_apart():
    tracks = [track(3 + n, 10 * n, 10 * n + 4) for n in range(6)]
    moments = moments_to_look_at(tracks, RULES)
    assert len(moments) == RULES.most_moments
    assert moments[0] > moments[1] > moments[2]  # the highest are the latest
    frames = frames_to_look_at(moments, [0], 60 * 25, 60, RULES)
    assert len(frames) <= RULES.most_frames
    assert frames == sorted(set(frames))


def test_moments_at_the_ends_stay_inside():
    frames = frames_to_look_at([0.0, 60.0], [0], 1500, 60, RULES)
    assert frames[0] >= 0
    assert frames[-1] < 1500
