"""Assigns the faces in the sampled frames of a clip to persons.

Sampled frames may lie seconds apart, and clips have cuts. A face is therefore joined to a person
by the similarity of the aligned faces, and by its place as long as the scene is the same. No face
recognition network is used: small colour pictures of the aligned faces are compared, which
distinguishes the people of one clip only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from ..model.face_alignment import alignment_matrix, warp_face
from .detection import DetectedFace

# Appearance: correlation of two 12x12 Lab pictures, with half the weight for lightness. On clips of
# one person, 95% of all frame pairs correlate above 0.46, and 95% of neighbouring sampled frames
# above 0.66. Of pairs of two persons, 95% correlate below 0.5 and half below 0.15.
SIGNATURE_SIDE = 12
LIGHTNESS_WEIGHT = 0.5
# A person's score for a face is appearance + PLACE_WEIGHT * overlap; at least JOIN_SCORE joins
# them. Without overlap the faces must be similar; with full overlap an appearance of 0.1 is enough
# (a turned head, a hand before the mouth).
PLACE_WEIGHT = 0.5
JOIN_SCORE = 0.6
# Thumbnails of two frames of one scene correlate above this. After a cut the place is ignored.
SAME_SCENE = 0.5
THUMBNAIL_SIZE = (32, 18)
PIXELS_A_CELL = 8  # along each side of a thumbnail's pixel
SIGNATURES_KEPT = 8


@dataclass
class TrackedPerson:
    """A person of a clip.

    Attributes:
        faces: the person's face in each frame, by the frame's position in the sampled frames.
        scenes: the number of the scene of each of these frames.
    """

    faces: dict[int, DetectedFace] = field(default_factory=dict)
    scenes: dict[int, int] = field(default_factory=dict)
    _signatures: list[np.ndarray] = field(default_factory=list, repr=False)
    _last_box: np.ndarray | None = field(default=None, repr=False)
    _last_scene: int = field(default=-1, repr=False)

    def _add(self, position: int, face: DetectedFace, signature: np.ndarray, scene: int) -> None:
        self.faces[position] = face
        self.scenes[position] = scene
        self._last_box, self._last_scene = face.box_xyxy, scene
        # Keeps the first signatures and the latest one.
        if len(self._signatures) == SIGNATURES_KEPT:
            self._signatures.pop()
        self._signatures.append(signature)

    @property
    def seen_share(self) -> float:
        """The share of frames with the person, from the first to the last such frame of each scene.

        Scenes without the person do not count, so two people who are shown in turn can each have
        a share of 1. In (0, 1].
        """
        positions: dict[int, list[int]] = {}
        for position, scene in self.scenes.items():
            positions.setdefault(scene, []).append(position)
        could = sum(max(there) - min(there) + 1 for there in positions.values())
        return len(self.scenes) / could

    def _score(self, face: DetectedFace, signature: np.ndarray, scene: int) -> float:
        boxes = [self._last_box] if scene == self._last_scene else []
        return self._score_near(face, signature, boxes)

    def _score_near(
        self, face: DetectedFace, signature: np.ndarray, boxes: list[np.ndarray]
    ) -> float:
        appearance = max(float(known @ signature) for known in self._signatures)
        overlap = max((_overlap(box, face.box_xyxy) for box in boxes), default=0.0)
        return appearance + PLACE_WEIGHT * overlap


class FaceTracker:
    """Joins faces to persons, frame after frame."""

    def __init__(self):
        self.people: list[TrackedPerson] = []
        self._position = -1
        self._scene = 0
        self._thumbnails: list[np.ndarray] = []

    def add_frame(self, frame_rgb: np.ndarray, faces: list[DetectedFace]) -> None:
        """Assign the faces of the next sampled frame.

        Args:
            frame_rgb: (H, W, 3) uint8.
            faces: the faces in the frame; each is joined to one person, known or new.
        """
        self._position += 1
        thumbnail = _thumbnail(frame_rgb)
        if self._thumbnails and float(self._thumbnails[-1] @ thumbnail) < SAME_SCENE:
            self._scene += 1
        self._thumbnails.append(thumbnail)

        signatures = [face_signature(frame_rgb, face) for face in faces]
        scores = np.array(
            [
                [person._score(face, look, self._scene) for person in self.people]
                for face, look in zip(faces, signatures, strict=True)
            ]
        )
        joined = _assigned(scores)
        for row, column in joined.items():
            self.people[column]._add(self._position, faces[row], signatures[row], self._scene)
        for row, (face, look) in enumerate(zip(faces, signatures, strict=True)):
            if row not in joined:
                person = TrackedPerson()
                person._add(self._position, face, look, self._scene)
                self.people.append(person)

    def recognise(
        self, frame_rgb: np.ndarray, faces: list[DetectedFace], near: Sequence[int]
    ) -> dict[int, int]:
        """Recognise people in a frame between those added; nobody is joined or added.

        Args:
            frame_rgb: (H, W, 3) uint8.
            faces: the faces found in the frame.
            near: positions of the added frames next to this frame in time. If they show the same
                scene, the place of a face counts as well as its appearance.

        Returns:
            position in `faces` -> position in `people`, for the faces that were recognised.
        """
        thumbnail = _thumbnail(frame_rgb)
        near = [place for place in near if float(self._thumbnails[place] @ thumbnail) >= SAME_SCENE]
        rows = []
        for face in faces:
            signature = face_signature(frame_rgb, face)
            rows.append(
                [
                    person._score_near(
                        face,
                        signature,
                        [person.faces[n].box_xyxy for n in near if n in person.faces],
                    )
                    for person in self.people
                ]
            )
        return _assigned(np.array(rows))


def _assigned(scores: np.ndarray) -> dict[int, int]:
    """Row -> column of the best assignment of (N, M) scores; low scores stay unassigned."""
    if not scores.size:
        return {}
    # Scores too low to join must not influence the assignment.
    scores = np.where(scores < JOIN_SCORE, 0.0, scores)
    pairs = zip(*linear_sum_assignment(-scores), strict=True)
    return {int(row): int(column) for row, column in pairs if scores[row, column] > 0}


def _thumbnail(frame_rgb: np.ndarray) -> np.ndarray:
    """A small picture of the frame as a unit vector, to recognise a change of scene."""
    width, height = THUMBNAIL_SIZE
    rows, columns = frame_rgb.shape[:2]
    step = max(1, min(rows // height, columns // width) // PIXELS_A_CELL)
    small = cv2.resize(
        np.ascontiguousarray(frame_rgb[::step, ::step]),
        THUMBNAIL_SIZE,
        interpolation=cv2.INTER_AREA,
    )
    return _normalised(small.astype(np.float32))


def face_signature(frame_rgb: np.ndarray, face: DetectedFace) -> np.ndarray:
    """A small picture of the aligned face, as a unit vector of 12 x 12 x 3 Lab values."""
    side = 8 * SIGNATURE_SIDE
    crop = warp_face(frame_rgb, alignment_matrix(face.landmarks_xy, side, scale=0.8), side)
    small = cv2.resize(crop, (SIGNATURE_SIDE, SIGNATURE_SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab -= lab.mean(axis=(0, 1))
    lab[..., 0] *= LIGHTNESS_WEIGHT
    return _normalised(lab, centre=False)


def _normalised(values: np.ndarray, centre: bool = True) -> np.ndarray:
    vector = values.ravel() - (values.mean() if centre else 0.0)
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _overlap(box_a: np.ndarray, box_b: np.ndarray) -> float:
    """Intersection over the smaller area of two boxes, each enlarged by half its size.

    Enlarged, because a head moves between two sampled frames. Relative to the smaller area,
    because it also moves towards the camera or away.
    """
    grown = []
    for box in (box_a, box_b):
        margin = 0.25 * (box[2:] - box[:2])
        grown.append((box[:2] - margin, box[2:] + margin))
    (a0, a1), (b0, b1) = grown
    intersection = np.clip(np.minimum(a1, b1) - np.maximum(a0, b0), 0, None).prod()
    return float(intersection / max(min((a1 - a0).prod(), (b1 - b0).prod()), 1e-6))
