"""Multi-scale anchors: where they lie, which truth they stand for, what being wrong costs.

Anchors, matching and losses are those of the CADDM paper (arXiv 2210.14457), which are those
of SSD (arXiv 1512.02325) with two square-free anchors a cell on 7x7, 5x5, 3x3 and 1x1 grids.
All of it is batched tensor code without loops over anchors, boxes or samples.

Boxes are xyxy, centre forms are (cx, cy, w, h), both in units of the crop ([0, 1]).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Of each grid: cells a side, distance of cells and (smaller, larger) anchor side in pixels of
# a 224 px crop. The steps are not 224 / cells: the paper's grids lie as they lie.
ANCHOR_GRIDS = (
    (7, 32, (40, 80)),
    (5, 45, (80, 120)),
    (3, 75, (120, 160)),
    (1, 224, (224, 224)),
)
ANCHOR_CROP_SIZE = 224
ANCHORS_PER_CELL = 2
ANCHOR_COUNTS = tuple(ANCHORS_PER_CELL * cells * cells for cells, _, _ in ANCHOR_GRIDS)
NUM_ANCHORS = sum(ANCHOR_COUNTS)

CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
POSITIVE_IOU = 0.5
NEGATIVES_PER_POSITIVE = 2


def anchor_boxes(
    device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The 168 anchors in centre form, (168, 4), in [0, 1].

    Order: grid by grid from fine to coarse, row by row, and in each cell first the upright
    anchor (w = smaller side), then the lying one.
    """
    grids = []
    for cells, step, (smaller, larger) in ANCHOR_GRIDS:
        centre = (torch.arange(cells, device=device, dtype=torch.float64) + 0.5) * step
        cy, cx = torch.meshgrid(centre, centre, indexing="ij")
        centres = torch.stack([cx, cy], dim=-1).reshape(-1, 1, 2).expand(-1, 2, -1)
        sides = torch.tensor(
            [(smaller, larger), (larger, smaller)], device=device, dtype=torch.float64
        )
        grids.append(torch.cat([centres, sides.expand(len(centres), -1, -1)], dim=-1))
    anchors = torch.cat(grids).reshape(-1, 4) / ANCHOR_CROP_SIZE
    return anchors.clamp(0, 1).to(dtype)


def centre_to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) centre form to xyxy."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def box_iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Intersection over union of every pair; xyxy (..., K, 4) and (A, 4) -> (..., K, A)."""
    a, b = boxes_a[..., :, None, :], boxes_b[None, :, :]
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0)
    intersection = sides.prod(dim=-1)
    area_a = (a[..., 2:] - a[..., :2]).prod(dim=-1)
    area_b = (b[..., 2:] - b[..., :2]).prod(dim=-1)
    return intersection / (area_a + area_b - intersection).clamp(min=1e-12)


