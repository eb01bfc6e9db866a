"""Crop the faces of one record's sampled frames, person by person.

Only the encoded crops stay in memory, each with a small copy for comparison with the genuine
frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from ..dataset.frame_table import FrameRow
from ..faces.detection import FRAMES_AT_ONCE, DetectedFace, FaceDetector
from ..faces.landmarks import face_outline, fill_outline, five_points
from ..faces.tracking import FaceTracker
from ..media.frames import SampledFrame
from .face_crops import crop_rectangle, encode_picture
from .frame_sources import FrameSource

MOST_FACES = 3  # the largest faces of a frame are followed
SMALL_SIDE = 256  # of the copies that are compared
# Landmarks are kept to this many decimals of a pixel, so that machines whose arithmetic differs
# in the last bits cut the same rectangle.
DECIMALS = 2
# A person who changed this many times as much as the largest one is the forged one.
CLEARLY_MORE_CHANGED = 2.0


@dataclass
class CutFace:
    """One face of one frame.

    Attributes:
        index: index of the frame.
        time_s: time of the frame; NaN if unknown.
        frame_hw: size of the frame.
        rectangle_xyxy: rectangle of the crop in the frame.
        points_xy: (N, 2) float32 landmarks in pixels of the crop.
        area_px: area of the face's box.
        image: the encoded crop.
        small_rgb: the crop, not larger than `SMALL_SIDE`.
        twin: the encoded crop of the genuine frame.
        twin_difference: difference of the twin outside the face, in grey levels.
        change: difference of the twin inside the face.
    """

    index: int
    time_s: float
    frame_hw: tuple[int, int]
    rectangle_xyxy: tuple[int, int, int, int]
    points_xy: np.ndarray
    area_px: float
    image: bytes
    small_rgb: np.ndarray
    twin: bytes | None = None
    twin_difference: float = np.inf
    change: float | None = None

    @property
    def small_points_xy(self) -> np.ndarray:
        """(N, 2) float64 landmarks in pixels of the small copy."""
        x0, y0, x1, y1 = self.rectangle_xyxy
        height, width = self.small_rgb.shape[:2]
        return self.points_xy.astype(np.float64) * (width / (x1 - x0), height / (y1 - y0))

    def offer_twin(self, frame_rgb: np.ndarray, picture_format: str) -> str | None:
        """Keep the genuine frame's crop if it shows the same moment and matches best so far.

        Args:
            frame_rgb: (H, W, 3) uint8, a frame that may be the genuine one.
            picture_format: as `encode_picture` takes it.

        Returns:
            why the crop was refused; None if it or a better one is kept.
        """
        if frame_rgb.shape[:2] != self.frame_hw:
            return "other_size"
        x0, y0, x1, y1 = self.rectangle_xyxy
        crop = frame_rgb[y0:y1, x0:x1]
        small = small_copy(crop)
        points_xy = self.small_points_xy
        if not FrameRow(self.small_rgb, small, points_xy, 1).is_same_frame():
            return "other_moment"
        inside = fill_outline(face_outline(points_xy), small.shape[:2])
        levels = cv2.absdiff(self.small_rgb, small)
        difference = float(np.mean(cv2.mean(levels, cv2.bitwise_not(inside))[:3]))
        if difference < self.twin_difference:
            self.twin_difference = difference
            self.change = float(np.mean(cv2.mean(levels, inside)[:3]))
            self.twin = encode_picture(crop, picture_format)
        return None


@dataclass
class FollowedFaces:
    """The faces of the frames added so far.

    Attributes:
        frames: number of frames.
        faceless: number of frames without any face.
        people: for each person their faces, in order.
    """

    picture_format: str
    frames: int = 0
    faceless: int = 0
    people: list[list[CutFace]] = field(default_factory=list)
    _tracker: FaceTracker = field(default_factory=FaceTracker)
    _waiting: list[SampledFrame] = field(default_factory=list)
    _cuts: dict[int, CutFace] = field(default_factory=dict)

    def add(self, frame: SampledFrame, source: FrameSource) -> None:
        """Add the next frame; `source` may have its landmarks."""
        self._waiting.append(frame)
        if len(self._waiting) == FRAMES_AT_ONCE:
            self._search(source)

    def finish(self, source: FrameSource) -> None:
        """End the frames; afterwards `people` can be read."""
        if self._waiting:
            self._search(source)
        self.people = [
            [self._cuts[id(face)] for face in person.faces.values() if id(face) in self._cuts]
            for person in self._tracker.people
        ]

    def _search(self, source: FrameSource) -> None:
        known = [source.landmarks(frame.index) for frame in self._waiting]
        unknown = [
            frame.image_rgb
            for frame, points in zip(self._waiting, known, strict=True)
            if points is None
        ]
        found = iter(face_detector().search(unknown) if unknown else [])
        for frame, points_xy in zip(self._waiting, known, strict=True):
            faces = next(found) if points_xy is None else [_as_detected(points_xy)]
            faces = faces[:MOST_FACES]
            self._tracker.add_frame(frame.image_rgb, faces)
            cuts = [self._cut(frame, face, points_xy) for face in faces]
            self.frames += 1
            self.faceless += not any(cuts)
        self._waiting.clear()

    def _cut(
        self, frame: SampledFrame, face: DetectedFace, points_xy: np.ndarray | None
    ) -> CutFace | None:
        if points_xy is None:
            points_xy = face.landmarks_xy
        points_xy = np.round(points_xy.astype(np.float64), DECIMALS)
        size_hw = frame.image_rgb.shape[:2]
        try:
            x0, y0, x1, y1 = crop_rectangle(points_xy, size_hw)
        except ValueError:  # a face outside the frame is no face
            return None
        crop = frame.image_rgb[y0:y1, x0:x1]
        cut = CutFace(
            index=frame.index,
            time_s=frame.time_s,
            frame_hw=size_hw,
            rectangle_xyxy=(x0, y0, x1, y1),
            points_xy=(points_xy - (x0, y0)).astype(np.float32),
            area_px=face.area_px,
            image=encode_picture(crop, self.picture_format),
            small_rgb=small_copy(crop),
        )
        self._cuts[id(face)] = cut
        return cut


def small_copy(image_rgb: np.ndarray) -> np.ndarray:
    """Shrink a picture so that neither side is above `SMALL_SIDE`."""
    height, width = image_rgb.shape[:2]
    zoom = min(1.0, SMALL_SIDE / max(height, width))
    size_wh = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    return cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA)


def main_person(people: Sequence[list[CutFace]]) -> list[CutFace]:
    """Return the faces of a record's main person; none if nobody was seen.

    The main person has the largest sum of face areas over the clip. An exception needs genuine
    frames: another person, seen at least half as often, who changed clearly more. Only one of two
    people may have been forged.
    """
    if not people:
        return []
    main = max(people, key=lambda faces: sum(face.area_px for face in faces))
    usual = _mean_change(main)
    forged = [
        faces
        for faces in people
        if 2 * len(faces) >= len(main) and _mean_change(faces) > CLEARLY_MORE_CHANGED * usual
    ]
    return max(forged, key=_mean_change, default=main)


def _mean_change(faces: list[CutFace]) -> float:
    """Mean change of the faces; NaN, which compares false with all numbers, if unknown."""
    changes = [face.change for face in faces if face.change is not None]
    return float(np.mean(changes)) if changes else np.nan


@lru_cache(maxsize=1)
def face_detector() -> FaceDetector:
    """Return this worker's face detector; creating one loads the networks."""
    return FaceDetector()


def _as_detected(points_xy: np.ndarray) -> DetectedFace:
    low, high = points_xy.min(axis=0), points_xy.max(axis=0)
    return DetectedFace(
        box_xyxy=np.concatenate([low, high]).astype(np.float32),
        confidence=1.0,
        landmarks_xy=five_points(points_xy).astype(np.float32),
    )
