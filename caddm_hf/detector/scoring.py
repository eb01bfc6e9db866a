"""Aligned face crops -> probabilities, heatmaps and artifact boxes, through any network.

Detector, evaluation, calibration and validation all use `score_batches` with a `CropNetwork`, so
measurements apply to the serving code. `BackgroundScoring` scores the first faces of a video during
the search for further ones.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from ..core.liveness import Progress
from ..faces.detection import DetectedFace
from ..media.limits import MediaInfo
from ..model.heatmaps import ArtifactBox
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from ..runtime.network import CropNetwork
from .threads import worker_threads

# Batch size when each call runs on one core: larger batches are no faster per crop, and small
# ones keep all cores busy to the end.
CROPS_A_CORE = 4
BATCHES_AHEAD = 2  # batches in the queue or being scored, for each concurrent call

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def score_batches(
    score: Callable[[Batch], Result], batches: Iterable[Batch], calls_at_once: int
) -> Iterator[tuple[Batch, Result]]:
    """Score several batches at a time, and yield them in order.

    Args:
        score: called with a batch, in a thread that uses one core. If `calls_at_once` is 1, called
            in this thread, with all of torch's threads.
        batches: read only as far ahead as needed to keep the threads busy; not read ahead if
            `calls_at_once` is 1.
        calls_at_once: as in `CropNetwork`.

    Yields:
        each batch with its result.
    """
    if calls_at_once == 1:
        for batch in batches:
            yield batch, score(batch)
        return
    ahead: deque[tuple[Batch, Future]] = deque()
    with worker_threads(calls_at_once) as pool:
        for batch in batches:
            ahead.append((batch, pool.submit(score, batch)))
            if len(ahead) == BATCHES_AHEAD * calls_at_once:
                done, result = ahead.popleft()
                yield done, result.result()
        while ahead:
            done, result = ahead.popleft()
            yield done, result.result()


@dataclass(frozen=True)
class CropScores:
    """Results for N crops, in their order.

    Attributes:
        probabilities: calibrated, of "fake".
        uncalibrated: the same before calibration.
        heatmaps: (S, S) float16 in [0, 1] each.
        boxes: artifact boxes of each crop.
    """

    probabilities: list[float] = field(default_factory=list)
    uncalibrated: list[float] = field(default_factory=list)
    heatmaps: list[np.ndarray] = field(default_factory=list)
    boxes: list[list[ArtifactBox]] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[tuple]) -> "CropScores":
        """Make scores from rows as `rows` yields them, in any order."""
        rows = list(rows)
        return cls(*map(list, zip(*rows, strict=True))) if rows else cls()

    def rows(self) -> Iterator[tuple[float, float, np.ndarray, list[ArtifactBox]]]:
        """Yield the results of each crop as one tuple."""
        return zip(self.probabilities, self.uncalibrated, self.heatmaps, self.boxes, strict=True)

    def extend(self, more: "CropScores") -> None:
        """Append the scores of further crops."""
        self.probabilities.extend(more.probabilities)
        self.uncalibrated.extend(more.uncalibrated)
        self.heatmaps.extend(more.heatmaps)
        self.boxes.extend(more.boxes)


class CropScorer:
    """Scores batches of crops.

    Args:
        model: supplies the calibration and decodes the output.
        image_processor: of the checkpoint.
        network: computes the model's output.
        batch_size: the most crops in one call.
    """

    def __init__(
        self,
        model: CaddmForDeepfakeDetection,
        image_processor: CaddmImageProcessor,
        network: CropNetwork,
        batch_size: int,
    ):
        self.model, self.image_processor, self.network = model, image_processor, network
        together = network.calls_at_once > 1
        self.crops_at_once = min(batch_size, CROPS_A_CORE) if together else batch_size

    @torch.inference_mode()
    def __call__(self, crops_rgb: list[np.ndarray]) -> CropScores:
        """Score at most `crops_at_once` crops, (S, S, 3) uint8 each."""
        output = self.network(self.image_processor.pixel_values(crops_rgb))
        # Single precision rounds probabilities of logits above 17 to 1, which calibration could
        # not undo. Hence double precision.
        logits = output.logits.float().cpu().double()
        heatmaps = self.model.artifact_heatmaps(output, self.image_processor.size)
        return CropScores(
            self.model.fake_probability(output).tolist(),
            logits.softmax(-1)[:, 1].tolist(),
            list(heatmaps.half().cpu().numpy()),
            self.model.artifact_boxes(output),
        )


@dataclass
class SeenFace:
    """A face in a sampled frame, with its aligned crop.

    Attributes:
        frame_index, time_s: of the frame.
        face: the face in the frame.
        crop_rgb: (S, S, 3) uint8.
        alignment: (2, 3) affine matrix, frame to crop.
        second_look: whether the frame was sampled around a suspicious moment.
    """

    frame_index: int
    time_s: float
    face: DetectedFace
    crop_rgb: np.ndarray
    alignment: np.ndarray
    second_look: bool = False


@dataclass
class SeenVideo:
    """Every person's aligned faces in a video, before they are scored.

    Attributes:
        name: of the video, for the report.
        info: facts about the file.
        frames_wanted: how many frames were to be sampled.
        people: for each person their faces in order of time.
        frame_indices: of the frames that could be read, without those of the second look.
        seen_shares: `TrackedPerson.seen_share` of each person.
        warnings: what restricted the search for faces.
    """

    name: str
    info: MediaInfo
    frames_wanted: int
    people: list[list[SeenFace]]
    frame_indices: list[int]
    seen_shares: list[float]
    warnings: list[str] = field(default_factory=list)

    @property
    def frames_sampled(self) -> int:
        """Number of frames that could be read, without those of the second look."""
        return len(self.frame_indices)

    def faces(self) -> list[SeenFace]:
        """Return all faces, person after person."""
        return [face for person in self.people for face in person]

    def crops(self) -> list[np.ndarray]:
        """Return all crops, person after person."""
        return [face.crop_rgb for face in self.faces()]


class BackgroundScoring:
    """Scores faces in the background, in the order in which they are added."""

    def __init__(self, scorer: CropScorer, scoring: Executor):
        self._scorer, self._scoring = scorer, scoring
        self._waiting: list[SeenFace] = []
        self._batches: list[tuple[list[SeenFace], Future]] = []

    def add(self, faces: list[SeenFace]) -> None:
        """Add faces, and submit each full batch immediately."""
        self._waiting += faces
        while len(self._waiting) >= self._scorer.crops_at_once:
            self._hand_on(self._scorer.crops_at_once)

    def _hand_on(self, count: int) -> None:
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        crops = [face.crop_rgb for face in batch]
        self._batches.append((batch, self._scoring.submit(self._scorer, crops)))

    def scores(self, seen: SeenVideo, tell: Progress) -> CropScores:
        """Wait for the scores of all faces; return them in the order of `SeenVideo.crops`."""
        rows = self.rows(tell)
        return CropScores.of(rows[id(face)] for face in seen.faces())

    def rows(self, tell: Callable[[str, int, int], None]) -> dict[int, tuple]:
        """Wait for all scores. Returns: `id` of a face -> its row of `CropScores`."""
        if self._waiting:
            self._hand_on(len(self._waiting))
        total = sum(len(batch) for batch, _ in self._batches)
        if total:
            tell("Scoring faces", 0, total)
        rows: dict[int, tuple] = {}
        for batch, future in self._batches:
            rows.update(zip(map(id, batch), future.result().rows(), strict=True))
            tell("Scoring faces", len(rows), total)
        return rows
