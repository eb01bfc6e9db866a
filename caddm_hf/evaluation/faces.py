"""The largest face of pictures and videos that come without landmarks.

Videos go through `VideoDetector.look`, so that what is evaluated is what serves. Pictures of
collections are crops around one face as a rule and are searched as training searches them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ..checkpoint.loading import LoadedModel
from ..dataset.point_search import SEARCHED_SIDE, FindPoints, mtcnn_points
from ..dataset.schema import FrameDataError
from ..detector.config import DetectionConfig
from ..detector.video_detector import VideoDetector
from ..faces.detection import FaceDetector
from ..media.frames import sample_indices
from ..media.limits import MediaError
from .data import UNREADABLE, EvaluationData, FoundFace, FrameCollection, VideoFolder

# Pictures up to this side are taken for face crops, larger ones for whole frames.
LARGEST_CROP_SIDE = 320
FRAME_SEARCH_SIDE = 640
PICTURES_AT_ONCE = 32


class FaceFinder:
    """Finds faces by MTCNN.

    Args:
        loaded: any model; `VideoDetector` wants one.
        device: torch device.
    """

    def __init__(self, loaded: LoadedModel, device: torch.device):
        self._loaded = loaded
        self._device = device
        self._in_crops: FindPoints | None = None
        self._in_frames: FaceDetector | None = None

    def key(self) -> list:
        """What decides which faces are found."""
        return [SEARCHED_SIDE, LARGEST_CROP_SIDE, FRAME_SEARCH_SIDE]

    def find(
        self, data: EvaluationData, items: Sequence[int], frames: int
    ) -> Iterator[list[FoundFace]]:
        """For each of some items the largest face of each of its frames."""
        if isinstance(data, VideoFolder):
            detector = VideoDetector(self._loaded, DetectionConfig(frames=frames), self._device)
            for item in items:
                yield _in_video(detector, data.paths[item], frames)
            return
        for start in range(0, len(items), PICTURES_AT_ONCE):
            yield from self._in_rows(data, items[start : start + PICTURES_AT_ONCE])

    def in_pictures(self, images_rgb: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """(5, 2) float64 points of the largest face of each picture, None where there is none."""
        found: list[np.ndarray | None] = [None] * len(images_rgb)
        small = [max(image.shape[:2]) <= LARGEST_CROP_SIDE for image in images_rgb]
        for is_crop, find in ((True, self._points_in_crops), (False, self._points_in_frames)):
            chosen = [n for n, crop in enumerate(small) if crop == is_crop]
            if chosen:
                points = find([images_rgb[n] for n in chosen])
                for n, points_xy in zip(chosen, points, strict=True):
                    found[n] = None if points_xy is None else points_xy.astype(np.float64)
        return found

    def _points_in_crops(self, images_rgb: list[np.ndarray]) -> list[np.ndarray | None]:
        self._in_crops = self._in_crops or mtcnn_points()
        return self._in_crops(images_rgb)

    def _points_in_frames(self, images_rgb: list[np.ndarray]) -> list[np.ndarray | None]:
        self._in_frames = self._in_frames or FaceDetector(FRAME_SEARCH_SIDE, device=self._device)
        faces = self._in_frames.detect(images_rgb, border_if_empty=True)
        return [found[0].landmarks_xy if found else None for found in faces]

    def _in_rows(self, data: FrameCollection, items: Sequence[int]) -> Iterator[list[FoundFace]]:
        images: dict[int, np.ndarray] = {}
        failures: dict[int, str] = {}
        for item in items:
            try:
                images[item] = data.image_rgb(item)
            except FrameDataError as error:
                failures[item] = f"{UNREADABLE}: {error}"
        found = dict(zip(images, self.in_pictures(list(images.values())), strict=True))
        for item in items:
            yield [FoundFace(data.frame_index(item), found.get(item), failures.get(item))]


def _in_video(detector: VideoDetector, path: Path, frames: int) -> list[FoundFace]:
    try:
        seen = detector.look(path)
    except MediaError as error:
        return [FoundFace(None, None, f"{UNREADABLE}: {error}")]
    largest = {}
    for person in seen.people:
        for face in person:
            rival = largest.get(face.frame_index)
            if rival is None or face.face.area_px > rival.area_px:
                largest[face.frame_index] = face.face
    return [
        FoundFace(index, largest[index].landmarks_xy.astype(np.float64))
        if index in largest
        else FoundFace(index, None)
        for index in sample_indices(seen.info.frame_count, frames).tolist()
    ]
