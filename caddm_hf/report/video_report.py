"""The detector's results on a video: one object for the page, the command line and programs.

The classes here are the only definition of a report's fields: pydantic reads and writes report
files by their annotations (`files`), and derives docs/report.schema.json from them (`schema`).
They are plain dataclasses, so values are checked only when a file is read; the detector's results
are reported however unusual the video is. docs/report.md describes the file.

`VideoReport.to_dict()` is the JSON that `python -m caddm_hf score --json` prints, without
pictures (face crops, heatmaps). Numbers are not rounded, so reading restores the exact values.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, GetPydanticSchema, TypeAdapter, model_validator
from pydantic_core import core_schema

from ..faces.counting import FaceDoubt
from ..model.heatmaps import ArtifactBox
from .face_pictures import FacePictures
from .fields import (
    STRICT,
    Corners,
    Count,
    CropCorners,
    Digest,
    Key,
    MatrixRow,
    Moment,
    Name,
    Plain,
    PlainMap,
    Probability,
    Seconds,
    Sentences,
)
from .passages import Passage
from .verdicts import Judgement, LogitScaling, Thresholds, Verdict, severity

REPORT_SCHEMA = "caddm-hf/report"
# Version 1 did not name the schema; it had no provenance and no alignment, and rounded numbers.
REPORT_SCHEMA_VERSION = 2
# Reports of version 1 are rounded to six digits.
ROUNDING = 1e-6

MediaKind = Literal["video", "picture"]
_Matrix = Annotated[
    np.ndarray,
    GetPydanticSchema(
        lambda _source, handler: core_schema.no_info_after_validator_function(
            lambda rows: np.array(rows, np.float64),
            handler(tuple[MatrixRow, MatrixRow]),
            serialization=core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist),
        )
    ),
]


@dataclass(frozen=True)
class MarkedBox(ArtifactBox):
    """A place on the crop that the detector marks as forged."""

    box_xyxy: Annotated[CropCorners, Field(description="corners, in sides of the crop")]
    confidence: Probability


@dataclass(frozen=True)
class FaceScore:
    """One person's face in one frame."""

    frame_index: Annotated[Count, Field(description="position in the video, from 0")]
    time_s: Annotated[Seconds, Field(description="when the frame is shown, seconds from the start")]
    box_xyxy: Annotated[Corners, Field(description="the face, pixels of the upright frame")]
    face_confidence: Annotated[Probability, Field(description="how sure the face search is")]
    fake_probability: Annotated[
        Probability | None,
        Field(description="of this frame alone, calibrated; null where the face does not count"),
    ]
    # People and videos are judged by the calibrated mean of this field.
    uncalibrated_probability: Annotated[
        Probability | None, Field(description="the same before calibration")
    ]
    artifact_boxes: Annotated[list[MarkedBox], Field(max_length=200)] = field(
        repr=False, compare=False
    )
    # (2, 3) float64; None in a report of schema version 1.
    alignment: Annotated[
        _Matrix | None,
        Field(description="matrix from frame to crop pixels; since version 2"),
    ] = field(default=None, repr=False, compare=False)
    pictures: Annotated[
        FacePictures | None, Field(description="of few faces only; since version 2")
    ] = field(default=None, repr=False, compare=False)
    doubt: Annotated[
        FaceDoubt | None, Field(description="why the face does not count; null if it does")
    ] = None
    sharpness: Annotated[
        Probability | None, Field(description="at the face's own size; null if not measured")
    ] = None
    second_look: Annotated[
        bool,
        Field(
            description="from the frames around suspicious moments, which are no part of the mean"
        ),
    ] = False

    @property
    def has_pictures(self) -> bool:
        """Whether the face has crop and heatmap; in report files only few faces have them."""
        return self.pictures is not None

    @property
    def crop_rgb(self) -> np.ndarray | None:
        """(S, S, 3) uint8, the aligned face as the network saw it."""
        return self.pictures and self.pictures.crop_rgb

    @property
    def heatmap(self) -> np.ndarray | None:
        """(S, S) float16 in [0, 1], where the anchors see artifacts, on the crop."""
        return self.pictures and self.pictures.heatmap

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        x0, y0, x1, y1 = self.box_xyxy
        return max(x1 - x0, y1 - y0)

    @model_validator(mode="after")
    def _a_score_is_there_or_not(self):
        if (self.fake_probability is None) is not (self.uncalibrated_probability is None):
            raise ValueError("a face has both probabilities or neither")
        return self


