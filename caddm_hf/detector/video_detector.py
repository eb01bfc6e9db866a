"""The detector: a video in, a `VideoReport` out.

    detector = VideoDetector.from_pretrained("user/name")
    report = detector("clip.mp4")
    print(report.judgement.verdict, report.judgement.fake_probability)

Frames are decoded once and in order. A few are in memory at a time; only their aligned face crops
are kept. Decoding, face search and the network's forward pass run concurrently, in separate
threads with bounded queues between them.
"""

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from ..checkpoint.bundled import bundled_model
from ..checkpoint.loading import LoadedModel, load_model, untrained_model
from ..core.liveness import Progress
from ..faces.counting import JudgingRules
from ..faces.detection import FRAMES_AT_ONCE, DetectedFace, FaceDetector
from ..faces.tracking import FaceTracker
from ..media.download import local_media
from ..media.frames import (
    SampledFrame,
    iterate_frames,
    iterate_sampled_frames,
    probe_media,
)
from ..media.limits import MediaError, MediaInfo
from ..media.names import public_name
from ..media.prefetch import FramePrefetch, frames_within
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from ..report.verdicts import LogitScaling, Thresholds, log_odds
from ..report.video_report import PersonReport, VideoReport
from ..report.warnings import reading_warnings
from ..runtime.backends import open_network
from ..runtime.network import CropNetwork, TorchNetwork
from .config import DetectionConfig, least_heatmap_peak
from .reporting import Judging, build_report
from .scoring import BackgroundScoring, CropScorer, CropScores, SeenFace, SeenVideo, score_batches
from .second_look import ScoredTrack, frames_to_look_at, moments_to_look_at
from .threads import worker_threads

UNTRAINED_WARNING = "This model is untrained: its scores mean nothing."
# Memory for the frames of one face search.
SEARCHED_BYTES = 128 * 2**20
SEARCHES_AHEAD = 4  # two running, and two queued while faces are cut and tracked
VIDEOS_AHEAD = 2


