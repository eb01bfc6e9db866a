"""From face scores to a verdict, or to "cannot tell" with the reason.

The rules, which use neither pictures nor networks:

1. A face counts when it is surely a face, turned to the camera, and large and sharp enough
   (`counting`).
2. A person is judged by the mean uncalibrated probability over the frames in which their face
   counts, if there are enough such frames. The mean is calibrated after averaging, so that
   calibration never changes the order of people.
3. The calibrated probability is compared with the checkpoint's two thresholds; between them lies
   the undecided band.
4. A person with a passage that stands out is never real (`passages`).
5. The video's verdict is that of its most suspicious main person (`main_people`): one forged face
   makes a forged video. A video is real only if every judged main person is, and no bystander
   looks forged. A bystander never makes a video fake.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from ..core.formats import show_time
from ..faces.counting import FaceDoubt, JudgingRules
from .fields import Probability, Sentence
from .leaning import Help, Leaning, lean

# `log_odds` replaces p = 0 and 1 - p = 0 by the smallest positive double, so that 0 and 1 keep the
# lowest and highest values.
LEAST_P = math.ulp(0.0)
LEAST_1_MINUS_P = 2.0**-54


class Verdict(StrEnum):
    """What is said about a person or a video."""

    REAL = "real"
    FAKE = "fake"
    CANNOT_TELL = "cannot_tell"

    @property
    def words(self) -> str:
        """The verdict in words for people."""
        return self.value.replace("_", " ")


class Reason(StrEnum):
    """Why no verdict is given."""

    UNREADABLE = "unreadable"
    NO_FACE = "no_face"
    NOT_A_FACE = "not_surely_a_face"
    TURNED_AWAY = "turned_away"
    FACES_TOO_SMALL = "faces_too_small"
    FACES_TOO_BLURRED = "faces_too_blurred"
    TOO_FEW_FRAMES = "too_few_frames"
    TOO_CLOSE = "too_close_to_the_threshold"
    PASSAGE = "passage_stands_out"
    LOOK_AT_PERSON = "look_at_person"


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
    leans_towards: Annotated[
        Leaning | None, Field(description="of a result without a verdict; null for a verdict")
    ] = None
    would_help: Annotated[
        list[Help], Field(max_length=10, description="what may lead to a verdict")
    ] = field(default_factory=list)

    @property
    def judgement(self) -> "Judgement":
        """The judgement alone, without the fields of a subclass."""
        return Judgement(**{part.name: getattr(self, part.name) for part in fields(Judgement)})

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

    Platt scaling (Platt 1999), written with the temperature of Guo et al. 2017: T softens, b
    shifts. The mapping increases strictly, so it never changes a ranking; only values within
    rounding of 0 or 1 can become equal.

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
        # Two forms of the sigmoid, each used where its exponential cannot overflow.
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
        lean(
            log_odds(fake_probability),
            log_odds(thresholds.real_below),
            log_odds(thresholds.fake_above),
        ),
    )


@dataclass(frozen=True)
class JudgedFace:
    """One face of a person.

    Attributes:
        uncalibrated_probability: in [0, 1].
        size_px: longer side of the box in pixels of the frame.
        doubt: why the face does not count; None if it does.
    """

    uncalibrated_probability: float
    size_px: float
    doubt: FaceDoubt | None = None


REASON_OF_DOUBT = {
    FaceDoubt.NOT_A_FACE: Reason.NOT_A_FACE,
    FaceDoubt.TURNED_AWAY: Reason.TURNED_AWAY,
    FaceDoubt.TOO_SMALL: Reason.FACES_TOO_SMALL,
    FaceDoubt.TOO_BLURRED: Reason.FACES_TOO_BLURRED,
}

# Ordered from reasons that a better copy removes to things that are not faces.
NEARNESS = (
    Reason.TOO_FEW_FRAMES,
    Reason.FACES_TOO_BLURRED,
    Reason.FACES_TOO_SMALL,
    Reason.TURNED_AWAY,
    Reason.NOT_A_FACE,
)


def judge_person(
    faces: Sequence[JudgedFace],
    thresholds: Thresholds,
    rules: JudgingRules,
    *,
    scaling: LogitScaling = LogitScaling(),
) -> Judgement:
    """Judge one person by their faces, one for each frame they were seen in.

    Args:
        faces: faces in the evenly spread frames.
        thresholds: thresholds of the checkpoint.
        rules: how many faces must count.
        scaling: calibration of the checkpoint, applied to the mean of the probabilities.
    """
    counting = [face.uncalibrated_probability for face in faces if face.doubt is None]
    if faces and not counting:
        return _doubted(faces, rules)
    if len(counting) < rules.least_frames:
        return Judgement(
            Verdict.CANNOT_TELL,
            Reason.TOO_FEW_FRAMES,
            f"The face was seen in too few frames: {len(counting)}, {rules.least_frames} are "
            "needed.",
            None,
            Leaning.NEITHER,
        )
    return judge_probability(scaling.calibrated(sum(counting) / len(counting)), thresholds)


def _doubted(faces: Sequence[JudgedFace], rules: JudgingRules) -> Judgement:
    """Judge a person without any face that counts, by the most frequent doubt."""
    doubt, _ = Counter(face.doubt for face in faces).most_common(1)[0]
    words = {
        FaceDoubt.NOT_A_FACE: "This is not surely a face: it is seen too briefly or unclearly, or "
        "its eyes, nose and mouth do not lie as a face's do.",
        FaceDoubt.TURNED_AWAY: "The face is turned too far away to be judged.",
        FaceDoubt.TOO_SMALL: f"The face is too small: at most "
        f"{max(face.size_px for face in faces):.0f} pixels, {rules.least_face_px:.0f} are needed.",
        FaceDoubt.TOO_BLURRED: "The face is too blurred to be judged.",
    }
    return Judgement(
        Verdict.CANNOT_TELL, REASON_OF_DOUBT[doubt], words[doubt], None, Leaning.NEITHER
    )


@dataclass(frozen=True)
class Bystander:
    """A person who is not a main person of the video.

    Attributes:
        number: the person's number in the report.
        fake_probability: calibrated, in [0, 1]; `None` if there is none.
        start_s, end_s: when the person is first and last seen.
    """

    number: int
    fake_probability: float | None
    start_s: float
    end_s: float


def look_at(bystander: Bystander) -> Judgement:
    """The judgement on a bystander who looks forged, and on their video."""
    return Judgement(
        Verdict.CANNOT_TELL,
        Reason.LOOK_AT_PERSON,
        f"Look at person {bystander.number} between {show_time(bystander.start_s)} and "
        f"{show_time(bystander.end_s)}: a face in the background looks forged, and such a face "
        "alone decides nothing.",
        bystander.fake_probability,
        Leaning.NEITHER,
    )


def severity(judgement: Judgement) -> tuple[int, float]:
    """Sorting key of people: "fake" first, then those with a passage, then by probability."""
    grade = 2 if judgement.verdict is Verdict.FAKE else int(judgement.reason is Reason.PASSAGE)
    probability = judgement.fake_probability
    return grade, -1.0 if probability is None else probability


def judge_video(
    people: Sequence[Judgement], frames_sampled: int, bystanders: Sequence[Bystander] = ()
) -> Judgement:
    """Judge a video by the judgements on its people.

    Args:
        people: one judgement for each main person.
        frames_sampled: number of sampled frames, for the explanation.
        bystanders: those who look forged, most suspicious first.
    """
    judged = [person for person in people if person.fake_probability is not None]
    worst = max(judged, key=severity, default=None)
    if bystanders and (worst is None or worst.verdict is Verdict.REAL):
        # Keep the main people's probability: a bystander's is not the video's.
        return replace(
            look_at(bystanders[0]), fake_probability=worst.fake_probability if worst else None
        )
    if worst is not None:
        return worst
    if not people:
        frames = "1 frame" if frames_sampled == 1 else f"{frames_sampled} frames"
        return Judgement(
            Verdict.CANNOT_TELL,
            Reason.NO_FACE,
            f"No face was found in the {frames} looked at.",
            None,
            Leaning.NEITHER,
        )
    # Give the reason that is nearest to a verdict: "seldom seen" rather than "too small".
    return min(people, key=lambda person: NEARNESS.index(person.reason))
