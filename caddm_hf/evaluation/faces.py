"""The largest face of each frame, found and cut.

Videos go through `VideoDetector.look`, so evaluation uses the serving code. Pictures of
collections are usually crops around one face, and are searched as in training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..checkpoint.loading import LoadedModel
from ..dataset.point_search import SEARCHED_SIDE, FindPoints, mtcnn_points
from ..dataset.schema import FrameDataError
from ..detector.config import DetectionConfig
from ..detector.scoring import SeenFace
from ..detector.video_detector import VideoDetector
from ..faces.detection import FaceDetector
from ..media.frames import sample_indices
from ..media.limits import MediaError
from ..runtime.network import CropNetwork
from .data import (
    NO_FACE,
    UNREADABLE,
    EvaluationData,
    FoundFace,
    FrameCollection,
    FrameView,
    VideoFolder,
)

# Pictures up to this side are treated as face crops, larger ones as whole frames.
LARGEST_CROP_SIDE = 320
FRAME_SEARCH_SIDE = 640
PICTURES_AT_ONCE = 32


class FaceFinder:
    """Finds faces in pictures with MTCNN.

    Args:
        device: torch device.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._in_crops: FindPoints | None = None
        self._in_frames: FaceDetector | None = None

    def key(self) -> list:
        """Return the settings that determine which faces are found."""
        return [SEARCHED_SIDE, LARGEST_CROP_SIDE, FRAME_SEARCH_SIDE]

    def find(self, data: FrameCollection, items: Sequence[int]) -> Iterator[list[FoundFace]]:
        """Yield the largest face of each row's picture."""
        for start in range(0, len(items), PICTURES_AT_ONCE):
            yield from self._in_rows(data, items[start : start + PICTURES_AT_ONCE])

    def in_pictures(self, images_rgb: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """Return (5, 2) float64 points of each picture's largest face, None without a face."""
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


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """The aligned crop of a frame's largest face, or the reason why there is none.

    Attributes:
        frame_index: position in the video; None if unknown.
        crop_rgb: (S, S, 3) uint8; None after a failure.
        face_px: longer side in pixels: of the face's box in a video, of the whole picture for a
            row of a collection.
        failure: why there is no crop, else None.
    """

    frame_index: int | None
    crop_rgb: np.ndarray | None = None
    face_px: float | None = None
    failure: str | None = None


class FaceCrops:
    """Cuts the aligned face crops that a model expects.

    A video goes through `VideoDetector.look` once, so the crops are those of the detector.

    Args:
        loaded: the model.
        network: of the model.
        data: videos or rows.
        frames: the most frames per video.
        faces: item -> its faces, from `FaceFinder`, for rows without landmarks.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        network: CropNetwork,
        data: EvaluationData,
        frames: int,
        faces: dict[int, list[FoundFace]],
    ):
        self._processor = loaded.image_processor
        self._data, self._frames, self._faces = data, frames, faces
        self._detector = None
        if isinstance(data, VideoFolder):
            config = DetectionConfig(frames=frames)
            device = next(loaded.model.parameters()).device
            self._detector = VideoDetector(loaded, config, device, network)

    def of_item(self, item: int) -> list[FaceCrop]:
        """Return the faces of an item, one for each frame."""
        if self._detector is not None:
            return self._of_video(self._data.paths[item])
        return [self._of_view(view) for view in self._data.views(item, self._faces.get(item, ()))]

    def _of_view(self, view: FrameView) -> FaceCrop:
        if view.failure is not None:
            return FaceCrop(view.frame_index, failure=view.failure)
        try:
            crop_rgb, _ = self._processor.align(view.image_rgb, view.points_xy)
        except ValueError as error:
            return FaceCrop(view.frame_index, failure=f"{UNREADABLE}: {error}")
        return FaceCrop(view.frame_index, crop_rgb, float(max(view.image_rgb.shape[:2])))

    def _of_video(self, path: Path) -> list[FaceCrop]:
        try:
            seen = self._detector.look(path)
        except MediaError as error:
            return [FaceCrop(None, failure=f"{UNREADABLE}: {error}")]
        largest: dict[int, SeenFace] = {}
        for person in seen.people:
            for face in person:
                rival = largest.get(face.frame_index)
                if rival is None or face.face.area_px > rival.face.area_px:
                    largest[face.frame_index] = face
        return [
            FaceCrop(index, largest[index].crop_rgb, float(largest[index].face.size_px))
            if index in largest
            else FaceCrop(index, failure=NO_FACE)
            for index in sample_indices(seen.info.frame_count, self._frames).tolist()
        ]
