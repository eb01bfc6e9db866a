"""Which faces count for a verdict, and why the others do not.

A face counts when it is surely a face, turned to the camera, and large and sharp enough for the
model. A person's faces count only if they are surely faces: most have a high confidence and
plausible points, and the person is seen throughout a scene. A patch of light that was mistaken for
a face is detected in some frames only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..faces.plausibility import PointFault


class FaceDoubt(StrEnum):
    """Why a face does not count."""

    NOT_A_FACE = "not_surely_a_face"
    TURNED_AWAY = "turned_away"
    TOO_SMALL = "too_small"
    TOO_BLURRED = "too_blurred"


@dataclass(frozen=True)
class JudgingRules:
    """Which faces count, and how many a verdict needs.

    Attributes:
        least_face_px: smaller faces (longer side of the box) do not count.
        least_frames: a person with fewer faces that count gets no verdict.
        least_sharpness: less sharp faces do not count; in [0, 1], see `faces.sharpness`.
        least_confidence: least median confidence of the detector over a person's faces.
        least_seen_share: least share of frames with the person, from the first to the last such
            frame of each scene.
    """

    least_face_px: float = 48.0
    least_frames: int = 5
    least_sharpness: float = 0.0
    least_confidence: float = 0.98
    least_seen_share: float = 0.5


@dataclass(frozen=True)
class FaceFacts:
    """The facts that decide whether a face counts.

    Attributes:
        size_px: longer side of the box, pixels of the frame.
        confidence: confidence of the detector, in [0, 1].
        fault: fault of the five points, if any.
        sharpness: in [0, 1].
    """

    size_px: float
    confidence: float = 1.0
    fault: PointFault | None = None
    sharpness: float = 1.0


def is_surely_a_face(
    faces: Sequence[FaceFacts], seen_share: float, rules: JudgingRules = JudgingRules()
) -> bool:
    """Whether the faces of a person are surely faces, and not false detections.

    Args:
        faces: faces of one person; at least one.
        seen_share: share of the possible frames in which the person is seen, in [0, 1].
        rules: the limits.
    """
    odd = sum(face.fault is PointFault.NOT_A_FACE for face in faces)
    confidence = float(np.median([face.confidence for face in faces]))
    return (
        confidence >= rules.least_confidence
        and 2 * odd <= len(faces)
        and seen_share >= rules.least_seen_share
    )


def face_doubt(
    face: FaceFacts, surely_a_face: bool, rules: JudgingRules = JudgingRules()
) -> FaceDoubt | None:
    """Why a face does not count; None if it does.

    Args:
        face: one face of a person.
        surely_a_face: result of `is_surely_a_face` for the person.
        rules: the limits.
    """
    # First, because small faces are searched for in some frames only, so their seen share is low.
    if face.size_px < rules.least_face_px:
        return FaceDoubt.TOO_SMALL
    if not surely_a_face or face.fault is PointFault.NOT_A_FACE:
        return FaceDoubt.NOT_A_FACE
    if face.fault is PointFault.TURNED_AWAY:
        return FaceDoubt.TURNED_AWAY
    return FaceDoubt.TOO_BLURRED if face.sharpness < rules.least_sharpness else None
