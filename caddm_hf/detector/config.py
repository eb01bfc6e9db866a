"""How videos are looked at; what the weights need is in `CaddmConfig`."""

from dataclasses import dataclass, field

from ..media.limits import MediaLimits
from ..report.verdicts import JudgingRules, Thresholds


@dataclass(frozen=True)
class DetectionConfig:
    """Settings of the detector, checked when they are made.

    Attributes:
        frames: frames sampled, evenly over the whole clip (the paper's protocol: 32).
        least_face_px: smaller faces (longer side of the box) get no verdict.
        least_frames: a person seen in fewer frames gets no verdict. A still image is judged
            by its one frame.
        max_faces_per_frame: of a crowd only the largest faces are scored.
        face_search_side: frames are shrunk to this longer side for finding faces; where
            none is found they are searched again at twice the size.
        least_face_confidence: of the face detector.
        batch_size: face crops scored together.
        thresholds: instead of the checkpoint's.
        limits: what a file may cost.
        allow_private_addresses: whether URLs may lead into private networks.
    """

    frames: int = 32
    least_face_px: float = 48.0
    least_frames: int = 5
    max_faces_per_frame: int = 12
    face_search_side: int = 640
    least_face_confidence: float = 0.9
    batch_size: int = 32
    thresholds: Thresholds | None = None
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

    @property
    def rules(self) -> JudgingRules:
        """Which faces count, and how many a verdict needs."""
        return JudgingRules(self.least_face_px, self.least_frames)