@dataclass(frozen=True, kw_only=True)
class PersonReport(Judgement):
    """One person: their judgement and their faces in order of time."""

    id: Annotated[int, Field(ge=1, le=10**6)]
    faces: Annotated[list[FaceScore], Field(alias="frames", min_length=1, max_length=4096)]

    main: Annotated[
        bool, Field(description="whether the video is about this person; bystanders decide nothing")
    ] = True
    passages: Annotated[
        list[Passage], Field(max_length=1000, description="stretches that stand out")
    ] = field(default_factory=list)

    @property
    def spread_faces(self) -> list[FaceScore]:
        """The faces in the frames that are spread evenly over the clip."""
        return [face for face in self.faces if not face.second_look]

    @property
    def scored_faces(self) -> list[FaceScore]:
        """The faces that have a score, in the additional frames too."""
        return [face for face in self.faces if face.fake_probability is not None]

    @property
    def most_suspicious(self) -> FaceScore:
        """The face with the highest probability of "fake"; without any, the largest face."""
        scored = self.scored_faces
        if scored:
            return max(scored, key=lambda face: face.fake_probability)
        return max(self.faces, key=_area)

    def suspicious_frames(self, thresholds: Thresholds) -> int:
        """Count the evenly spread frames whose own probability lies above the "fake" threshold."""
        return sum(
            face.fake_probability > thresholds.fake_above
            for face in self.spread_faces
            if face.fake_probability is not None
        )

    @model_validator(mode="after")
    def _frames_are_in_order(self):
        for one, other in pairwise(self.faces):
            if other.frame_index <= one.frame_index or other.time_s < one.time_s:
                raise ValueError("the frames of a person must be in order of time")
        return self


@dataclass(frozen=True)
class JudgedFile:
    """The file that was judged."""

    sha256: Digest
    bytes: Count


@dataclass(frozen=True)
class Provenance:
    """What the result rests on."""

    file: JudgedFile
    model_trained: Annotated[
        bool, Field(description="false: random weights, the scores mean nothing")
    ]
    # None for a model from the Hub, which its revision identifies.
    model_sha256: Annotated[
        Digest | None, Field(description="of model.safetensors in a model folder")
    ]
    settings: Annotated[
        dict[Key, Plain | PlainMap],
        Field(max_length=100, description="of the detector, by name (DetectionConfig)"),
    ]
    versions: Annotated[dict[Key, Key], Field(max_length=100)]
    checked_at: Annotated[Moment, Field(description="ISO 8601, UTC")]


