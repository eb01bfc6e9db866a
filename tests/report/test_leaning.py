"""caddm_hf.report.leaning: what is said where nothing can be told."""

import pytest

from caddm_hf.faces.counting import FaceDoubt
from caddm_hf.report.leaning import (
    Help,
    Leaning,
    ShownFace,
    help_words,
    leaning_words,
    what_would_help,
)
from caddm_hf.report.verdicts import Thresholds, judge_probability

THRESHOLDS = Thresholds(0.2, 0.8)


@pytest.mark.parametrize(
    ("probability", "leaning"),
    [
        (0.79, Leaning.FAKE),
        (0.65, Leaning.FAKE),
        (0.5, Leaning.NEITHER),
        (0.35, Leaning.REAL),
        (0.21, Leaning.REAL),
        (0.1, None),
        (0.9, None),
    ],
)
def test_which_way_a_score_leans(probability, leaning):
    assert judge_probability(probability, THRESHOLDS).leans_towards is leaning


def faces(count: int, size: float = 300, sharpness: float = 0.6, doubt: FaceDoubt | None = None):
    return [ShownFace(size, sharpness, doubt)] * count


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (faces(32), [Help.SHARPER]),
        (faces(32, size=70), [Help.LARGER]),
        (faces(32, sharpness=0.2), [Help.SHARPER]),
        (faces(6), [Help.LONGER]),
        (faces(2, size=70, sharpness=0.2), [Help.LONGER, Help.LARGER, Help.SHARPER]),
        (faces(20, doubt=FaceDoubt.TURNED_AWAY), [Help.FRONTAL, Help.LONGER]),
    ],
)
def test_what_would_help(shown, expected):
    assert what_would_help(shown, is_video=True) == expected


def test_a_longer_picture_is_not_asked_for():
    assert Help.LONGER not in what_would_help(faces(1), is_video=False)


def test_words():
    assert help_words([]) is None
    assert help_words([Help.LARGER, Help.SHARPER]).startswith("What may help: a larger copy")
    assert leaning_words(Leaning.FAKE, 0.6) == "The score leans towards fake."
    assert leaning_words(Leaning.NEITHER, 0.5) == "The score leans neither way."
    assert leaning_words(Leaning.NEITHER, None) is leaning_words(None, 0.9) is None
