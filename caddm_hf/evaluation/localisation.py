"""Whether the heatmap points at the forgery, measured on swaps at known places.

Genuine faces are forged by blending an altered copy of the face ("self") or another person's face
("cross") into one window of the crop, or over the whole face. The ground truth is the area that
visibly changed. `heatmap_metrics` scores every heatmap, separately for each size of window. On the
same crops and the same model these heatmaps are compared:

    anchors              the detector's heatmap
    anchors, stretched   the same, each map rescaled to 0..1 as in Grad-CAM
    Grad-CAM             of the fake logit on the backbone's last map (library `grad-cam`)
    centre               a fixed bump in the middle of the crop, as an uninformed baseline

A constant heatmap's pointing accuracy and energy equal the mask's share of the crop.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import nn

from ..augmentation.degradations import TrainingDegradations
from ..augmentation.donors import DONOR_CANDIDATES, face_pose, most_similar
from ..augmentation.facial_swap import FacialSwapConfig, TrainingSample
from ..augmentation.self_blending import cross_blend, self_blend
from ..dataset.schema import FrameDataError
from ..metrics.heatmap_metrics import (
    best_threshold_iou,
    energy_inside,
    pointing_game,
    score_heatmaps,
)
from ..metrics.video_metrics.video_scores import area_under_roc
from ..model.face_alignment import (
    AlignmentJitter,
)
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from .figures import Bootstrap
from .scoring import FrameScorer

Heatmaps = Callable[[Sequence[np.ndarray]], np.ndarray]

# Windows of the swaps, (w, h) in pixels of a 224 px crop; None is the whole face.
SCALES: dict[str, tuple[int, int] | None] = {
    "40x80": (40, 80),
    "80x120": (80, 120),
    "120x160": (120, 160),
    "whole face": None,
}
FORGERIES = ("self", "cross")
SIDE = 112  # heatmaps and masks are compared at this size
THRESHOLDS = np.linspace(0, 0.98, 50)
CLOSING = 9  # px of a 224 px crop: fill small unchanged specks inside a mask
CENTRE_WIDTH = 0.2  # standard deviation of the centre's bump, as a share of the crop
MISSING_GRAD_CAM = "not measured: the library grad-cam is not installed (pip install grad-cam)"


@dataclass(frozen=True, eq=False)
class GenuineFace:
    """A genuine picture with its face.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        points_xy: (5, 2).
        video_id: a face is never blended with a face of the same video.
    """

    image_rgb: np.ndarray
    points_xy: np.ndarray
    video_id: str


@dataclass(frozen=True, eq=False)
class KnownSwap:
    """A forged crop with the mask of the forgery.

    Attributes:
        crop_rgb: (S, S, 3) uint8.
        mask: (SIDE, SIDE) bool, not empty.
        forgery: one of `FORGERIES`.
        scale: one of `SCALES`.
        video_id: of the original face.
    """

    crop_rgb: np.ndarray
    mask: np.ndarray
    forgery: str
    scale: str
    video_id: str


def make_swaps(
    faces: Sequence[GenuineFace], processor: CaddmImageProcessor, seed: int
) -> tuple[list[KnownSwap], dict[str, int]]:
    """Forge every face once in each way and at each scale.

    Faces are aligned as by the detector, without jitter, and crops are not degraded.

    Args:
        faces: genuine faces.
        processor: of the model; determines size and position of the face in the crop.
        seed: of all random choices.

    Returns:
        the swaps, and the number that could not be made: "forgery, scale" -> number.

    Raises:
        FrameDataError: no swap could be made.
    """
    swaps, failed = [], Counter()
    poses = np.stack([face_pose(face.points_xy) for face in faces])
    for number, face in enumerate(faces):
        for forgery in FORGERIES:
            for scale_number, (scale, window_wh) in enumerate(SCALES.items()):
                config = _swap_config(window_wh, processor)
                rng = np.random.default_rng([seed, number, FORGERIES.index(forgery), scale_number])
                sample = _forge(faces, number, forgery, poses, rng, config)
                mask = None if sample is None else _mask(sample)
                if mask is None:
                    failed[f"{forgery}, {scale}"] += 1
                    continue
                swaps.append(KnownSwap(sample.image_rgb, mask, forgery, scale, face.video_id))
    if not swaps:
        raise FrameDataError("Not one swap could be made of these faces: they are too small.")
    return swaps, dict(failed)


def _swap_config(
    window_wh: tuple[int, int] | None, processor: CaddmImageProcessor
) -> FacialSwapConfig:
    windows = {} if window_wh is None else {"windows_wh": (window_wh, window_wh[::-1])}
    return replace(
        FacialSwapConfig(),
        image_size=processor.size,
        align_scale=processor.align_scale,
        eye_height=processor.eye_height,
        jitter=AlignmentJitter(0.0, 0.0, 0.0, 0.0, 0.0),
        global_probability=0.0 if windows else 1.0,
        halve_probability=0.0,
        flip_probability=0.0,
        degradations=TrainingDegradations(strength=0),
        **windows,
    )


def _forge(
    faces: Sequence[GenuineFace],
    number: int,
    forgery: str,
    poses: np.ndarray,
    rng: np.random.Generator,
    config: FacialSwapConfig,
) -> TrainingSample | None:
    face = faces[number]
    if forgery == "self":
        sample = self_blend(face.image_rgb, face.points_xy, rng, config)
    else:
        candidates = rng.permutation(len(faces))
        others = [n for n in candidates if faces[n].video_id != face.video_id]
        if not others:
            return None
        others = others[:DONOR_CANDIDATES]
        donor = faces[others[most_similar(poses[number], [poses[n] for n in others])]]
        sample = cross_blend(
            face.image_rgb, face.points_xy, donor.image_rgb, donor.points_xy, rng, config
        )
    return sample if sample.label == 1 else None


def _mask(sample: TrainingSample) -> np.ndarray | None:
    changed = sample.changed_mask.astype(np.uint8)
    length = max(1, round(CLOSING * len(changed) / 224))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (length, length))
    closed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, kernel)
    mask = cv2.resize(closed, (SIDE, SIDE), interpolation=cv2.INTER_AREA) > 0
    return mask if mask.any() else None


def anchor_heatmaps_of(scorer: FrameScorer) -> Heatmaps:
    """Return a function that computes the detector's heatmaps, (N, SIDE, SIDE) in [0, 1]."""

    def heatmaps(crops_rgb: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(
            scorer.outputs(crops_rgb, lambda output: scorer.model.artifact_heatmaps(output, SIDE))
        )

    return heatmaps


class _Tap(nn.Module):
    """A backbone whose last map passes through a module that Grad-CAM can hook."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.last_map = nn.Identity()

    def forward_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.last_map(self.backbone.forward_features(pixel_values))


class _Logits(nn.Module):
    """The detector as a function from pixels to (B, 2) logits."""

    def __init__(self, model: CaddmForDeepfakeDetection):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values).logits


def grad_cam_of(scorer: FrameScorer, batch_size: int = 16) -> Heatmaps | None:
    """Return a function that computes Grad-CAM (arXiv 1610.02391) of the fake logit.

    Returns:
        (N, SIDE, SIDE) maps in [0, 1]; None instead of a function without the library.
    """
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError:
        return None

    def heatmaps(crops_rgb: Sequence[np.ndarray]) -> np.ndarray:
        model = scorer.model
        tap = _Tap(model.backbone)
        model.backbone = tap
        try:
            found = []
            with GradCAM(model=_Logits(model), target_layers=[tap.last_map]) as cam:
                for start in range(0, len(crops_rgb), batch_size):
                    batch = crops_rgb[start : start + batch_size]
                    pixel_values = scorer.processor.pixel_values(batch).to(scorer.device)
                    maps = cam(pixel_values, [ClassifierOutputTarget(1)] * len(batch))
                    found += [cv2.resize(map_, (SIDE, SIDE)) for map_ in maps]
        finally:
            model.backbone = tap.backbone
            model.zero_grad(set_to_none=True)
        return np.clip(np.stack(found), 0, 1)

    return heatmaps


def centre_heatmaps(crops_rgb: Sequence[np.ndarray]) -> np.ndarray:
    """Return the same bump in the middle of each crop, (N, SIDE, SIDE) in (0, 1]."""
    ticks = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    along = np.exp(-0.5 * (ticks / CENTRE_WIDTH) ** 2)
    return np.repeat((along[:, None] * along)[None], len(crops_rgb), axis=0)


def stretched(heatmaps: np.ndarray) -> np.ndarray:
    """Rescale each of (N, H, W) maps to 0..1; a constant map becomes 0."""
    low = heatmaps.min(axis=(1, 2), keepdims=True)
    span = heatmaps.max(axis=(1, 2), keepdims=True) - low
    return (heatmaps - low) / np.where(span > 0, span, 1)


def measure_localisation(
    swaps: Sequence[KnownSwap],
    methods: dict[str, np.ndarray | str],
    bootstrap: Bootstrap = Bootstrap(),
) -> list[dict]:
    """Score heatmaps against the known masks, for each way of forging and each scale.

    Args:
        swaps: the N swaps.
        methods: name -> (N, SIDE, SIDE) heatmaps, or a sentence why there are none.
        bootstrap: settings of the intervals; the faces' videos are resampled.

    Returns:
        for each forgery and scale: its counts, and for each method figures of
        "pointing_accuracy", "energy_share" and "oracle_iou", and the "common_iou" with its
        "common_threshold".
    """
    blocks = []
    for forgery in FORGERIES:
        for scale in SCALES:
            chosen = [
                n for n, swap in enumerate(swaps) if (swap.forgery, swap.scale) == (forgery, scale)
            ]
            if not chosen:
                continue
            masks = np.stack([swaps[n].mask for n in chosen])
            groups = [swaps[n].video_id for n in chosen]
            blocks.append(
                {
                    "forgery": forgery,
                    "scale": scale,
                    "swaps": len(chosen),
                    "mask_share": float(masks.mean()),
                    "methods": {
                        name: {"why": maps}
                        if isinstance(maps, str)
                        else _score(maps[chosen], masks, groups, bootstrap)
                        for name, maps in methods.items()
                    },
                }
            )
    return blocks


def _score(
    heatmaps: np.ndarray, masks: np.ndarray, groups: list[str], bootstrap: Bootstrap
) -> dict:
    whole = score_heatmaps(heatmaps, masks, THRESHOLDS)
    each = {
        "pointing_accuracy": pointing_game(heatmaps, masks),
        "energy_share": energy_inside(heatmaps, masks),
        "oracle_iou": best_threshold_iou(heatmaps, masks, THRESHOLDS)[0],
    }
    no_labels = np.zeros(len(masks))
    figures = {
        name: bootstrap.figure(lambda scores, _: float(np.mean(scores)), values, no_labels, groups)
        for name, values in each.items()
    }
    return figures | {
        "common_iou": whole.common_iou,
        "common_threshold": whole.common_threshold,
    }


def separation(swap_scores: np.ndarray, genuine_scores: np.ndarray) -> float:
    """Return the AUC that separates the swaps' scores from those of their genuine crops."""
    labels = np.repeat([1, 0], [len(swap_scores), len(genuine_scores)])
    return area_under_roc(np.concatenate([swap_scores, genuine_scores]), labels)