@dataclass(frozen=True, kw_only=True)
class VideoReport(Judgement):
    """What the detector found in a video or picture."""

    __pydantic_config__: ClassVar = STRICT | {"title": "CADDM-HF report"}

    video: Annotated[Name, Field(description="the name it was asked for by")]
    duration_s: Annotated[Seconds, Field(description="0 for a picture")]
    # Reports written before this field existed are on pictures if their duration is 0.
    kind: Annotated[
        MediaKind,
        Field(
            description="what was judged",
            default_factory=lambda data: "video" if data.get("duration_s") else "picture",
        ),
    ]
    frames_sampled: Annotated[int, Field(ge=0, le=10**6)]
    model: Annotated[Name, Field(description="folder, Hub id or description")]
    model_revision: Annotated[Key | None, Field(description="Hub commit")] = None
    thresholds: Thresholds
    calibration_temperature: Annotated[
        float,
        Field(gt=0, le=1e6, description="the logit is divided by it, after the bias was added"),
    ]
    calibration_bias: Annotated[
        float,
        Field(
            ge=-1e6,
            le=1e6,
            description="added to the logit; 0 in reports written before it existed",
        ),
    ] = 0.0
    least_heatmap_peak: Annotated[
        Probability, Field(description="where a heatmap's peak is lower, no place stands out")
    ] = 0.0
    warnings: Sentences
    provenance: Annotated[Provenance | None, Field(description="since version 2")] = None
    people: Annotated[
        list[PersonReport],
        Field(
            max_length=5000,
            description="most suspicious first; those who cannot be judged come last",
        ),
    ]

    @property
    def scaling(self) -> LogitScaling:
        """The calibration its probabilities were made with."""
        return LogitScaling(self.calibration_temperature, self.calibration_bias)

    @property
    def main_person(self) -> PersonReport | None:
        """The person with the largest sum of face areas over the frames."""
        return max(self.people, key=_area_seen, default=None)

    def to_dict(self) -> dict:
        """The JSON of the report, without pictures."""
        faces = {"faces": {"__all__": {"pictures"}}}
        fields = report_adapter().dump_python(
            self, mode="json", by_alias=True, exclude={"people": {"__all__": faces}}
        )
        return {
            "schema": REPORT_SCHEMA,
            "schema_version": REPORT_SCHEMA_VERSION,
            "video": self.video,
            **fields,
        }

    @model_validator(mode="after")
    def _verdicts_follow(self):
        if not all(_verdict_follows(person, person.passages, self) for person in self.people):
            raise ValueError("a verdict contradicts its probability and the thresholds")
        passages = [passage for person in self.people for passage in person.passages]
        if not _verdict_follows(self, passages, self):
            raise ValueError("the verdict on the whole contradicts its probability")
        if len({person.id for person in self.people}) < len(self.people):
            raise ValueError("two people have one number")
        for sooner, later in pairwise(map(sorting_key, self.people)):
            if sooner[:2] > later[:2] or (
                sooner[:2] == later[:2] and later[2] < sooner[2] - ROUNDING
            ):
                raise ValueError("the people must be sorted, most suspicious first")
        if self.verdict is not Verdict.CANNOT_TELL:
            first = self.people[0] if self.people else None
            if (
                first is None
                or not first.main
                or first.fake_probability is None
                or abs(first.fake_probability - self.fake_probability) > ROUNDING
                or first.verdict is not self.verdict
            ):
                raise ValueError("the verdict on the whole contradicts those on the people")
        if self.kind == "picture" and self.duration_s > 0:
            raise ValueError("a picture has no duration")
        return self


@cache
def report_adapter() -> TypeAdapter:
    """Pydantic's reader and writer of a `VideoReport`, built at the first use."""
    return TypeAdapter(VideoReport)


def sorting_key(person: PersonReport) -> tuple[int, int, float]:
    """Sorting key: main people first, then bystanders, then people who cannot be judged."""
    group = 2 if person.fake_probability is None else int(not person.main)
    grade, probability = severity(person)
    return group, -grade, -probability


def without_numbers(face: FaceScore) -> FaceScore:
    """A face that may not be judged: no probability, no marks, and an empty heatmap."""
    pictures = face.pictures
    if pictures is not None:
        pictures = FacePictures(pictures.crop_rgb, np.zeros_like(pictures.heatmap))
    return replace(
        face,
        fake_probability=None,
        uncalibrated_probability=None,
        artifact_boxes=[],
        pictures=pictures,
    )


def without_unjudged_numbers(report: VideoReport) -> VideoReport:
    """Remove the numbers on people who may not be judged from a report.

    Older report files still have such numbers.
    """
    people = [
        person
        if person.fake_probability is not None or not person.scored_faces
        else replace(person, faces=[without_numbers(face) for face in person.faces])
        for person in report.people
    ]
    return replace(report, people=people)


def _verdict_follows(judged: Judgement, passages: list[Passage], report: "VideoReport") -> bool:
    """Whether a probability and the thresholds allow a verdict."""
    thresholds = report.thresholds
    if judged.verdict is Verdict.FAKE:
        highest = max((passage.fake_probability for passage in passages), default=0.0)
        return max(judged.fake_probability, highest) >= thresholds.fake_above - ROUNDING
    return judged.verdict is Verdict.CANNOT_TELL or (
        judged.fake_probability <= thresholds.real_below + ROUNDING
    )


def _area(face: FaceScore) -> float:
    x0, y0, x1, y1 = face.box_xyxy
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def _area_seen(person: PersonReport) -> float:
    return sum(_area(face) for face in person.spread_faces)
