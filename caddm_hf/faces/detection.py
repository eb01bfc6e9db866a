"""Finds faces, each with five points, in frames of any size, with MTCNN.

The MTCNN weights are part of the facenet-pytorch wheel, so nothing is downloaded. Serving and data
preparation both find faces through this module, so that a network gets the same crops.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from .mtcnn import SMALLEST_FACE_PX, MtcnnCascade

# Larger batches exceed the processor's cache and are not faster.
FRAMES_AT_ONCE = 4
# Width of the black border for faces at the frame's edge, as a share of the longer side.
BORDER_SHARE = 1 / 3
# A face is found identically when windows smaller than half its size are skipped.
FACE_TO_WINDOW = 2.0
# The smallest window searched in a crop around one face, as a share of the crop's longer side.
CROP_WINDOW_SHARE = 3 / 8
# Size of the last network's window as a multiple of the refined box.
WINDOW_MARGIN = 1.1


@dataclass(frozen=True)
class DetectedFace:
    """One face in one frame.

    Attributes:
        box_xyxy: (4,) float32, pixels of the frame; may reach beyond its edges.
        confidence: of the detector, in [0, 1].
        landmarks_xy: (5, 2) float32, pixels of the frame: left eye, right eye, nose tip, left
            and right mouth corner (left = smaller x in an upright face).
    """

    box_xyxy: np.ndarray
    confidence: float
    landmarks_xy: np.ndarray

    @property
    def size_px(self) -> float:
        """The larger side of the box in pixels of the frame."""
        return float((self.box_xyxy[2:] - self.box_xyxy[:2]).max())

    @property
    def area_px(self) -> float:
        """Area of the box in square pixels of the frame."""
        return float((self.box_xyxy[2:] - self.box_xyxy[:2]).clip(0).prod())


class FaceDetector:
    """MTCNN on frames of bounded size.

    If a face reaches the frame's edge, the frame is searched again with a black border. MTCNN
    crops its windows at the edge and stretches the rest, which moves the five points (by a median
    of 16 px on face crops of 224 px cut tightly).

    Args:
        max_side: frames are scaled down so that the longer side has at most this many pixels
            before they are searched; boxes and points refer to the full frame.
        least_confidence: faces of lower confidence are dropped.
        device: torch device, None for the CPU.
        wanted_px: the larger side, in pixels of the frame, from which on a face matters. If
            `search` finds such a face in a frame of a video, it may skip smaller ones.
    """

    def __init__(
        self,
        max_side: int = 640,
        least_confidence: float = 0.9,
        device: torch.device | str | None = None,
        wanted_px: float = 0.0,
    ):
        self.max_side = max_side
        self.least_confidence = least_confidence
        self.wanted_px = wanted_px
        self.device = torch.device(device or "cpu")
        self._cascade = MtcnnCascade(self.device)

    def detect(
        self, frames_rgb: Sequence[np.ndarray], border_if_empty: bool = False
    ) -> list[list[DetectedFace]]:
        """Find the faces of each frame.

        Frames of one size are searched together, a few at a time.

        Args:
            frames_rgb: (H, W, 3) uint8 frames, of one size or of several.
            border_if_empty: search frames without a face again with a border, which finds the
                face in a picture that is cut tightly around it.

        Returns:
            the faces of each frame, largest first.
        """
        return self._detect(frames_rgb, self.max_side, border_if_empty)

    def detect_in_crops(self, crops_rgb: Sequence[np.ndarray]) -> list[list[DetectedFace]]:
        """Find the face in pictures cut closely around one face, faster than `detect`.

        Such a face reaches the picture's edge, so `detect` searches twice. This method searches
        once, with the border and without windows smaller than `CROP_WINDOW_SHARE` of the longer
        side. Pictures in which this search finds no face of that size are searched as by `detect`.

        Args:
            crops_rgb: (H, W, 3) uint8 pictures, of one size or of several.

        Returns:
            for each picture its faces, largest first; small faces beside a large one may be
            missing.
        """
        found = self._in_batches(crops_rgb, self._detect_in_equal_crops)
        # The points of a face smaller than the smallest window are inexact.
        unsure = [
            index
            for index, faces in enumerate(found)
            if not faces or faces[0].size_px < CROP_WINDOW_SHARE * max(crops_rgb[index].shape[:2])
        ]
        again = self.detect([crops_rgb[index] for index in unsure], border_if_empty=True)
        for index, faces in zip(unsure, again, strict=True):
            found[index] = faces
        return found

    def _detect_in_equal_crops(self, crops_rgb: list[np.ndarray]) -> list[list[DetectedFace]]:
        small, to_frame = _shrunk(crops_rgb, self.max_side)
        side = max(small.shape[1:3])
        return self._search(small, to_frame, round(BORDER_SHARE * side), CROP_WINDOW_SHARE * side)

    def search(
        self, frames_rgb: Sequence[np.ndarray], still: bool = False
    ) -> list[list[DetectedFace]]:
        """Find the faces of each frame; used for both inference and data preparation.

        Windows for faces too small to matter take most of the time. If the first frame has a face
        that matters, small faces are searched for only in this frame, and in frames without a
        face that matters.

        Args:
            frames_rgb: (H, W, 3) uint8 frames of one video.
            still: whether the frame is a picture, which may be cut tightly around a face.

        Returns:
            as `detect`. If no frame has a face, and the frames are larger than `max_side`, they
            are searched again at twice that size.
        """
        zoom = min(1.0, self.max_side / max(max(frame.shape[:2]) for frame in frames_rgb))
        if still or not self._cascade.leaves_out(self.wanted_px * zoom):
            found = self.detect(frames_rgb, border_if_empty=still)
        else:
            found = self.detect(frames_rgb[:1])
            found += self._detect_like(found[0], frames_rgb[1:])
        if not any(found) and max(max(frame.shape[:2]) for frame in frames_rgb) > self.max_side:
            found = self._detect(frames_rgb, 2 * self.max_side, border_if_empty=False)
        return found

    def _detect_like(
        self, before: list[DetectedFace], frames_rgb: Sequence[np.ndarray]
    ) -> list[list[DetectedFace]]:
        """As `detect`, but skip small faces if an earlier frame has faces that matter."""
        smallest = min(filter(self._matters, before), key=lambda face: face.size_px, default=None)
        if smallest is None:
            return self.detect(frames_rgb)
        window = min(self.wanted_px, smallest.size_px / FACE_TO_WINDOW)
        found = self._detect(frames_rgb, self.max_side, False, window)
        empty = [n for n, faces in enumerate(found) if not any(map(self._matters, faces))]
        for index, faces in zip(empty, self.detect([frames_rgb[n] for n in empty]), strict=True):
            found[index] = faces
        return found

    def _matters(self, face: DetectedFace) -> bool:
        return face.size_px >= self.wanted_px

    def _detect(
        self,
        frames_rgb: Sequence[np.ndarray],
        max_side: int,
        border_if_empty: bool,
        smallest_px: float = 0.0,
    ) -> list[list[DetectedFace]]:
        return self._in_batches(
            frames_rgb,
            lambda batch: self._detect_equal_sized(batch, max_side, border_if_empty, smallest_px),
        )

    def _in_batches(
        self,
        frames_rgb: Sequence[np.ndarray],
        detect: Callable[[list[np.ndarray]], list[list[DetectedFace]]],
    ) -> list[list[DetectedFace]]:
        """Apply `detect` to batches of frames of one size; the order of the frames is kept."""
        found: list[list[DetectedFace]] = [[] for _ in frames_rgb]
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, frame in enumerate(frames_rgb):
            by_size.setdefault(frame.shape, []).append(index)
        for indexes in by_size.values():
            for start in range(0, len(indexes), FRAMES_AT_ONCE):
                chosen = indexes[start : start + FRAMES_AT_ONCE]
                faces = detect([frames_rgb[index] for index in chosen])
                for index, frame_faces in zip(chosen, faces, strict=True):
                    found[index] = frame_faces
        return found

    def _detect_equal_sized(
        self,
        frames_rgb: list[np.ndarray],
        max_side: int,
        border_if_empty: bool,
        smallest_px: float,
    ) -> list[list[DetectedFace]]:
        height, width = frames_rgb[0].shape[:2]
        smallest_px *= min(1.0, max_side / max(height, width))
        small, to_frame = _shrunk(frames_rgb, max_side)
        found = self._search(small, to_frame, 0, smallest_px)
        again = [
            index
            for index, faces in enumerate(found)
            if any(_reaches_rim(face, (height, width)) for face in faces)
            or (border_if_empty and not faces)
        ]
        if again:
            border = round(BORDER_SHARE * max(small.shape[1:3]))
            searched = self._search(small[again], to_frame, border, smallest_px)
            for index, faces in zip(again, searched, strict=True):
                found[index] = faces or found[index]
        return found

    def _search(
        self, frames: np.ndarray, to_frame: np.ndarray, border: int, smallest_px: float
    ) -> list[list[DetectedFace]]:
        """Find faces in (N, h, w, 3) scaled frames; the result refers to the full frames."""
        # The pyramid needs at least one level. Black at the right and bottom moves no face.
        missing = [max(0, SMALLEST_FACE_PX + 4 - side - 2 * border) for side in frames.shape[1:3]]
        rows_cols = [(border, border + lacking) for lacking in missing]
        if border or any(missing):
            frames = np.pad(frames, ((0, 0), *rows_cols, (0, 0)))
        return [
            self._faces_of_frame(boxes, points, to_frame, border)
            for boxes, points in self._cascade(frames, smallest_px)
        ]

    def _faces_of_frame(
        self, rows: np.ndarray, points: np.ndarray, to_frame: np.ndarray, border: int
    ) -> list[DetectedFace]:
        faces = [
            DetectedFace(
                box_xyxy=(row[:4] - border) * np.tile(to_frame, 2),
                confidence=float(min(row[4], 1.0)),
                landmarks_xy=(five - border) * to_frame,
            )
            for row, five in zip(rows, points, strict=True)
            if row[4] >= self.least_confidence and np.ptp(five, axis=0).min() > 0
        ]
        return sorted(faces, key=lambda face: face.area_px, reverse=True)


def _shrunk(frames_rgb: list[np.ndarray], max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink frames of one size so that no side exceeds `max_side` pixels.

    Returns:
        (N, h, w, 3) uint8 frames, and the (2,) float32 factors (x, y) back to the full frames.
    """
    height, width = frames_rgb[0].shape[:2]
    zoom = min(1.0, max_side / max(height, width))
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames_rgb]
    return np.stack(small), np.array([width / size[0], height / size[1]], np.float32)


def _reaches_rim(face: DetectedFace, size_hw: tuple[int, int]) -> bool:
    """Whether the square window of MTCNN around a face reaches beyond the frame."""
    centre = (face.box_xyxy[:2] + face.box_xyxy[2:]) / 2
    half = WINDOW_MARGIN * face.size_px / 2
    height, width = size_hw
    return bool((centre - half < 0).any() or (centre + half > (width, height)).any())
