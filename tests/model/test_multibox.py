import math

import pytest
import torch

from caddm_hf.model.multibox import (
    NUM_ANCHORS,
    anchor_boxes,
    box_iou,
    centre_to_xyxy,
    decode_boxes,
    detection_losses,
    encode_boxes,
    match_anchors,
)

NO_BOX = (0.0, 0.0, 0.0, 0.0)
WHOLE = (0.0, 0.0, 1.0, 1.0)


def random_boxes(generator: torch.Generator, *shape: int) -> torch.Tensor:
    corners = torch.rand(*shape, 2, 2, generator=generator).sort(dim=-2).values
    return corners.flatten(-2)


def loop_match(boxes: torch.Tensor, anchors: torch.Tensor) -> tuple[list[bool], list[int]]:
    """The matching rule for one sample, written as the loops it stands for."""
    corners = centre_to_xyxy(anchors)
    positive, matched, best = [False] * len(anchors), [0] * len(anchors), [-1.0] * len(anchors)
    real = [k for k, (x0, y0, x1, y1) in enumerate(boxes.tolist()) if x1 > x0 and y1 > y0]
    iou = {k: box_iou(boxes[k : k + 1], corners)[0].tolist() for k in real}
    for k in real:
        for a in range(len(anchors)):
            if iou[k][a] > best[a]:
                best[a], matched[a] = iou[k][a], k
            positive[a] = best[a] >= 0.5
    for k in real:
        claimed = max(range(len(anchors)), key=lambda a, k=k: iou[k][a])
        positive[claimed], matched[claimed] = True, k
    return positive, matched


def test_matching_equals_the_loops():
    generator = torch.Generator().manual_seed(0)
    boxes = random_boxes(generator, 64, 3)
    boxes[::4, 1] = torch.tensor(NO_BOX)
    boxes[::5, 0] = torch.tensor(WHOLE)
    boxes[7] = torch.tensor(NO_BOX)
    anchors = anchor_boxes()
    positive, matched = match_anchors(boxes, anchors)
    for sample in range(len(boxes)):
        expected_positive, expected_matched = loop_match(boxes[sample], anchors)
        assert positive[sample].tolist() == expected_positive
        chosen = positive[sample].nonzero()[:, 0].tolist()
        assert [int(matched[sample, a]) for a in chosen] == [expected_matched[a] for a in chosen]


def test_every_truth_claims_an_anchor_even_without_overlap_enough():
    tiny = torch.tensor([[[0.48, 0.48, 0.52, 0.52], NO_BOX]])
    positive, matched = match_anchors(tiny, anchor_boxes())
    assert positive.sum() == 1
    assert matched[positive].tolist() == [0]


def test_boxes_without_area_match_nothing():
    inverted = (0.6, 0.6, 0.4, 0.9)
    positive, _ = match_anchors(torch.tensor([[NO_BOX, inverted]]), anchor_boxes())
    assert not positive.any()
    positive, _ = match_anchors(torch.zeros(2, 0, 4), anchor_boxes())
    assert positive.shape == (2, NUM_ANCHORS)
    assert not positive.any()


def test_encoding_and_decoding_are_inverse():
    boxes = random_boxes(torch.Generator().manual_seed(1), 32, NUM_ANCHORS)
    boxes = torch.where(boxes[..., 2:].sub(boxes[..., :2]).amin(-1)[..., None] > 0.01, boxes, 0.5)
    wide_enough = (boxes[..., 2:] - boxes[..., :2]).amin(-1) > 0
    anchors = anchor_boxes()
    decoded = decode_boxes(encode_boxes(boxes, anchors), anchors)
    assert wide_enough.any()
    torch.testing.assert_close(decoded[wide_enough], boxes[wide_enough], atol=1e-5, rtol=1e-4)


def test_decoding_never_overflows():
    wild = torch.full((1, NUM_ANCHORS, 4), 1e6)
    assert torch.isfinite(decode_boxes(wild, anchor_boxes())).all()


def loop_losses(offsets, logits, boxes, genuine_negatives=False):
    """The two losses from their definition, anchor by anchor."""
    anchors = anchor_boxes()
    localisation = confidence = 0.0
    positives = 0
    matches = [loop_match(sample, anchors) for sample in boxes]
    numbers = [sum(map(bool, positive)) for positive, _ in matches if any(positive)]
    of_a_genuine = math.ceil(2 * sum(numbers) / len(numbers)) if genuine_negatives else 0
    for sample, (positive, matched) in enumerate(matches):
        chosen = [a for a in range(len(anchors)) if positive[a]]
        positives += len(chosen)
        surprise = [
            float(torch.logsumexp(logits[sample, a], 0) - logits[sample, a, int(positive[a])])
            for a in range(len(anchors))
        ]
        for a in chosen:
            truth = encode_boxes(boxes[sample, matched[a]][None], anchors[a : a + 1])[0]
            for error in (offsets[sample, a] - truth).abs().tolist():
                localisation += 0.5 * error**2 if error < 1 else error - 0.5
        negatives = sorted(surprise[a] for a in range(len(anchors)) if not positive[a])[::-1]
        taken = 2 * len(chosen) if chosen else of_a_genuine
        confidence += sum(surprise[a] for a in chosen) + sum(negatives[:taken])
    return localisation / max(positives, 1), confidence / max(positives, 1)


@pytest.mark.parametrize("genuine_negatives", [False, True])
def test_losses_equal_the_loops(genuine_negatives):
    generator = torch.Generator().manual_seed(2)
    offsets = torch.randn(6, NUM_ANCHORS, 4, generator=generator)
    logits = torch.randn(6, NUM_ANCHORS, 2, generator=generator)
    boxes = random_boxes(generator, 6, 2)
    boxes[1] = torch.tensor(NO_BOX)
    boxes[2, 1] = torch.tensor(NO_BOX)
    boxes[3, 0] = torch.tensor(WHOLE)
    got = detection_losses(offsets, logits, boxes, genuine_negatives)
    expected = loop_losses(offsets, logits, boxes, genuine_negatives)
    assert [float(loss) for loss in got] == pytest.approx(expected, rel=1e-5)


def test_genuine_batch_costs_nothing_and_has_no_gradient_trouble():
    offsets = torch.randn(3, NUM_ANCHORS, 4, requires_grad=True)
    logits = torch.randn(3, NUM_ANCHORS, 2, requires_grad=True)
    for boxes, mined in ((torch.zeros(3, 2, 4), False), (torch.zeros(3, 0, 4), True)):
        localisation, confidence = detection_losses(offsets, logits, boxes, mined)
        assert localisation.item() == confidence.item() == 0
        (localisation + confidence).backward()
    assert torch.isfinite(offsets.grad).all()
    assert torch.isfinite(logits.grad).all()


def test_losses_are_float32_whatever_comes_in():
    boxes = torch.tensor([[WHOLE]])
    offsets = torch.randn(1, NUM_ANCHORS, 4)
    logits = torch.randn(1, NUM_ANCHORS, 2)
    low = detection_losses(offsets.bfloat16(), logits.bfloat16(), boxes)
    high = detection_losses(offsets, logits, boxes)
    for a, b in zip(low, high, strict=True):
        assert a.dtype == torch.float32
        assert float(a) == pytest.approx(float(b), rel=0.02)