def match_anchors(boxes_xyxy: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Decide which anchors stand for which truth box.

    An anchor is positive when it overlaps some truth with IoU >= 0.5; each truth moreover
    claims its best anchor, whatever the overlap (of two truths claiming one anchor the later
    one in the list keeps it).

    Args:
        boxes_xyxy: (B, K, 4) truth boxes in [0, 1]; a box without area is no box.
        anchors: (A, 4) in centre form.

    Returns:
        positive (B, A) bool, and matched (B, A) int64: the truth of each anchor, meaningful
        where positive.
    """
    batch, boxes_per_sample = boxes_xyxy.shape[:2]
    if boxes_per_sample == 0:
        shape = (batch, len(anchors))
        return (
            torch.zeros(shape, dtype=torch.bool, device=anchors.device),
            torch.zeros(shape, dtype=torch.int64, device=anchors.device),
        )
    real = ((boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]) > 0).all(dim=-1)
    iou = box_iou(boxes_xyxy, centre_to_xyxy(anchors))
    iou = torch.where(real[..., None], iou, -1.0)
    best_iou, matched = iou.max(dim=1)

    best_anchor = iou.argmax(dim=2)
    claims = F.one_hot(best_anchor, len(anchors)).bool() & real[..., None]
    rank = torch.arange(1, boxes_per_sample + 1, device=iou.device)[None, :, None]
    last_claim = torch.where(claims, rank, 0).amax(dim=1)
    matched = torch.where(last_claim > 0, last_claim - 1, matched)
    return (best_iou >= POSITIVE_IOU) | (last_claim > 0), matched


def encode_boxes(boxes_xyxy: Tensor, anchors: Tensor) -> Tensor:
    """Truth boxes (..., A, 4) as offsets from their anchors (A, 4), scaled by the variances.

    Sides are kept at or above 1e-6, so that an unmatched empty box stays finite.
    """
    centre = (boxes_xyxy[..., :2] + boxes_xyxy[..., 2:]) / 2
    size = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp(min=1e-6)
    return torch.cat(
        [
            (centre - anchors[..., :2]) / (CENTRE_VARIANCE * anchors[..., 2:]),
            torch.log(size / anchors[..., 2:]) / SIZE_VARIANCE,
        ],
        dim=-1,
    )


def decode_boxes(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Undo `encode_boxes`: offsets (..., A, 4) to boxes xyxy (..., A, 4), not clipped.

    Sides are bounded to e^5 anchor sides, so that no prediction overflows.
    """
    centre = anchors[..., :2] + offsets[..., :2] * CENTRE_VARIANCE * anchors[..., 2:]
    size = anchors[..., 2:] * torch.exp((offsets[..., 2:] * SIZE_VARIANCE).clamp(max=5.0))
    return centre_to_xyxy(torch.cat([centre, size], dim=-1))


def detection_losses(
    anchor_offsets: Tensor,
    anchor_logits: Tensor,
    boxes_xyxy: Tensor,
    genuine_negatives: bool = False,
) -> tuple[Tensor, Tensor]:
    """Smooth-L1 of the positives' boxes, cross-entropy of positives and hardest negatives.

    Both are sums divided by the number of positive anchors in the batch (by 1 if there are
    none). A sample contributes its 2 hardest negatives for each positive; a genuine sample,
    which has no box, contributes nothing, as in SSD. Computed in float32 whatever comes in.

    Args:
        anchor_offsets: (B, A, 4).
        anchor_logits: (B, A, 2), index 1 = artifact.
        boxes_xyxy: (B, K, 4) in [0, 1], zero area = none.
        genuine_negatives: a genuine sample contributes as many hardest negatives as a forged one
            of the batch does on average. Without them no anchor ever learns that a face may be
            genuine, and the largest, which no forged face leaves negative, says "fake" always.

    Returns:
        the two scalar losses (localisation, confidence).
    """
    anchors = anchor_boxes(device=anchor_offsets.device)
    boxes_xyxy = boxes_xyxy.to(anchors)
    positive, matched = match_anchors(boxes_xyxy, anchors)
    positives = positive.sum(dim=1, keepdim=True)
    divisor = positives.sum().clamp(min=1)

    if boxes_xyxy.shape[1] == 0:
        truth = anchor_offsets.new_zeros(anchor_offsets.shape, dtype=torch.float32)
    else:
        truth = encode_boxes(boxes_xyxy.gather(1, matched[..., None].expand(-1, -1, 4)), anchors)
    error = F.smooth_l1_loss(anchor_offsets.float(), truth, reduction="none").sum(dim=-1)
    localisation = torch.where(positive, error, 0.0).sum() / divisor

    surprise = F.cross_entropy(
        anchor_logits.float().transpose(1, 2), positive.long(), reduction="none"
    )
    # Rank of each anchor among its sample's negatives, hardest first; positives come last.
    hardness = torch.where(positive, -1.0, surprise.detach())
    rank = hardness.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    quota = NEGATIVES_PER_POSITIVE * positives
    if genuine_negatives:
        forged = (positives > 0).sum().clamp(min=1)
        quota = torch.where(positives > 0, quota, torch.ceil(quota.sum() / forged).long())
    chosen = positive | (rank < quota)
    confidence = torch.where(chosen, surprise, 0.0).sum() / divisor
    return localisation, confidence
