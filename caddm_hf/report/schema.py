"""The report file's schema: every field with its type and bounds, as pydantic models.

What is read is a stranger's claim, so it must keep every bound, and must not contradict itself.
The models also give the JSON Schema in docs/report.schema.json, which is renewed by

    python -m caddm_hf.report.schema > docs/report.schema.json
"""

import json
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .verdicts import Reason, Verdict
from .video_report import REPORT_SCHEMA, REPORT_SCHEMA_VERSION

# Reports of version 1 are rounded to six digits.
ROUNDING = 1e-6

Probability = Annotated[float, Field(ge=0, le=1)]
Coordinate = Annotated[float, Field(ge=-1e7, le=1e7)]
Seconds = Annotated[float, Field(ge=0, le=1e6)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Name = Annotated[str, Field(max_length=8192)]
Sentence = Annotated[str, Field(max_length=2000)]
Key = Annotated[str, Field(max_length=100)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Plain = bool | Whole | float | Annotated[str, Field(max_length=1000)] | None
PlainMap = Annotated[dict[Key, Plain], Field(max_length=100)]
# 512 x 512 pixels of noise as PNG take 1 MiB in Base64.
Picture = Annotated[str, Field(max_length=2**20 + 2**17, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
Corners = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
MatrixRow = tuple[Coordinate, Coordinate, Coordinate]


class _Part(BaseModel):
    """Types as JSON has them, finite numbers; unknown fields are passed over."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="ignore")


class ReportHead(_Part):
    """What tells whether a file is a report, and one that can be read."""

    schema_name: str | None = Field(None, alias="schema", max_length=100)
    schema_version: Annotated[int, Field(ge=1, le=2**31)] = 1
    error: str | None = None


class PicturesPart(_Part):
    """The pictures of one face, as PNG in Base64."""

    crop_png: Picture = Field(description="the aligned face, 8-bit RGB, square, at most 512 a side")
    heatmap_png: Picture = Field(
        description="the heatmap on the crop, of its size, 16-bit grey: the bits of IEEE 754 half "
        "precision numbers in [0, 1]"
    )


class ArtifactBoxPart(_Part):
    """A place on the crop that the detector marks as forged."""

    box_xyxy: tuple[Probability, Probability, Probability, Probability] = Field(
        description="corners, in sides of the crop"
    )
    confidence: Probability


class FramePart(_Part):
    """One person's face in one frame."""

    frame_index: Count = Field(description="position in the video, from 0")
    time_s: Seconds = Field(description="when the frame is shown, seconds from the start")
    box_xyxy: Corners = Field(description="the face, pixels of the upright frame")
    face_confidence: Probability = Field(description="how sure the face search is")
    fake_probability: Probability = Field(description="of this frame alone, calibrated")
    uncalibrated_probability: Probability = Field(description="the same before calibration")
    artifact_boxes: Annotated[list[ArtifactBoxPart], Field(max_length=200)]
    alignment: tuple[MatrixRow, MatrixRow] | None = Field(
        None, description="matrix from frame to crop pixels; since version 2"
    )
    pictures: PicturesPart | None = Field(None, description="of few faces only; since version 2")


class _JudgedPart(_Part):
    verdict: Verdict
    reason: Sentence | None = Field(description="why it cannot be told, as a sentence")
    reason_code: Reason | None = Field(description="the same as a word")
    fake_probability: Probability | None = Field(
        description="the calibrated mean over the frames; null where too few faces count"
    )

    @model_validator(mode="after")
    def _verdict_has_its_grounds(self):
        told = self.verdict is not Verdict.CANNOT_TELL
        if told and (self.fake_probability is None or self.reason_code is not None):
            raise ValueError("a verdict needs a probability, and no reason why there is none")
        if not told and (self.reason is None or self.reason_code is None):
            raise ValueError("'cannot tell' needs its reason")
        return self


class PersonPart(_JudgedPart):
    """One person: their judgement and their faces in order of time."""

    id: Annotated[int, Field(ge=1, le=10**6)]
    frames: Annotated[list[FramePart], Field(min_length=1, max_length=4096)]

    @model_validator(mode="after")
    def _frames_are_in_order(self):
        for one, other in pairwise(self.frames):
            if other.frame_index <= one.frame_index or other.time_s < one.time_s:
                raise ValueError("the frames of a person must be in order of time")
        return self


class ThresholdsPart(_Part):
    """Real below, fake above, between them undecided."""

    real_below: Probability
    fake_above: Probability

    @model_validator(mode="after")
    def _in_order(self):
        if self.real_below > self.fake_above:
            raise ValueError("real_below must not exceed fake_above")
        return self


class FilePart(_Part):
    """The file that was judged."""

    sha256: Digest
    bytes: Count


class ProvenancePart(_Part):
    """What the result rests on."""

    file: FilePart
    model_trained: bool = Field(description="false: random weights, the scores mean nothing")
    model_sha256: Digest | None = Field(description="of model.safetensors in a model folder")
    settings: Annotated[dict[Key, Plain | PlainMap], Field(max_length=100)] = Field(
        description="of the detector, by name (DetectionConfig)"
    )
    versions: Annotated[dict[Key, Key], Field(max_length=100)]
    checked_at: Moment = Field(description="ISO 8601, UTC")


class ReportPart(_JudgedPart):
    """What the detector found in a video or picture."""

    model_config = ConfigDict(title="CADDM-HF report")

    schema_name: Literal[REPORT_SCHEMA] = Field(REPORT_SCHEMA, alias="schema")
    schema_version: Annotated[int, Field(ge=1, le=REPORT_SCHEMA_VERSION)] = 1
    video: Name = Field(description="the name it was asked for by")
    duration_s: Seconds = Field(description="0 for a picture")
    frames_sampled: Annotated[int, Field(ge=0, le=10**6)]
    model: Name = Field(description="folder, Hub id or description")
    model_revision: Key | None = Field(None, description="Hub commit")
    thresholds: ThresholdsPart
    calibration_temperature: Annotated[float, Field(gt=0, le=1e6)] = Field(
        description="the logit is divided by it, after the bias was added"
    )
    calibration_bias: Annotated[float, Field(ge=-1e6, le=1e6)] = Field(
        0.0, description="added to the logit; 0 in reports written before it existed"
    )
    warnings: Annotated[list[Sentence], Field(max_length=100)]
    provenance: ProvenancePart | None = Field(None, description="since version 2")
    limits: Annotated[list[Sentence], Field(max_length=100)] = Field(
        [], description="what such a result cannot say; for people, since version 2"
    )
    people: Annotated[list[PersonPart], Field(max_length=5000)] = Field(
        description="most suspicious first; those who cannot be judged come last"
    )

    @model_validator(mode="after")
    def _verdicts_follow(self):
        for judged in (self, *self.people):
            probability = judged.fake_probability
            if judged.verdict is Verdict.FAKE:
                fits = probability >= self.thresholds.fake_above - ROUNDING
            else:
                fits = judged.verdict is Verdict.CANNOT_TELL or (
                    probability <= self.thresholds.real_below + ROUNDING
                )
            if not fits:
                raise ValueError("a verdict contradicts its probability and the thresholds")
        if len({person.id for person in self.people}) < len(self.people):
            raise ValueError("two people have one number")
        scores = [-1 if p.fake_probability is None else p.fake_probability for p in self.people]
        if any(later > sooner + ROUNDING for sooner, later in pairwise(scores)):
            raise ValueError("the people must be sorted, most suspicious first")
        if self.verdict is not Verdict.CANNOT_TELL and (
            not scores
            or abs(scores[0] - self.fake_probability) > ROUNDING
            or self.people[0].verdict is not self.verdict
        ):
            raise ValueError("the verdict on the whole contradicts those on the people")
        return self


def report_json_schema() -> dict:
    """The JSON Schema (2020-12) of a report file."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **ReportPart.model_json_schema(by_alias=True)}


if __name__ == "__main__":
    print(json.dumps(report_json_schema(), indent=2))
