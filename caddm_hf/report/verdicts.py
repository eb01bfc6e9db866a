"""From face scores to a verdict, or to "cannot tell" with the reason.

The rules, in one place and free of pictures and networks:

1. A face counts when it is large enough to be judged.
2. A person is judged by the mean uncalibrated probability over the frames in which their face
   counts, if there are enough such frames. The mean is then calibrated: after averaging, so that
   no calibration changes who is more suspicious than whom.
3. The calibrated probability is compared with the checkpoint's two thresholds; between them lies
   the undecided band.
4. The video's verdict is that of its most suspicious judged person: one forged face makes a
   forged video. A video is real only if every judged person is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from .fields import Probability, Sentence

# What `log_odds` takes p = 0 and 1 - p = 0 for: no more than any other double in [0, 1] has, so
# that the ends stay the ends.
LEAST_P = math.ulp(0.0)
LEAST_1_MINUS_P = 2.0**-54


class Verdict(StrEnum):
    """What is said about a person or a video."""

    REAL = "real"
    FAKE = "fake"
    CANNOT_TELL = "cannot_tell"

    @property
    def words(self) -> str:
        """The verdict as a person would read it."""
        return self.value.replace("_", " ")


class Reason(StrEnum):
    """Why no verdict is given."""

    UNREADABLE = "unreadable"
    NO_FACE = "no_face"
    FACES_TOO_SMALL = "faces_too_small"
    TOO_FEW_FRAMES = "too_few_frames"
    TOO_CLOSE = "too_close_to_the_threshold"


@dataclass(frozen=True)
class Thresholds:
    """Real below, fake above, between them undecided."""

    real_below: Probability
    fake_above: Probability

    @model_validator(mode="after")
    def _in_order(self):
        if self.real_below > self.fake_above:
            raise ValueError("real_below must not exceed fake_above")
        return self


@dataclass(frozen=True)
class JudgingRules:
    """Which faces count, and how many a verdict needs.

    Attributes:
        least_face_px: smaller faces (longer side of the box) do not count.
        least_frames: a person seen in fewer frames gets no verdict.
    """

    least_face_px: float
    least_frames: int


@dataclass(frozen=True)
class Judgement:
    """A verdict with the number behind it."""

    verdict: Verdict
    reason: Annotated[Reason | None, Field(alias="reason_code", description="the same as a word")]
    explanation: Annotated[
        Sentence | None,
        Field(alias="reason", description="why it cannot be told, as a sentence"),
    ]
    fake_probability: Annotated[
        Probability | None,
        Field(description="the calibrated mean over the frames; null where too few faces count"),
    ]

    @property
    def judgement(self) -> "Judgement":
        """The judgement alone, of a person or video that is judged."""
        return Judgement(self.verdict, self.reason, self.explanation, self.fake_probability)

    @model_validator(mode="after")
    def _verdict_has_its_grounds(self):
        certain = self.verdict is not Verdict.CANNOT_TELL
        if certain and (self.fake_probability is None or self.reason is not None):
            raise ValueError("a verdict needs a probability, and no reason why there is none")
        if not certain and (self.reason is None or self.explanation is None):
            raise ValueError("'cannot tell' needs its reason")
        return self


def log_odds(probability: float) -> float:
    """log(p / (1 - p)) of a probability in [0, 1]; finite at 0 and 1 too."""
    return math.log(max(probability, LEAST_P)) - math.log(max(1 - probability, LEAST_1_MINUS_P))


@dataclass(frozen=True)
class LogitScaling:
    """A checkpoint's calibration: a logit z becomes the probability sigmoid((z + b) / T).

    Platt scaling (Platt 1999), written with the temperature of Guo et al. 2017: T softens, b moves
    to one side. It increases strictly, so no T > 0 and b change a ranking; only values that are
    pushed to within rounding of 0 or 1 can become equal.

    Attributes:
        temperature: T > 0.
        bias: b, finite, in units of the uncalibrated logit. With T = 1 and b = 0 nothing changes.
    """

    temperature: float = 1.0
    bias: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether it leaves every probability as it is."""
        return self.temperature == 1 and self.bias == 0

    def scaled(self, logits: np.ndarray) -> np.ndarray:
        """(z + b) / T of uncalibrated logits, of any shape."""
        return (logits + self.bias) / self.temperature

    def calibrated(self, probability: float) -> float:
        """sigmoid((logit(p) + b) / T) of a frame's probability, or of a mean over frames.

        Args:
            probability: p in [0, 1], uncalibrated.

        Returns:
            The calibrated probability in [0, 1]; p itself, unchanged, if this is the identity.
        """
        if self.is_identity:
            return probability
        scaled = (log_odds(probability) + self.bias) / self.temperature
        # Each form where its exponential cannot overflow.
        if scaled >= 0:
            return 1 / (1 + math.exp(-scaled))
        odds = math.exp(scaled)
        return odds / (1 + odds)


