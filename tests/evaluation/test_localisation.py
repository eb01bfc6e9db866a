"""Swaps with known places, heatmaps with known scores, and Grad-CAM against its own formula."""

import sys

import cv2
import numpy as np
import pytest
import torch

from caddm_hf.dataset.schema import FrameDataError
from caddm_hf.evaluation.figures import Bootstrap
from caddm_hf.evaluation.localisation import (
    FORGERIES,
    SCALES,
    SIDE,
    GenuineFace,
    anchor_heatmaps_of,
    centre_heatmaps,
    grad_cam_of,
    make_swaps,
    measure_localisation,
    separation,
    stretched,
)
from caddm_hf.evaluation.scoring import FrameScorer
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.runtime.network import TorchNetwork
from support.made_collection import draw_face
from support.made_scores import tiny_model

SIZE = 224
PROCESSOR = CaddmImageProcessor(size=SIZE)
QUICK = Bootstrap(samples=30)


@pytest.fixture(scope="module")
def faces() -> list[GenuineFace]:
    found = []
    for number in range(6):
        image, points_xy = draw_face(np.random.default_rng([7, number]), side=224)
        found.append(GenuineFace(image, points_xy, f"v{number}"))
    return found


@pytest.fixture(scope="module")
def swaps(faces):
    made, _ = make_swaps(faces, PROCESSOR, seed=0)
    return made


@pytest.fixture(scope="module")
def scorer() -> FrameScorer:
    loaded = tiny_model()
    return FrameScorer(loaded, TorchNetwork(loaded.model, torch.device("cpu")))