class VideoDetector:
    """Finds the people in a video, scores their faces and judges them.

    Args:
        loaded: the checkpoint.
        config: settings of the detector.
        device: torch device; by default a GPU if there is one.
        network: computes the model's output; by default the model itself, on `device`.
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
            wanted_px=self.rules.least_face_px,
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
            config: settings of the detector.
            device: torch device; None for a GPU if there is one.
            backend: as in `open_network`.

        Raises:
            ModelError: the model cannot be used; the message is one sentence.
        """
        loaded = load_model(bundled_model() if model_id is None else model_id, **options)
        return cls(loaded, config, device, open_network(loaded, device, backend))

    @classmethod
    def untrained(
        cls, seed: int = 0, config: DetectionConfig = DetectionConfig()
    ) -> "VideoDetector":
        """Return a detector with random weights, for tests of the code: scores mean nothing."""
        return cls(untrained_model(seed), config)

    @property
    def thresholds(self) -> Thresholds:
        """The configured thresholds, else the checkpoint's."""
        own = self.model.config
        return self.config.thresholds or Thresholds(own.real_below, own.fake_above)

    @property
    def rules(self) -> JudgingRules:
        """Which faces count, from the configuration, else from the checkpoint."""
        return self.config.rules(self.model.config)

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
            frames: number of sampled frames; by default the configured number.
            progress: called with (stage, done, total); an exception it raises stops the work.
            name: of the video in the report; by default its path or URL.

        Raises:
            MediaError: the file cannot be used; the message is one sentence.
        """
        tell = progress or _ignore_progress
        at_once = self.network.calls_at_once
        with (
            self._local(video) as path,
            self._search_threads() as searching,
            worker_threads(at_once) as scoring,
        ):
            batches = BackgroundScoring(self._scorer, scoring)
            seen, tracker = self._look(
                path, name or public_name(video), frames, tell, searching, batches.add
            )
            scores = batches.scores(seen, tell)
            report = self.report(seen, scores)
            again = self._look_again(path, seen, report, tracker, tell, searching)
            if again is None:
                return report
            closer = BackgroundScoring(self._scorer, scoring)
            new = [face for faces in again.people for face in faces if face.second_look]
            closer.add(new)
            rows = dict(zip(map(id, seen.faces()), scores.rows(), strict=True))
            rows |= closer.rows(tell)
            return self.report(again, CropScores.of(rows[id(face)] for face in again.faces()))

    def judge_many(
        self, videos: Iterable[str | os.PathLike]
    ) -> Iterator[tuple[str | os.PathLike, VideoReport | MediaError]]:
        """Judge many videos, a few at a time.

        The next video is decoded while the last faces of one are scored, so no core is idle.

        Yields:
            each video, in the order given, with its report or the error.
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
        """Sample frames, find and track faces, cut aligned crops. Arguments as in `__call__`."""
        with self._local(video) as path, self._search_threads() as searching:
            display_name = name or public_name(video)
            tell = progress or _ignore_progress
            return self._look(path, display_name, frames, tell, searching, lambda faces: None)[0]

    def _local(self, video: str | os.PathLike):
        return local_media(
            video,
            limits=self.config.limits,
            allow_private_addresses=self.config.allow_private_addresses,
        )

    def _search_threads(self):
        return worker_threads(self._searches_at_once)

    def _look(
        self,
        path: Path,
        name: str,
        frames: int | None,
        tell: Progress,
        searching: Executor,
        take: Callable[[list[SeenFace]], None],
    ) -> tuple[SeenVideo, FaceTracker]:
        wanted = self.config.frames if frames is None else frames
        config = replace(self.config, frames=wanted)
        limits = config.limits
        tell("Opening the file", 0, 1)
        info = probe_media(path, limits)
        total = min(wanted, info.frame_count)
        sampled = iterate_sampled_frames(path, info, wanted, limits)
        tracker = FaceTracker()
        crops: dict[tuple[int, int], SeenFace] = {}
        crowded = 0
        indices: list[int] = []
        with FramePrefetch(sampled, info) as ready:
            for batch, found in self._search(ready, info, searching):
                cut = []
                for frame, faces in zip(batch, found, strict=True):
                    crowded += len(faces) > config.max_faces_per_frame
                    faces = faces[: config.max_faces_per_frame]
                    tracker.add_frame(frame.image_rgb, faces)
                    for face in faces:
                        cut.append(self._cut(frame, face))
                        crops[len(indices), id(face)] = cut[-1]
                    indices.append(frame.index)
                take(cut)
                tell("Looking for faces", min(len(indices), total), total)
        warnings = reading_warnings(
            info, sampled.unreadable_frames, crowded, config.max_faces_per_frame
        )
        people = [
            [crops[position, id(face)] for position, face in person.faces.items()]
            for person in tracker.people
        ]
        shares = [person.seen_share for person in tracker.people]
        return SeenVideo(name, info, wanted, people, indices, shares, warnings), tracker

    def _look_again(
        self,
        path: Path,
        seen: SeenVideo,
        report: VideoReport,
        tracker: FaceTracker,
        tell: Progress,
        searching: Executor,
    ) -> SeenVideo | None:
        """Add faces from frames around suspicious moments; None if there are no such frames."""
        rules = self.config.second_look
        if rules is None or report.kind == "picture":
            return None
        moments = moments_to_look_at([_track(p) for p in report.people if p.main], rules)
        info = seen.info
        indices = frames_to_look_at(
            moments, seen.frame_indices, info.frame_count, info.duration_s, rules
        )
        if not indices:
            return None
        people = [list(faces) for faces in seen.people]
        done = 0
        closer = iterate_frames(path, info, indices, self.config.limits)
        # If no frame around the moments can be read, only the evenly spread frames are used.
        with suppress(MediaError), FramePrefetch(closer, info) as ready:
            for batch, found in self._search(ready, info, searching):
                for frame, faces in zip(batch, found, strict=True):
                    if frame.index in seen.frame_indices:
                        continue  # it replaces a damaged frame
                    faces = faces[: self.config.max_faces_per_frame]
                    place = bisect_right(seen.frame_indices, frame.index)
                    near = [n for n in (place - 1, place) if 0 <= n < len(seen.frame_indices)]
                    belongs = tracker.recognise(frame.image_rgb, faces, near)
                    for number, person in belongs.items():
                        cut = replace(self._cut(frame, faces[number]), second_look=True)
                        people[person].append(cut)
                done += len(batch)
                tell("Looking closer", min(done, len(indices)), len(indices))
        for faces in people:
            faces.sort(key=lambda face: face.frame_index)
        return replace(seen, people=people)

    def _search(
        self, frames: Iterator[SampledFrame], info: MediaInfo, searching: Executor
    ) -> Iterator[tuple[list[SampledFrame], list[list[DetectedFace]]]]:
        """Yield batches of frames with their faces, in order; search later ones meanwhile."""
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
        """Return probabilities, heatmap and artifact boxes of each aligned crop."""
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
        """Judge a video by its faces and their scores.

        Args:
            seen: the faces.
            scores: of `seen.crops()`, in that order.
        """
        own = self.model.config
        report = build_report(
            seen,
            scores,
            Judging(
                thresholds=self.thresholds,
                rules=self.rules,
                scaling=LogitScaling(own.calibration_temperature, own.calibration_bias),
                passages=self.config.passages,
                least_heatmap_peak=least_heatmap_peak(own),
            ),
        )
        untrained = [] if own.trained else [UNTRAINED_WARNING]
        return replace(
            report,
            model=self.name,
            model_revision=self.revision,
            warnings=untrained + report.warnings,
        )


def _track(person: PersonReport) -> ScoredTrack:
    scored = person.scored_faces
    return ScoredTrack(
        [face.time_s for face in scored], [log_odds(face.fake_probability) for face in scored]
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
