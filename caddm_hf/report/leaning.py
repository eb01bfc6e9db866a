"""Which way a result without a verdict leans, and what may lead to a verdict."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..faces.counting import FaceDoubt

# Of the band between the thresholds, in log-odds: the outer thirds lean, the middle does not.
LEANING_SHARE = 1 / 3


class Leaning(StrEnum):
    """Which way a result without a verdict leans."""

    FAKE = "fake"
    REAL = "real"
    NEITHER = "neither"


class Help(StrEnum):
    """What may lead to a verdict."""

    LONGER = "longer"
    LARGER = "larger"
    SHARPER = "less_compressed"
    FRONTAL = "face_to_the_camera"

    @property
    def words(self) -> str:
        """The advice as part of a sentence."""
        return {
            Help.LONGER: "a longer copy, in which the face is seen for more of the time",
            Help.LARGER: "a larger copy, in which the face has more pixels",
            Help.SHARPER: "a sharper, less compressed copy, such as the camera's own file",
            Help.FRONTAL: "a part in which the face looks towards the camera",
        }[self]


def lean(log_odds: float, real_below: float, fake_above: float) -> Leaning:
    """Which way a score between two thresholds leans.

    Args:
        log_odds: log-odds of "fake" of the score.
        real_below, fake_above: the thresholds, in log-odds too.
    """
    margin = LEANING_SHARE * (fake_above - real_below)
    if log_odds > fake_above - margin:
        return Leaning.FAKE
    return Leaning.REAL if log_odds < real_below + margin else Leaning.NEITHER


def leaning_words(leaning: Leaning | None, fake_probability: float | None) -> str | None:
    """A leaning as a sentence; None if there is no score, or a verdict."""
    if leaning is None or fake_probability is None:
        return None
    if leaning is Leaning.NEITHER:
        return "The score leans neither way."
    return f"The score leans towards {leaning.value}."


def help_words(would_help: list[Help]) -> str | None:
    """What may lead to a verdict, as a sentence; None without any advice."""
    if not would_help:
        return None
    return f"What may help: {'; '.join(help_.words for help_ in would_help)}."


# Below these a better copy may change a result.
LARGE_FACE_PX = 160
LONG_ENOUGH_FRAMES = 16
SHARP = 0.45  # the median of the genuine clips it was measured on
HELP_AGAINST = {
    FaceDoubt.TOO_SMALL: Help.LARGER,
    FaceDoubt.TOO_BLURRED: Help.SHARPER,
    FaceDoubt.TURNED_AWAY: Help.FRONTAL,
}


@dataclass(frozen=True)
class ShownFace:
    """The facts about a face that decide the advice.

    Attributes:
        size_px: longer side of the box, pixels of the frame.
        sharpness: in [0, 1]; None if not measured.
        doubt: why the face does not count; None if it does.
    """

    size_px: float
    sharpness: float | None
    doubt: FaceDoubt | None


def what_would_help(faces: Sequence[ShownFace], is_video: bool) -> list[Help]:
    """Return what may lead to a verdict; what limited the result most comes first.

    Args:
        faces: the faces behind the result, even if they are too few; at least one.
        is_video: whether a longer copy is possible.
    """
    doubts = Counter(face.doubt for face in faces if face.doubt in HELP_AGAINST)
    found = [HELP_AGAINST[doubt] for doubt, _ in doubts.most_common()]
    if is_video and sum(face.doubt is None for face in faces) < LONG_ENOUGH_FRAMES:
        found.append(Help.LONGER)
    if float(np.median([face.size_px for face in faces])) < LARGE_FACE_PX:
        found.append(Help.LARGER)
    measured = [face.sharpness for face in faces if face.sharpness is not None]
    if not found or (measured and float(np.median(measured)) < SHARP):
        found.append(Help.SHARPER)
    return list(dict.fromkeys(found))