def test_masks_are_where_the_crop_was_changed(faces, swaps):
    """Against the genuine crop, aligned by the processor and not by the swap's own code."""
    processor = tiny_model().image_processor
    processor.size = SIZE
    genuine = {face.video_id: processor.align(face.image_rgb, face.points_xy)[0] for face in faces}
    for swap in swaps:
        if swap.forgery == "self":
            continue  # there the background may be the altered one
        difference = cv2.absdiff(swap.crop_rgb, genuine[swap.video_id]).max(axis=2)
        visible = cv2.resize(difference, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        outside, inside = visible[~swap.mask].mean(), visible[swap.mask].mean()
        assert inside > 5 * outside
        assert inside > 2


def test_every_forgery_and_scale_is_made_and_grows_with_the_window(swaps):
    for forgery in FORGERIES:
        shares = []
        for scale in SCALES:
            masks = [s.mask.mean() for s in swaps if (s.forgery, s.scale) == (forgery, scale)]
            assert len(masks) >= 4
            shares.append(np.mean(masks))
        assert shares == sorted(shares)
        width, height = SCALES["40x80"]
        assert shares[0] <= 1.2 * width * height / SIZE**2


def test_swaps_follow_their_seed(faces, swaps):
    again, _ = make_swaps(faces, PROCESSOR, seed=0)
    other, _ = make_swaps(faces, PROCESSOR, seed=1)
    assert all(np.array_equal(a.crop_rgb, b.crop_rgb) for a, b in zip(swaps, again, strict=True))
    assert not all(
        np.array_equal(a.crop_rgb, b.crop_rgb) for a, b in zip(swaps, other, strict=False)
    )


def test_one_person_has_no_donor(faces):
    made, failed = make_swaps(faces[:1], PROCESSOR, seed=0)
    assert {swap.forgery for swap in made} == {"self"}
    assert sum(n for place, n in failed.items() if place.startswith("cross")) == len(SCALES)


def test_faces_that_cannot_be_forged_are_an_error():
    grey = GenuineFace(
        np.full((90, 90, 3), 90, np.uint8), draw_face(np.random.default_rng(0))[1], "v"
    )
    flat = GenuineFace(np.zeros((2, 2, 3), np.uint8), grey.points_xy + 500, "v")
    with pytest.raises(FrameDataError, match="Not one swap"):
        make_swaps([flat], PROCESSOR, seed=0)


def test_a_heatmap_that_knows_scores_one_and_an_ignorant_one_the_masks_share(swaps):
    masks = np.stack([swap.mask for swap in swaps]).astype(float)
    methods = {
        "knows": masks,
        "even": np.full_like(masks, 0.5),
        "opposite": 1 - masks,
        "absent": "not measured",
    }
    blocks = measure_localisation(swaps, methods, QUICK)
    assert len(blocks) == len(FORGERIES) * len(SCALES)
    assert sum(block["swaps"] for block in blocks) == len(swaps)
    for block in blocks:
        scores = block["methods"]
        for name in ("pointing_accuracy", "energy_share", "oracle_iou"):
            assert scores["knows"][name]["estimate"] == 1.0
            assert scores["even"][name]["estimate"] == pytest.approx(block["mask_share"])
        for name in ("pointing_accuracy", "energy_share"):
            assert scores["opposite"][name]["estimate"] == 0.0
        assert scores["knows"]["common_iou"] == 1.0
        assert scores["absent"] == {"why": "not measured"}


def test_grad_cam_is_its_formula_and_leaves_the_model_alone(scorer, swaps):
    pytest.importorskip("pytorch_grad_cam", reason="the optional library grad-cam is not there")
    crops = [cv2.resize(swap.crop_rgb, (64, 64)) for swap in swaps[:5]]
    model = scorer.model
    backbone = model.backbone
    before = scorer.logit_differences(crops)
    found = grad_cam_of(scorer, batch_size=2)(crops)
    assert model.backbone is backbone
    assert all(parameter.grad is None for parameter in model.parameters())
    assert np.array_equal(scorer.logit_differences(crops), before)
    assert found.shape == (5, SIDE, SIDE)

    # arXiv 1610.02391: ReLU of the maps weighted by the mean gradient of the logit.
    pixel_values = scorer.processor.pixel_values(crops)
    with torch.no_grad():
        features = backbone.forward_features(pixel_values)
    features.requires_grad_(True)

    class Given(torch.nn.Module):
        def forward_features(self, _):
            return features

    model.backbone = Given()
    try:
        model(pixel_values).logits[:, 1].sum().backward()
    finally:
        model.backbone = backbone
        model.zero_grad(set_to_none=True)
    weights = features.grad.mean(dim=(2, 3), keepdim=True)
    expected = torch.relu((weights * features).sum(dim=1)).detach().numpy()
    for map_, own in zip(found, expected, strict=True):
        assert map_.max() <= 1
        if own.max() == 0:
            assert map_.max() == 0
            continue
        # The peak cell is the same one, whatever interpolation lies between.
        y, x = np.unravel_index(map_.argmax(), map_.shape)
        cell = (y * own.shape[0] // SIDE, x * own.shape[1] // SIDE)
        assert own[cell] == pytest.approx(own.max(), rel=1e-3)


def test_without_the_library_there_is_no_grad_cam(scorer, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    assert grad_cam_of(scorer) is None


def test_the_detectors_maps_are_those_it_serves(scorer, swaps):
    crops = [cv2.resize(swap.crop_rgb, (64, 64)) for swap in swaps[:3]]
    maps = anchor_heatmaps_of(scorer)(crops)
    with torch.inference_mode():
        output = scorer.model(scorer.processor.pixel_values(crops))
        served = scorer.model.artifact_heatmaps(output, SIDE).numpy()
    assert np.allclose(maps, served, atol=1e-5)


def test_centre_and_stretch():
    centre = centre_heatmaps([None, None])
    assert centre.shape == (2, SIDE, SIDE)
    assert centre[0].argmax() in [
        y * SIDE + x for y in (SIDE // 2 - 1, SIDE // 2) for x in (SIDE // 2 - 1, SIDE // 2)
    ]
    maps = stretched(np.array([[[0.2, 0.4], [0.3, 0.2]], [[0.7, 0.7], [0.7, 0.7]]]))
    assert np.allclose(maps, [[[0, 1], [0.5, 0]], [[0, 0], [0, 0]]])


def test_separation_by_hand():
    assert separation(np.array([3.0, 1.0]), np.array([2.0, 0.0])) == 0.75
