import numpy as np
import pytest
import torch

from caddm_hf.model import heatmaps
from caddm_hf.model.face_alignment import alignment_matrix, template_points, transform_points
from caddm_hf.model.heatmaps import anchor_heatmaps, artifact_boxes, at_even_odds, heatmap_on_frame
from caddm_hf.model.multibox import ANCHOR_COUNTS, NUM_ANCHORS, anchor_boxes, encode_boxes

SIZE = 224


def peak_xy(heatmap: torch.Tensor) -> tuple[float, float]:
    row, column = divmod(int(heatmap.argmax()), heatmap.shape[1])
    return (column + 0.5) / heatmap.shape[1], (row + 0.5) / heatmap.shape[0]


@pytest.mark.parametrize("anchor", [0, 1, 13, 40, 97, 98, 120, 147, 150, 165])
def test_one_sure_anchor_lights_its_own_box(anchor):
    confidences = torch.zeros(1, NUM_ANCHORS)
    confidences[0, anchor] = 1.0
    heatmap = anchor_heatmaps(confidences, SIZE)[0]
    cx, cy, width, height = anchor_boxes()[anchor].tolist()
    x, y = peak_xy(heatmap)
    assert abs(x - cx) < width / 2
    assert abs(y - cy) < height / 2
    ticks = (torch.arange(SIZE) + 0.5) / SIZE
    inside = ((ticks - cy).abs() < height / 2)[:, None] & ((ticks - cx).abs() < width / 2)[None]
    assert float(heatmap[inside].mean()) > 2 * float(heatmap[~inside].mean())


def test_upright_and_lying_anchors_are_told_apart():
    """Anchors 48 and 49 share a centre; x and y must not be swapped."""
    maps = anchor_heatmaps(torch.eye(NUM_ANCHORS)[[48, 49]], SIZE)
    upright, lying = maps
    centre = SIZE // 2
    assert float(upright[centre + 30, centre]) > float(upright[centre, centre + 30])
    assert float(lying[centre, centre + 30]) > float(lying[centre + 30, centre])


def test_a_forged_corner_outshines_the_rest_when_the_whole_face_is_sure_too():
    """Of a partial swap the whole-crop anchors are sure as well: the place must still show."""
    confidences = torch.full((1, NUM_ANCHORS), 0.1)
    confidences[0, -ANCHOR_COUNTS[-1] :] = 1.0
    box = torch.tensor([0.1, 0.55, 0.4, 0.9])
    anchors = anchor_boxes()
    centres_inside = ((anchors[:, :2] > box[:2]) & (anchors[:, :2] < box[2:])).all(dim=1)
    confidences[0, centres_inside] = 0.95
    x, y = peak_xy(anchor_heatmaps(confidences, SIZE)[0])
    assert box[0] < x < box[2]
    assert box[1] < y < box[3]


def test_equal_confidences_give_a_flat_map_and_all_stays_in_range():
    flat = anchor_heatmaps(torch.full((1, NUM_ANCHORS), 0.37), SIZE)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.37), atol=1e-5, rtol=0)
    wild = anchor_heatmaps(torch.rand(16, NUM_ANCHORS).round(), SIZE)
    assert float(wild.min()) >= 0
    assert float(wild.max()) <= 1
    ones = anchor_heatmaps(torch.ones(1, NUM_ANCHORS), SIZE)
    assert float(ones.max()) <= 1


def test_maps_of_other_sizes_show_the_same():
    confidences = torch.rand(1, NUM_ANCHORS, generator=torch.Generator().manual_seed(0))
    large, small = anchor_heatmaps(confidences, 224)[0], anchor_heatmaps(confidences, 112)[0]
    assert small.shape == (112, 112)
    torch.testing.assert_close(
        torch.nn.functional.avg_pool2d(large[None], 2)[0], small, atol=0.02, rtol=0
    )