def judge_probability(fake_probability: float, thresholds: Thresholds) -> Judgement:
    """Compare a calibrated probability in [0, 1] with the thresholds."""
    if fake_probability > thresholds.fake_above:
        return Judgement(Verdict.FAKE, None, None, fake_probability)
    if fake_probability < thresholds.real_below:
        return Judgement(Verdict.REAL, None, None, fake_probability)
    return Judgement(
        Verdict.CANNOT_TELL,
        Reason.TOO_CLOSE,
        f"The score of {fake_probability:.0%} is too close to the threshold: real is below "
        f"{thresholds.real_below:.0%}, fake above {thresholds.fake_above:.0%}.",
        fake_probability,
    )


def judge_person(
    uncalibrated_probabilities: Sequence[float],
    face_sizes_px: Sequence[float],
    thresholds: Thresholds,
    least_face_px: float,
    least_frames: int,
    *,
    scaling: LogitScaling = LogitScaling(),
) -> Judgement:
    """Judge one person by their faces, one for each frame they were seen in.

    Args:
        uncalibrated_probabilities: in [0, 1], one a face.
        face_sizes_px: longer side of each face's box in pixels of the frame.
        thresholds: of the checkpoint.
        least_face_px: smaller faces do not count.
        least_frames: with fewer counting faces no verdict is given.
        scaling: of the checkpoint; calibrates the mean of the probabilities.
    """
    counting = [
        probability
        for probability, size in zip(uncalibrated_probabilities, face_sizes_px, strict=True)
        if size >= least_face_px
    ]
    if face_sizes_px and not counting:
        return Judgement(
            Verdict.CANNOT_TELL,
            Reason.FACES_TOO_SMALL,
            f"The face is too small: at most {max(face_sizes_px):.0f} pixels, "
            f"{least_face_px:.0f} are needed.",
            None,
        )
    if len(counting) < least_frames:
        return Judgement(
            Verdict.CANNOT_TELL,
            Reason.TOO_FEW_FRAMES,
            f"The face was seen in too few frames: {len(counting)}, {least_frames} are needed.",
            None,
        )
    return judge_probability(scaling.calibrated(sum(counting) / len(counting)), thresholds)


def judge_video(people: Sequence[Judgement], frames_sampled: int) -> Judgement:
    """The verdict on a video from those on its people.

    Args:
        people: one judgement a person.
        frames_sampled: how many frames were looked at, for the explanation.
    """
    judged = [person for person in people if person.fake_probability is not None]
    if judged:
        return max(judged, key=lambda person: person.fake_probability)
    if not people:
        frames = "1 frame" if frames_sampled == 1 else f"{frames_sampled} frames"
        return Judgement(
            Verdict.CANNOT_TELL,
            Reason.NO_FACE,
            f"No face was found in the {frames} looked at.",
            None,
        )
    # The reason nearest to a verdict explains best: seldom seen rather than too small.
    for person in people:
        if person.reason is Reason.TOO_FEW_FRAMES:
            return person
    return people[0]
