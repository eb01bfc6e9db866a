"""The task "video-deepfake-detection" of transformers' pipelines: importing this registers it."""

import os

from transformers import Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..checkpoint.loading import LoadedModel
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from .video_detector import VideoDetector

__all__ = ["TASK", "VideoDeepfakePipeline", "VideoDetector"]

TASK = "video-deepfake-detection"


class VideoDeepfakePipeline(Pipeline):
    """`pipeline("video-deepfake-detection", model=..., image_processor=...)`.

    Takes a path or URL (or a list of them) and returns `VideoReport.to_dict()`. `frames` is an
    argument of the constructor or of a call.
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
        """Find the faces of the video."""
        return {"seen": self.detector.look(video, frames)}

    def _forward(self, inputs: dict) -> dict:
        return {**inputs, "scores": self.detector.score(inputs["seen"].crops())}

    def postprocess(self, outputs: dict) -> dict:
        """Judge the video."""
        return self.detector.report(outputs["seen"], outputs["scores"]).to_dict()


PIPELINE_REGISTRY.register_pipeline(
    TASK,
    pipeline_class=VideoDeepfakePipeline,
    pt_model=(CaddmForDeepfakeDetection,),
    type="multimodal",
)
