"""From the anchors' artifact confidences to a picture of where the forgery is.

Nothing is learned or back-propagated here: each of the 168 anchors was trained to say whether
its own box holds an artifact, and the heatmap shows what they say, where they say it.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms

from .multibox import ANCHOR_COUNTS, anchor_boxes, decode_boxes

# Side of the grid the maps are composed on; the finest anchors are 40 / 224 wide, so this
# resolves each of them with ten cells.
COMPOSITION_SIZE = 56
# Standard deviation of an anchor's bump, as a share of its side: the box's rim then weighs
# exp(-2) of its centre.
BUMP_WIDTH = 0.25
# Confidences are mixed by their mean of this power: surer anchors weigh more, and equal ones keep
# their value. Chosen by measurement (docs/checkpoint.md).
EMPHASIS = 3
# The map falls off from its peak by this power, while the peak keeps the value the anchors gave it:
# neighbouring anchors overlap, so without it much of their say lies beside the place they mean.
FALL_OFF = 4
# The anchors that cover the whole crop say whether, not where: they are left out, of boxes too.
PLACING_ANCHORS = ANCHOR_COUNTS[:-1]


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # cached: a tensor made under inference mode could not train later
def _spread(device: torch.device) -> Tensor:
    """(166, P) float32: how much each anchor says about each of the P = 56 x 56 places.

    Every anchor is a Gaussian bump over its box. Within one scale the weights at a place are
    divided by their sum, so that a scale's map is the weighted mean of what the anchors around
    that place say; the scales then weigh the same. If all say the same, so does the whole map,
    and nothing in [0, 1] can leave [0, 1].
    """
    anchors = anchor_boxes(dtype=torch.float64)[: sum(PLACING_ANCHORS)]
    ticks = (torch.arange(COMPOSITION_SIZE, dtype=torch.float64) + 0.5) / COMPOSITION_SIZE
    along_x = -0.5 * ((ticks - anchors[:, :1]) / (BUMP_WIDTH * anchors[:, 2:3])) ** 2
    along_y = -0.5 * ((ticks - anchors[:, 1:2]) / (BUMP_WIDTH * anchors[:, 3:4])) ** 2
    exponent = (along_y[:, :, None] + along_x[:, None, :]).flatten(1)
    # Softmax over the anchors of a scale = normalised bumps, safe where all are tiny.
    scales = [part.softmax(dim=0) for part in exponent.split(PLACING_ANCHORS)]
    return (torch.cat(scales) / len(scales)).to(device=device, dtype=torch.float32)


def at_even_odds(confidences: Tensor, negatives_per_positive: float) -> Tensor:
    """What an anchor would say, had it seen an artifact as often as none.

    It was trained on r negatives for each positive, and so is rarely sure of anything. Its odds
    times r are those of an even prior: c' = r c / (r c + 1 - c) (Elkan 2001, "The Foundations of
    Cost-Sensitive Learning", theorem 2).

    Args:
        confidences: any shape, in [0, 1].
        negatives_per_positive: r.
    """
    odds = negatives_per_positive * confidences
    return odds / (odds + 1 - confidences)


def anchor_heatmaps(confidences: Tensor, size: int, negatives_per_positive: float = 1.0) -> Tensor:
    """Compose heatmaps from anchor confidences.

    Args:
        confidences: (B, 168) in [0, 1], in the order of `anchor_boxes`.
        size: side of the maps in pixels.
        negatives_per_positive: that anchors were trained with; see `at_even_odds`.

    Returns:
        (B, size, size) float32 in [0, 1]; equal confidences c give c at even odds everywhere.
    """
    placing = confidences[:, : sum(PLACING_ANCHORS)].float()
    maps = (placing**EMPHASIS @ _spread(confidences.device)) ** (1 / EMPHASIS)
    peaks = maps.amax(dim=1, keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    maps = at_even_odds(peaks, negatives_per_positive) * (maps / peaks) ** FALL_OFF
    maps = maps.view(-1, 1, COMPOSITION_SIZE, COMPOSITION_SIZE)
    maps = F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
    return maps[:, 0].clamp(0, 1)


@dataclass(frozen=True)
class ArtifactBox:
    """A place on the face crop that the detector marks as forged.

    Attributes:
        box_xyxy: corners in [0, 1] of the crop.
        confidence: the anchor's confidence in [0, 1].
    """

    box_xyxy: tuple[float, float, float, float]
    confidence: float


def artifact_boxes(
    anchor_offsets: Tensor,
    confidences: Tensor,
    least_confidence: float = 0.5,
    overlap: float = 0.45,
    at_most: int = 5,
) -> list[list[ArtifactBox]]:
    """The boxes the anchors vote for, after non-maximum suppression.

    Args:
        anchor_offsets: (B, 168, 4).
        confidences: (B, 168) in [0, 1].
        least_confidence: anchors below it are not shown.
        overlap: of two boxes with a larger IoU only the more confident one stays.
        at_most: most boxes for each sample.

    Returns:
        for each sample its boxes, most confident first.
    """
    placing = sum(PLACING_ANCHORS)
    confidences = confidences[:, :placing].float()
    boxes = decode_boxes(anchor_offsets.float(), anchor_boxes(anchor_offsets.device)).clamp(0, 1)
    boxes = boxes[:, :placing]
    sample, anchor = torch.nonzero(confidences >= least_confidence, as_tuple=True)
    kept = batched_nms(boxes[sample, anchor], confidences[sample, anchor], sample, overlap)
    found: list[list[ArtifactBox]] = [[] for _ in range(len(confidences))]
    for row in kept.tolist():  # already sorted by falling confidence
        mine = found[int(sample[row])]
        if len(mine) < at_most:
            box = boxes[sample[row], anchor[row]].tolist()
            mine.append(ArtifactBox(tuple(box), float(confidences[sample[row], anchor[row]])))
    return found


def heatmap_on_frame(
    heatmap: np.ndarray, matrix: np.ndarray, frame_size_hw: tuple[int, int]
) -> np.ndarray:
    """Warp a crop's heatmap back onto the frame the crop was cut from.

    Args:
        heatmap: (S, S) float32 in [0, 1].
        matrix: (2, 3) of the alignment, frame to crop.
        frame_size_hw: height and width of the frame.

    Returns:
        (H, W) float32 in [0, 1], zero outside the crop.
    """
    height, width = frame_size_hw
    return cv2.warpAffine(
        heatmap,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
