"""The faces seen in a video, and their scoring while others are still being sought."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

import numpy as np

from ..faces.detection import DetectedFace
from ..media.limits import MediaInfo
from .scoring import CropScorer, CropScores


@dataclass
class SeenFace:
    """A face in a sampled frame, with its aligned crop.

    Attributes:
        frame_index, time_s: of its frame.
        face: as it was found.
        crop_rgb: (S, S, 3) uint8.
        alignment: (2, 3), frame to crop.
    """

    frame_index: int
    time_s: float
    face: DetectedFace
    crop_rgb: np.ndarray
    alignment: np.ndarray


@dataclass
class SeenVideo:
    """What was seen before anything is scored: every person's aligned faces.

    Attributes:
        name: of the video, for the report.
        info: facts about the file.
        frames_wanted: how many frames were to be sampled.
        people: for each person their faces in order of time.
        frames_sampled: frames that could be read.
        warnings: what limited the view.
    """

    name: str
    info: MediaInfo
    frames_wanted: int
    people: list[list[SeenFace]]
    frames_sampled: int
    warnings: list[str] = field(default_factory=list)

    def crops(self) -> list[np.ndarray]:
        """All crops, person after person."""
        return [face.crop_rgb for person in self.people for face in person]


class BackgroundScoring:
    """Scores faces in the background, in whatever order they are seen."""

    def __init__(self, scorer: CropScorer, scoring: Executor):
        self._scorer, self._scoring = scorer, scoring
        self._waiting: list[SeenFace] = []
        self._batches: list[tuple[list[SeenFace], Future]] = []

    def add(self, faces: list[SeenFace]) -> None:
        """Takes faces; whole batches are handed on at once."""
        self._waiting += faces
        while len(self._waiting) >= self._scorer.crops_at_once:
            self._hand_on(self._scorer.crops_at_once)

    def _hand_on(self, count: int) -> None:
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        crops = [face.crop_rgb for face in batch]
        self._batches.append((batch, self._scoring.submit(self._scorer, crops)))

    def scores(self, seen: SeenVideo, tell: Callable[[str, int, int], None]) -> CropScores:
        """Waits for the scores of all faces; in the order of `SeenVideo.crops`."""
        if self._waiting:
            self._hand_on(len(self._waiting))
        total = sum(len(batch) for batch, _ in self._batches)
        if total:
            tell("Scoring faces", 0, total)
        rows: dict[int, tuple] = {}
        for batch, future in self._batches:
            rows.update(zip(map(id, batch), future.result().rows(), strict=True))
            tell("Scoring faces", len(rows), total)
        return CropScores.of(rows[id(face)] for person in seen.people for face in person)
