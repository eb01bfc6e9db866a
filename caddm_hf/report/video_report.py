"""What the detector found in a video: one object for the page, the command line and programs.

`VideoReport.to_dict()` is the JSON that `python -m caddm_hf score --json` prints, without
pictures (face crops, heatmaps); a report file has some of them too (`report.files`). Both are
described in docs/report.md. Numbers are not rounded: what is read back is what was written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..model.heatmaps import ArtifactBox
from .verdicts import Judgement, LogitScaling, Thresholds

REPORT_SCHEMA = "caddm-hf/report"
# 1: before reports named their schema; no provenance, no alignment, rounded numbers.
REPORT_SCHEMA_VERSION = 2


@dataclass(frozen=True)
class FaceScore:
    """One person's face in one frame.

    Attributes:
        frame_index: position in the video, counted from 0.
        time_s: when the frame is shown, seconds from the start.
        box_xyxy: face box in pixels of the upright frame.
        face_confidence: how sure the face detector is, in [0, 1].
        fake_probability: calibrated, in [0, 1].
        uncalibrated_probability: the same before calibration; people and videos are judged by
            its mean, calibrated.
        crop_rgb: (S, S, 3) uint8, the aligned face as the network saw it; None in a report read
            from a file that does not hold this face's pictures.
        heatmap: (S, S) float16 in [0, 1], where the anchors see artifacts, on the crop; None
            where `crop_rgb` is.
        artifact_boxes: places the detector marks on the crop.
        alignment: (2, 3) matrix from frame to crop pixels; None in a report of schema version 1.
    """

    frame_index: int
    time_s: float
    box_xyxy: tuple[float, float, float, float]
    face_confidence: float
    fake_probability: float
    uncalibrated_probability: float
    crop_rgb: np.ndarray | None = field(repr=False, compare=False)
    heatmap: np.ndarray | None = field(repr=False, compare=False)
    artifact_boxes: list[ArtifactBox] = field(repr=False, compare=False)
    alignment: np.ndarray | None = field(repr=False, compare=False)

    @property
    def has_pictures(self) -> bool:
        """Whether crop and heatmap are there."""
        return self.crop_rgb is not None and self.heatmap is not None

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        x0, y0, x1, y1 = self.box_xyxy
        return max(x1 - x0, y1 - y0)

    def to_dict(self) -> dict:
        """The JSON of one frame of one person."""
        return {
            "frame_index": self.frame_index,
            "time_s": self.time_s,
            "box_xyxy": list(self.box_xyxy),
            "face_confidence": self.face_confidence,
            "fake_probability": self.fake_probability,
            "uncalibrated_probability": self.uncalibrated_probability,
            "artifact_boxes": [
                {"box_xyxy": list(box.box_xyxy), "confidence": box.confidence}
                for box in self.artifact_boxes
            ],
            "alignment": None if self.alignment is None else self.alignment.tolist(),
        }


@dataclass(frozen=True)
class PersonReport:
    """One person of a video: their judgement and their faces in order of time."""

    id: int
    judgement: Judgement
    faces: list[FaceScore]

    @property
    def most_suspicious(self) -> FaceScore:
        """The face with the highest probability of "fake"."""
        return max(self.faces, key=lambda face: face.fake_probability)

    def suspicious_frames(self, thresholds: Thresholds) -> int:
        """How many of the frames, each taken by itself, lie above the "fake" threshold."""
        return sum(face.fake_probability > thresholds.fake_above for face in self.faces)

    def to_dict(self) -> dict:
        """The JSON of one person."""
        return {
            "id": self.id,
            **_judgement_dict(self.judgement),
            "frames": [face.to_dict() for face in self.faces],
        }


@dataclass(frozen=True)
class Provenance:
    """What was looked at, with what and when: what others need to check a report.

    Attributes:
        file_sha256: of the file that was judged, hexadecimal.
        file_bytes: its size.
        model_trained: False for random weights, whose scores mean nothing.
        model_sha256: of the weights file of a model that is a folder; `None` for one from the
            Hub, which its revision names.
        settings: of the detector, by name; plain values, or mappings of them.
        versions: of Python and the packages that decide a score.
        checked_at: when, ISO 8601 in UTC.
    """

    file_sha256: str
    file_bytes: int
    model_trained: bool
    model_sha256: str | None
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    checked_at: str

    def to_dict(self) -> dict:
        """Its JSON."""
        return {
            "file": {"sha256": self.file_sha256, "bytes": self.file_bytes},
            "model_trained": self.model_trained,
            "model_sha256": self.model_sha256,
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "checked_at": self.checked_at,
        }


@dataclass(frozen=True)
class VideoReport:
    """The answer to one video or image.

    Attributes:
        video: the name it was asked for by: path, URL or upload name.
        judgement: on the whole video.
        people: everybody seen, most suspicious first; those who cannot be judged come last.
        duration_s: of the video, 0 for an image.
        frames_sampled: how many frames were looked at.
        model: folder, Hub id or description of the checkpoint.
        model_revision: Hub commit of the checkpoint, if it has one.
        thresholds: those the verdicts were made with.
        calibration_temperature, calibration_bias: the checkpoint's; 1 and 0 mean not calibrated.
        warnings: plain sentences on what limits the result.
        provenance: which file, model and settings exactly, where that was recorded.
    """

    video: str
    judgement: Judgement
    people: list[PersonReport]
    duration_s: float
    frames_sampled: int
    model: str
    model_revision: str | None
    thresholds: Thresholds
    calibration_temperature: float
    calibration_bias: float = 0.0
    warnings: list[str] = field(default_factory=list)
    provenance: Provenance | None = None

    @property
    def scaling(self) -> LogitScaling:
        """The calibration its probabilities were made with."""
        return LogitScaling(self.calibration_temperature, self.calibration_bias)

    @property
    def main_person(self) -> PersonReport | None:
        """Who is seen most: the largest sum of face areas over the frames."""
        return max(self.people, key=_area_seen, default=None)

    def largest_face_probability(self) -> float | None:
        """The paper's video score, calibrated: that of the largest face in each frame.

        The faces' uncalibrated probabilities are averaged, and the mean is calibrated, so the
        ranking of videos is the paper's under any calibration. `None` without a face.
        """
        largest: dict[int, FaceScore] = {}
        for person in self.people:
            for face in person.faces:
                rival = largest.get(face.frame_index)
                if rival is None or _area(face) > _area(rival):
                    largest[face.frame_index] = face
        if not largest:
            return None
        total = sum(face.uncalibrated_probability for face in largest.values())
        return self.scaling.calibrated(total / len(largest))

    def to_dict(self) -> dict:
        """The JSON of the report."""
        return {
            "schema": REPORT_SCHEMA,
            "schema_version": REPORT_SCHEMA_VERSION,
            "video": self.video,
            **_judgement_dict(self.judgement),
            "duration_s": self.duration_s,
            "frames_sampled": self.frames_sampled,
            "model": self.model,
            "model_revision": self.model_revision,
            "thresholds": {
                "real_below": self.thresholds.real_below,
                "fake_above": self.thresholds.fake_above,
            },
            "calibration_temperature": self.calibration_temperature,
            "calibration_bias": self.calibration_bias,
            "warnings": self.warnings,
            "provenance": self.provenance.to_dict() if self.provenance else None,
            "people": [person.to_dict() for person in self.people],
        }


def _judgement_dict(judgement: Judgement) -> dict:
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.explanation,
        "reason_code": judgement.reason.value if judgement.reason else None,
        "fake_probability": judgement.fake_probability,
    }


def _area(face: FaceScore) -> float:
    x0, y0, x1, y1 = face.box_xyxy
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def _area_seen(person: PersonReport) -> float:
    return sum(_area(face) for face in person.faces)
