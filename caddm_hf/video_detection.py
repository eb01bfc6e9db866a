"""The detector: a video in, a `VideoReport` out, and the transformers pipeline around it.

    detector = VideoDetector.from_pretrained("user/name")
    report = detector("clip.mp4")
    print(report.judgement.verdict, report.judgement.fake_probability)

Frames are decoded once and in order, a few are in memory at a time, and of each only the
aligned face crops stay.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from urllib.parse import urlsplit

import numpy as np
import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_caddm import CaddmConfig
from .detection_config import DetectionConfig
from .detection_warnings import face_warnings, reading_warnings
from .face_detection import FRAMES_AT_ONCE, DetectedFace, FaceDetector
from .face_tracking import FaceTracker
from .heatmaps import ArtifactBox, artifact_boxes
from .image_processing_caddm import CaddmImageProcessor
from .media_files import MediaInfo
from .media_source import local_media
from .model_loading import LoadedModel, load_model, untrained_model
from .modeling_caddm import CaddmForDeepfakeDetection
from .report import FaceScore, PersonReport, VideoReport
from .verdicts import Thresholds, judge_person, judge_video
from .video_frames import SampledFrame, iterate_sampled_frames, probe_media

Progress = Callable[[str, int, int], None]

TASK = "video-deepfake-detection"
UNTRAINED_WARNING = "This model is untrained: its scores mean nothing."


@dataclass
class _SeenFace:
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
    people: list[list[_SeenFace]]
    frames_sampled: int
    warnings: list[str] = field(default_factory=list)

    def crops(self) -> list[np.ndarray]:
        """All crops, person after person."""
        return [face.crop_rgb for person in self.people for face in person]


@dataclass(frozen=True)
class _CropScores:
    probabilities: list[float]
    uncalibrated: list[float]
    heatmaps: list[np.ndarray]
    boxes: list[list[ArtifactBox]]


class VideoDetector:
    """Finds the people in a video, scores their faces and judges them.

    Args:
        loaded: the checkpoint.
        config: how videos are looked at.
        device: torch device; by default a GPU if there is one.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        config: DetectionConfig = DetectionConfig(),
        device: torch.device | str | None = None,
    ):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model: CaddmForDeepfakeDetection = loaded.model.eval().to(
            self.device, memory_format=torch.channels_last
        )
        self.image_processor: CaddmImageProcessor = loaded.image_processor
        self.name = loaded.name
        self.revision = loaded.revision
        self.config = config
        self.face_detector = FaceDetector(
            config.face_search_side, config.least_face_confidence, self.device
        )

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | os.PathLike,
        config: DetectionConfig = DetectionConfig(),
        device: torch.device | str | None = None,
        **options,
    ) -> "VideoDetector":
        """Load a model folder or a Hub id; `options` as in `load_model`.

        Raises:
            ModelError: in one sentence, why the model cannot be used.
        """
        return cls(load_model(model_id, **options), config, device)

    @classmethod
    def untrained(
        cls, seed: int = 0, config: DetectionConfig = DetectionConfig()
    ) -> "VideoDetector":
        """A detector with random weights, for trying the machinery: scores mean nothing."""
        return cls(untrained_model(seed), config)

    @property
    def thresholds(self) -> Thresholds:
        """Those in force: the configured ones, else the checkpoint's."""
        model_config = self.model.config
        return self.config.thresholds or Thresholds(
            model_config.real_below, model_config.fake_above
        )

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
        seen = self.look(video, frames, progress, name)
        return self.report(seen, self.score(seen.crops(), progress))

    def look(
        self,
        video: str | os.PathLike,
        frames: int | None = None,
        progress: Progress | None = None,
        name: str | None = None,
    ) -> SeenVideo:
        """Sample frames, find faces, follow people, cut aligned crops; as `__call__`."""
        wanted = self.config.frames if frames is None else frames
        config = replace(self.config, frames=wanted)
        limits = config.limits
        tell = progress or _silent
        with local_media(
            video, limits=limits, allow_private_addresses=config.allow_private_addresses
        ) as path:
            tell("Opening the file", 0, 1)
            info = probe_media(path, limits)
            total = min(wanted, info.frame_count)
            sampled = iterate_sampled_frames(path, info, wanted, limits)
            tracker = FaceTracker()
            crops: dict[tuple[int, int], _SeenFace] = {}
            crowded = done = 0
            try:
                for batch in _batched(sampled, FRAMES_AT_ONCE):
                    faces = self.face_detector.search(
                        [frame.image_rgb for frame in batch], still=info.kind == "image"
                    )
                    for frame, found in zip(batch, faces, strict=True):
                        crowded += len(found) > config.max_faces_per_frame
                        found = found[: config.max_faces_per_frame]
                        tracker.add_frame(frame.image_rgb, found)
                        for face in found:
                            crops[done, id(face)] = self._cut(frame, face)
                        done += 1
                    tell("Looking for faces", min(done, total), total)
            finally:
                sampled.close()
        warnings = reading_warnings(info, sampled.unreadable_frames, crowded, config)
        people = [
            [crops[position, id(face)] for position, face in person.faces.items()]
            for person in tracker.people
        ]
        return SeenVideo(name or _display_name(video), info, wanted, people, done, warnings)

    def _cut(self, frame: SampledFrame, face: DetectedFace) -> _SeenFace:
        crop, matrix = self.image_processor.align(frame.image_rgb, face.landmarks_xy)
        return _SeenFace(frame.index, frame.time_s, face, crop, matrix)

    def score(self, crops_rgb: list[np.ndarray], progress: Progress | None = None) -> _CropScores:
        """Probability, calibrated and not, heatmap and artifact boxes of each aligned crop."""
        tell = progress or _silent
        scores = _CropScores([], [], [], [])
        size = self.image_processor.size
        if crops_rgb:
            tell("Scoring faces", 0, len(crops_rgb))
        for start in range(0, len(crops_rgb), self.config.batch_size):
            batch = crops_rgb[start : start + self.config.batch_size]
            pixel_values = self.image_processor.pixel_values(batch).to(
                self.device, self.model.dtype, memory_format=torch.channels_last
            )
            with torch.inference_mode():
                output = self.model(pixel_values)
                scores.probabilities.extend(self.model.fake_probability(output).tolist())
                # In double precision: single rounds what is surer than 17 in logits to 1, and
                # calibration would find nothing left to soften.
                logits = output.logits.float().cpu().double()
                scores.uncalibrated.extend(logits.softmax(-1)[:, 1].tolist())
                heatmaps = self.model.artifact_heatmaps(output, size).half().cpu().numpy()
                boxes = artifact_boxes(output.anchor_offsets, output.anchor_logits)
            scores.heatmaps.extend(heatmaps)
            scores.boxes.extend(boxes)
            tell("Scoring faces", min(start + len(batch), len(crops_rgb)), len(crops_rgb))
        return scores

    def report(self, seen: SeenVideo, scores: _CropScores) -> VideoReport:
        """Put scores and faces together and judge them by the rules of `verdicts`."""
        rows = iter(
            zip(
                scores.probabilities,
                scores.uncalibrated,
                scores.heatmaps,
                scores.boxes,
                strict=True,
            )
        )
        temperature = self.model.config.calibration_temperature
        people = [
            [_face_score(face, *next(rows)) for face in person_faces]
            for person_faces in seen.people
        ]
        # A still image has one frame to be judged by; whoever asks for a few frames gets a
        # verdict on them, with a warning.
        needed = min(self.config.least_frames, seen.frames_wanted)
        needed = 1 if seen.info.kind == "image" else needed
        judged = [
            (
                faces,
                judge_person(
                    [face.uncalibrated_probability for face in faces],
                    [face.size_px for face in faces],
                    self.thresholds,
                    self.config.least_face_px,
                    needed,
                    temperature=temperature,
                ),
            )
            for faces in people
        ]
        judged.sort(key=lambda pair: (-_or_minus_one(pair[1].fake_probability), -len(pair[0])))
        reports = [
            PersonReport(number, judgement, faces)
            for number, (faces, judgement) in enumerate(judged, start=1)
        ]
        untrained = [] if self.model.config.trained else [UNTRAINED_WARNING]
        return VideoReport(
            video=seen.name,
            judgement=judge_video([person.judgement for person in reports], seen.frames_sampled),
            people=reports,
            duration_s=seen.info.duration_s,
            frames_sampled=seen.frames_sampled,
            model=self.name,
            model_revision=self.revision,
            thresholds=self.thresholds,
            calibration_temperature=temperature,
            warnings=untrained + seen.warnings + face_warnings(reports, seen.info.kind),
        )


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody asked for."""


def _display_name(video: str | os.PathLike) -> str:
    """A path as given; a URL without its query, which may hold a secret."""
    name = os.fspath(video)
    if "://" not in name:
        return name
    return urlsplit(name)._replace(query="", fragment="").geturl()


def _batched(frames: Iterator[SampledFrame], size: int) -> Iterator[list[SampledFrame]]:
    while batch := list(islice(frames, size)):
        yield batch


def _or_minus_one(probability: float | None) -> float:
    return -1.0 if probability is None else probability


def _face_score(
    seen: _SeenFace,
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
        crop_rgb=seen.crop_rgb,
        heatmap=heatmap,
        artifact_boxes=boxes,
        alignment=seen.alignment,
    )


class VideoDeepfakePipeline(Pipeline):
    """`pipeline("video-deepfake-detection", model=..., image_processor=...)`.

    Takes a path or URL (or a list of them) and gives `VideoReport.to_dict()`; `frames` may be
    given when it is made or called.
    """

    _load_image_processor = True
    _load_processor = False
    _load_tokenizer = False
    _load_feature_extractor = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        name = self.model.config._name_or_path or "in memory"
        revision = getattr(self.model.config, "_commit_hash", None)
        loaded = LoadedModel(self.model, self.image_processor, name, revision)
        self.detector = VideoDetector(loaded, device=self.device)

    def _sanitize_parameters(self, frames: int | None = None, **kwargs):
        return ({} if frames is None else {"frames": frames}), {}, {}

    def preprocess(self, video: str | os.PathLike, frames: int | None = None) -> dict:
        """Look at the video."""
        return {"seen": self.detector.look(video, frames)}

    def _forward(self, inputs: dict) -> dict:
        return {**inputs, "scores": self.detector.score(inputs["seen"].crops())}

    def postprocess(self, outputs: dict) -> dict:
        """Judge it."""
        return self.detector.report(outputs["seen"], outputs["scores"]).to_dict()


# With these, AutoConfig, AutoModelForImageClassification and AutoImageProcessor know CADDM
# wherever this package is imported, without trust_remote_code.
AutoConfig.register(CaddmConfig.model_type, CaddmConfig, exist_ok=True)
AutoModelForImageClassification.register(CaddmConfig, CaddmForDeepfakeDetection, exist_ok=True)
AutoImageProcessor.register(
    CaddmConfig, image_processor_classes={"pil": CaddmImageProcessor}, exist_ok=True
)
PIPELINE_REGISTRY.register_pipeline(
    TASK,
    pipeline_class=VideoDeepfakePipeline,
    pt_model=(CaddmForDeepfakeDetection,),
    type="multimodal",
)
