"""The detector: a video in, a `VideoReport` out.

    detector = VideoDetector.from_pretrained("user/name")
    report = detector("clip.mp4")
    print(report.judgement.verdict, report.judgement.fake_probability)

Frames are decoded once and in order, a few are in memory at a time, and of each only the
aligned face crops stay. Decoding, the search for faces and the network's forward overlap: each
has threads of its own, and bounded queues between them.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from ..checkpoint.bundled import bundled_model
from ..checkpoint.loading import LoadedModel, load_model, untrained_model
from ..core.liveness import Progress
from ..faces.detection import FRAMES_AT_ONCE, DetectedFace, FaceDetector
from ..faces.tracking import FaceTracker
from ..media.download import local_media
from ..media.frames import SampledFrame, iterate_sampled_frames, probe_media
from ..media.limits import MediaError, MediaInfo
from ..media.names import public_name
from ..media.prefetch import FramePrefetch, frames_within
from ..model.heatmaps import ArtifactBox
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from ..report.face_pictures import FacePictures
from ..report.verdicts import LogitScaling, Thresholds, judge_person, judge_video
from ..report.video_report import FaceScore, MarkedBox, PersonReport, VideoReport
from ..report.warnings import face_warnings, reading_warnings
from ..runtime.backends import open_network
from ..runtime.network import CropNetwork, TorchNetwork
from .config import DetectionConfig
from .scoring import BackgroundScoring, CropScorer, CropScores, SeenFace, SeenVideo, score_batches
from .threads import worker_threads

UNTRAINED_WARNING = "This model is untrained: its scores mean nothing."
# Memory for the frames in which faces are searched for at one time.
SEARCHED_BYTES = 128 * 2**20
SEARCHES_AHEAD = 4  # two at work and two to go on with while faces are cut and tracked
VIDEOS_AHEAD = 2


class VideoDetector:
    """Finds the people in a video, scores their faces and judges them.

    Args:
        loaded: the checkpoint.
        config: how videos are looked at.
        device: torch device; by default a GPU if there is one.
        network: what computes the model's answers; by default the model itself, on `device`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        config: DetectionConfig = DetectionConfig(),
        device: torch.device | str | None = None,
        network: CropNetwork | None = None,
    ):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model: CaddmForDeepfakeDetection = loaded.model.eval()
        self.network: CropNetwork = network or TorchNetwork(self.model, self.device)
        self.image_processor: CaddmImageProcessor = loaded.image_processor
        self.name = loaded.name
        self.revision = loaded.revision
        self.config = config
        self.face_detector = FaceDetector(
            config.face_search_side,
            config.least_face_confidence,
            self.device,
            wanted_px=config.least_face_px,
        )
        self._searches_at_once = torch.get_num_threads() if self.device.type == "cpu" else 1
        self._scorer = CropScorer(self.model, self.image_processor, self.network, config.batch_size)

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | os.PathLike | None = None,
        config: DetectionConfig = DetectionConfig(),
        device: torch.device | str | None = None,
        backend: str = "auto",
        **options,
    ) -> "VideoDetector":
        """Load a model folder or a Hub id; `options` as in `load_model`.

        Args:
            model_id: folder or Hub id; the bundled model if None.
            config: how videos are looked at.
            device: of torch; None for a GPU where there is one.
            backend: what computes the network, as `open_network` takes it.

        Raises:
            ModelError: in one sentence, why the model cannot be used.
        """
        loaded = load_model(bundled_model() if model_id is None else model_id, **options)
        return cls(loaded, config, device, open_network(loaded, device, backend))

    @classmethod
    def untrained(
        cls, seed: int = 0, config: DetectionConfig = DetectionConfig()
    ) -> "VideoDetector":
        """A detector with random weights, for trying the machinery: scores mean nothing."""
        return cls(untrained_model(seed), config)

    @property
    def thresholds(self) -> Thresholds:
        """Those in force: the configured ones, else the checkpoint's."""
        own = self.model.config
        return self.config.thresholds or Thresholds(own.real_below, own.fake_above)

    def __call__(
        self,
        video: str | os.PathLike,
        frames: int | None = None,
        progress: Progress | None = None,
        name: str | None = None,
    ) -> VideoReport:
        """Judge one video or image.

        Args:
            video: path or http(s) URL.
            frames: sampled frames, if not the configured number.
            progress: called with (stage, done, total); an exception it raises stops the work.
            name: what the report calls the video, if not by its path or URL.

        Raises:
            MediaError: in one sentence, why the file cannot be used.
        """
        at_once = self.network.calls_at_once
        with self._search_threads() as searching, worker_threads(at_once) as scoring:
            batches = BackgroundScoring(self._scorer, scoring)
            seen = self._look(video, frames, progress, name, searching, batches.add)
            return self.report(seen, batches.scores(seen, progress or _ignore_progress))

    def judge_many(
        self, videos: Iterable[str | os.PathLike]
    ) -> Iterator[tuple[str | os.PathLike, VideoReport | MediaError]]:
        """Judge many videos, a few at a time.

        While one video's last faces are scored the next one is being read, so no core waits.

        Yields:
            each video, in the order given, with its report or why it cannot be used.
        """
        ahead: deque[tuple[str | os.PathLike, Future]] = deque()
        with ThreadPoolExecutor(VIDEOS_AHEAD) as readers:
            try:
                for video in videos:
                    ahead.append((video, readers.submit(self, video)))
                    if len(ahead) > VIDEOS_AHEAD:
                        yield _outcome(*ahead.popleft())
                while ahead:
                    yield _outcome(*ahead.popleft())
            finally:
                for _, waiting in ahead:
                    waiting.cancel()

    def look(
        self,
        video: str | os.PathLike,
        frames: int | None = None,
        progress: Progress | None = None,
        name: str | None = None,
    ) -> SeenVideo:
        """Sample frames, find faces, follow people, cut aligned crops; as `__call__`."""
        with self._search_threads() as searching:
            return self._look(video, frames, progress, name, searching, lambda faces: None)

    def _search_threads(self):
        return worker_threads(self._searches_at_once)

    def _look(
        self,
        video: str | os.PathLike,
        frames: int | None,
        progress: Progress | None,
        name: str | None,
        searching: Executor,
        take: Callable[[list[SeenFace]], None],
    ) -> SeenVideo:
        wanted = self.config.frames if frames is None else frames
        config = replace(self.config, frames=wanted)
        limits = config.limits
        tell = progress or _ignore_progress
        with local_media(
            video, limits=limits, allow_private_addresses=config.allow_private_addresses
        ) as path:
            tell("Opening the file", 0, 1)
            info = probe_media(path, limits)
            total = min(wanted, info.frame_count)
            sampled = iterate_sampled_frames(path, info, wanted, limits)
            tracker = FaceTracker()
            crops: dict[tuple[int, int], SeenFace] = {}
            crowded = done = 0
            with FramePrefetch(sampled, info) as ready:
                for batch, found in self._search(ready, info, searching):
                    cut = []
                    for frame, faces in zip(batch, found, strict=True):
                        crowded += len(faces) > config.max_faces_per_frame
                        faces = faces[: config.max_faces_per_frame]
                        tracker.add_frame(frame.image_rgb, faces)
                        for face in faces:
                            cut.append(self._cut(frame, face))
                            crops[done, id(face)] = cut[-1]
                        done += 1
                    take(cut)
                    tell("Looking for faces", min(done, total), total)
        warnings = reading_warnings(
            info, sampled.unreadable_frames, crowded, config.max_faces_per_frame
        )
        people = [
            [crops[position, id(face)] for position, face in person.faces.items()]
            for person in tracker.people
        ]
        return SeenVideo(name or public_name(video), info, wanted, people, done, warnings)

    def _search(
        self, frames: Iterator[SampledFrame], info: MediaInfo, searching: Executor
    ) -> Iterator[tuple[list[SampledFrame], list[list[DetectedFace]]]]:
        """Batches of frames with their faces, in order, while later ones are searched."""
        size = frames_within(info, SEARCHED_BYTES, FRAMES_AT_ONCE)
        ahead: deque[tuple[list[SampledFrame], Future]] = deque()
        while (batch := list(islice(frames, size))) or ahead:
            if batch:
                images = [frame.image_rgb for frame in batch]
                still = info.kind == "image"
                ahead.append((batch, searching.submit(self.face_detector.search, images, still)))
            if len(ahead) == SEARCHES_AHEAD or not batch:
                searched, faces = ahead.popleft()
                yield searched, faces.result()

    def _cut(self, frame: SampledFrame, face: DetectedFace) -> SeenFace:
        crop, matrix = self.image_processor.align(frame.image_rgb, face.landmarks_xy)
        return SeenFace(frame.index, frame.time_s, face, crop, matrix)

    def score(self, crops_rgb: list[np.ndarray], progress: Progress | None = None) -> CropScores:
        """Probability, calibrated and not, heatmap and artifact boxes of each aligned crop."""
        scores = CropScores()
        size = self._scorer.crops_at_once
        batches = (crops_rgb[n : n + size] for n in range(0, len(crops_rgb), size))
        for _, found in score_batches(self._scorer, batches, self.network.calls_at_once):
            scores.extend(found)
            (progress or _ignore_progress)(
                "Scoring faces", len(scores.probabilities), len(crops_rgb)
            )
        return scores

    def report(self, seen: SeenVideo, scores: CropScores) -> VideoReport:
        """Put scores and faces together and judge them by the rules of `verdicts`."""
        rows = scores.rows()
        own = self.model.config
        scaling = LogitScaling(own.calibration_temperature, own.calibration_bias)
        people = [
            [_face_score(face, *next(rows)) for face in person_faces]
            for person_faces in seen.people
        ]
        # A still image has one frame to be judged by; whoever asks for a few frames gets a
        # verdict on them, with a warning.
        needed = min(self.config.least_frames, seen.frames_wanted)
        kind = "picture" if seen.info.kind == "image" else "video"
        needed = 1 if kind == "picture" else needed
        judged = [
            (
                faces,
                judge_person(
                    [face.uncalibrated_probability for face in faces],
                    [face.size_px for face in faces],
                    self.thresholds,
                    self.config.least_face_px,
                    needed,
                    scaling=scaling,
                ),
            )
            for faces in people
        ]
        judged.sort(key=lambda pair: (-_or_minus_one(pair[1].fake_probability), -len(pair[0])))
        reports = [
            PersonReport(id=number, faces=faces, **vars(judgement))
            for number, (faces, judgement) in enumerate(judged, start=1)
        ]
        untrained = [] if own.trained else [UNTRAINED_WARNING]
        return VideoReport(
            video=seen.name,
            **vars(judge_video([person.judgement for person in reports], seen.frames_sampled)),
            people=reports,
            duration_s=seen.info.duration_s,
            kind=kind,
            frames_sampled=seen.frames_sampled,
            model=self.name,
            model_revision=self.revision,
            thresholds=self.thresholds,
            calibration_temperature=scaling.temperature,
            calibration_bias=scaling.bias,
            warnings=untrained + seen.warnings + face_warnings(reports, kind),
        )


def _ignore_progress(stage: str, done: int, total: int) -> None:
    """Do nothing."""


def _outcome(
    video: str | os.PathLike, judged: Future
) -> tuple[str | os.PathLike, VideoReport | MediaError]:
    try:
        return video, judged.result()
    except MediaError as error:
        return video, error


def _or_minus_one(probability: float | None) -> float:
    return -1.0 if probability is None else probability


def _face_score(
    seen: SeenFace,
    probability: float,
    uncalibrated: float,
    heatmap: np.ndarray,
    boxes: list[ArtifactBox],
) -> FaceScore:
    return FaceScore(
        frame_index=seen.frame_index,
        time_s=seen.time_s,
        box_xyxy=tuple(float(value) for value in seen.face.box_xyxy),
        face_confidence=seen.face.confidence,
        fake_probability=probability,
        uncalibrated_probability=uncalibrated,
        artifact_boxes=[MarkedBox(**vars(box)) for box in boxes],
        alignment=seen.alignment,
        pictures=FacePictures(seen.crop_rgb, heatmap),
    )
