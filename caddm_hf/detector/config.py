"""Settings of the detector. What the weights require is in `CaddmConfig`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..faces.counting import JudgingRules
from ..media.limits import MediaLimits
from ..report.passages import PassageRules
from ..report.verdicts import Thresholds
from .second_look import SecondLook

if TYPE_CHECKING:
    from ..model.configuration_caddm import CaddmConfig

# Used if neither the configuration nor the model states a limit.
LEAST_FACE_PX = 48.0
LEAST_SHARPNESS = 0.0
LEAST_HEATMAP_PEAK = 0.3


@dataclass(frozen=True)
class DetectionConfig:
    """Settings of the detector, checked when they are made.

    Attributes:
        frames: frames sampled, evenly over the whole clip (the paper's protocol: 32).
        least_face_px: smaller faces (longer side of the box) get no verdict. `None` for the
            checkpoint's limit, or 48 if the checkpoint has none.
        least_sharpness: less sharp faces get no verdict, in [0, 1]. `None` for the checkpoint's
            limit, if it has one.
        least_frames: a person seen in fewer frames gets no verdict. A still image is judged
            by its one frame.
        max_faces_per_frame: score at most this many faces of a frame, the largest ones.
        face_search_side: frames are shrunk to this longer side before faces are searched for. A
            frame without faces is searched again at twice the size.
        least_face_confidence: of the face detector; less certain faces are ignored.
        batch_size: face crops scored together.
        thresholds: used instead of the checkpoint's.
        second_look: where and how densely to sample again; `None` for no second look.
        passages: when a stretch of time stands out.
        limits: what a file may cost.
        allow_private_addresses: whether URLs may lead into private networks.
    """

    frames: int = 32
    least_face_px: float | None = None
    least_sharpness: float | None = None
    least_frames: int = 5
    max_faces_per_frame: int = 12
    face_search_side: int = 640
    least_face_confidence: float = 0.9
    batch_size: int = 32
    thresholds: Thresholds | None = None
    second_look: SecondLook | None = field(default_factory=SecondLook)
    passages: PassageRules = field(default_factory=PassageRules)
    limits: MediaLimits = field(default_factory=MediaLimits)
    allow_private_addresses: bool = False

    def __post_init__(self):
        for name, low, high in (
            ("frames", 1, 4096),
            ("least_frames", 1, 4096),
            ("max_faces_per_frame", 1, 100),
            ("face_search_side", 100, 4096),
            ("batch_size", 1, 1024),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie between {low} and {high}, got {value}")

    def rules(self, model: "CaddmConfig") -> JudgingRules:
        """Return which faces of a video count, and how many a verdict needs.

        Args:
            model: the checkpoint's configuration. Its limits apply where this one states none.
        """
        return JudgingRules(
            least_face_px=_first(self.least_face_px, model.least_face_px, LEAST_FACE_PX),
            least_frames=self.least_frames,
            least_sharpness=_first(self.least_sharpness, model.least_sharpness, LEAST_SHARPNESS),
        )


def least_heatmap_peak(model: "CaddmConfig") -> float:
    """Return the heatmap peak below which no place stands out: the checkpoint's or the default."""
    return _first(model.least_heatmap_peak, LEAST_HEATMAP_PEAK)


def _first(*values: float | None) -> float:
    """Return the first value that is not None."""
    return next(value for value in values if value is not None)