def test_heatmap_lands_on_the_face_in_the_frame():
    points = template_points(SIZE) * 0.7 + (300, 120)
    matrix = alignment_matrix(points)
    spot = np.zeros((SIZE, SIZE), np.float32)
    spot[30:50, 160:190] = 1.0
    on_frame = heatmap_on_frame(spot, matrix, (480, 640))
    assert on_frame.shape == (480, 640)
    rows, columns = np.nonzero(on_frame > 0.5)
    inside = transform_points(matrix, np.stack([columns, rows], axis=1))
    assert inside[:, 0].min() > 158
    assert inside[:, 0].max() < 192
    assert inside[:, 1].min() > 28
    assert inside[:, 1].max() < 52
    assert len(rows) == pytest.approx(20 * 30 * 0.49, rel=0.15)


def test_artifact_boxes_are_decoded_sorted_and_suppressed():
    truth = torch.tensor([0.2, 0.3, 0.5, 0.7])
    anchors = anchor_boxes()
    offsets = encode_boxes(truth.expand(NUM_ANCHORS, 4), anchors)[None].repeat(2, 1, 1)
    logits = torch.zeros(2, NUM_ANCHORS, 2)
    logits[..., 0] = 6.0
    logits[0, 100, 1] = 10.0  # two anchors vote for the same box
    logits[0, 102, 1] = 9.0
    far = torch.tensor([0.7, 0.05, 0.95, 0.2])
    offsets[0, 20] = encode_boxes(far[None], anchors[20:21])[0]
    logits[0, 20, 1] = 12.0
    logits[1, 166:, 1] = 20.0  # the whole crop is no place
    found, nothing = artifact_boxes(offsets, logits.softmax(-1)[..., 1])
    assert nothing == []
    assert [round(value, 3) for value in found[0].box_xyxy] == [0.7, 0.05, 0.95, 0.2]
    assert [round(value, 3) for value in found[1].box_xyxy] == [0.2, 0.3, 0.5, 0.7]
    assert len(found) == 2
    assert found[0].confidence > found[1].confidence > 0.5


def test_training_after_scoring_works():
    """The cached weights must not be inference tensors."""
    from caddm_hf.model.heatmaps import _spread

    _spread.cache_clear()
    with torch.inference_mode():
        anchor_heatmaps(torch.rand(1, NUM_ANCHORS), 56)
    confidences = torch.rand(1, NUM_ANCHORS, requires_grad=True)
    anchor_heatmaps(confidences, 56).sum().backward()
    assert confidences.grad is not None


def test_the_peak_keeps_its_value_and_the_rest_falls_off(monkeypatch):
    """Against the map without the fall-off: same peak in the same place, less beside it."""
    confidences = torch.rand(4, NUM_ANCHORS, generator=torch.Generator().manual_seed(0))
    sharp = anchor_heatmaps(confidences, heatmaps.COMPOSITION_SIZE).flatten(1)
    monkeypatch.setattr(heatmaps, "FALL_OFF", 1)
    plain = anchor_heatmaps(confidences, heatmaps.COMPOSITION_SIZE).flatten(1)
    torch.testing.assert_close(sharp.amax(1), plain.amax(1))
    assert torch.equal(sharp.argmax(1), plain.argmax(1))
    expected = plain * (plain / plain.amax(1, keepdim=True)) ** 3
    torch.testing.assert_close(sharp, expected)
    assert (sharp.sum(1) < plain.sum(1)).all()


def test_even_odds_undo_the_negatives_of_training():
    """Anchors of which one in five is positive, and four in five at what was one in two."""
    confidences = torch.tensor([0.0, 0.2, 0.5, 1.0])
    assert at_even_odds(confidences, 4).tolist() == pytest.approx([0.0, 0.5, 0.8, 1.0])
    torch.testing.assert_close(at_even_odds(confidences, 1), confidences)


def test_maps_peak_at_even_odds():
    """The peak's value changes, the map's shape does not."""
    confidences = torch.rand(3, NUM_ANCHORS, generator=torch.Generator().manual_seed(1))
    plain, even = (anchor_heatmaps(confidences, heatmaps.COMPOSITION_SIZE, r) for r in (1, 4))
    peaks, raised = (maps.flatten(1).amax(1)[:, None, None] for maps in (plain, even))
    torch.testing.assert_close(raised, at_even_odds(peaks, 4))
    torch.testing.assert_close(even / raised, plain / peaks)
