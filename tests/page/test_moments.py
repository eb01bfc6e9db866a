"""caddm_hf.page.moments: what the page's script gets of each frame."""

import base64
from dataclasses import replace

import cv2
import numpy as np
import pytest

from caddm_hf.page import moments as page_moments
from caddm_hf.page.moments import heat_layer, layer_uri, moments_of
from caddm_hf.report.figures import overlay_heatmap
from support.made_reports import made_face, made_person, made_report

FORGED = [(0.0, 0.7), (1.0, 0.9), (2.5, 0.8), (3.0, 0.7), (4.0, 0.7), (5.0, 0.7)]


def test_moments_come_in_order_with_everybody_in_them():
    report = made_report([made_person(1, FORGED), made_person(2, FORGED[1:])])
    told = moments_of(report)
    assert [moment["time_s"] for moment in told["moments"]] == [0.0, 1.0, 2.5, 3.0, 4.0, 5.0]
    assert [[face["person"] for face in moment["faces"]] for moment in told["moments"]] == [
        [1],
        *[[2, 1]] * 5,
    ]
    assert told["first"] == 1
    face = told["moments"][1]["faces"][0]
    assert (face["percent"], face["box_xyxy"]) == ("90%", [10.0, 10.0, 130.0, 130.0])
    assert face["marks"] == [[0.25, 0.5, 0.75, 1.0]]
    assert face["crop"].startswith("data:image/jpeg;base64,")


def test_the_matrix_leads_from_the_crop_to_the_frame():
    person = made_person(1, FORGED[:1])
    # Crop pixels are half the frame's, with the frame's (40, 20) at their origin.
    turned = np.array([[0.5, 0.0, -20.0], [0.0, 0.5, -10.0]])
    face = replace(person.faces[0], alignment=turned)
    report = made_report([replace(person, faces=[face])])
    a, b, c, d, e, f = moments_of(report)["moments"][0]["faces"][0]["matrix"]
    x, y = 8, 6  # of the crop
    assert (a * x + c * y + e, b * x + d * y + f) == pytest.approx((56, 32))


def test_only_the_most_suspicious_faces_have_pictures(monkeypatch):
    monkeypatch.setattr(page_moments, "MOST_PICTURES", 1)
    moments = moments_of(made_report([made_person(1, FORGED)]))["moments"]
    pictured = [moment["faces"][0]["heat"] is not None for moment in moments]
    assert pictured == [False, True, False, False, False, False]


def test_a_report_without_pictures_has_boxes_alone():
    bare = replace(made_face(0.0, 0.9), pictures=None)
    person = replace(made_person(1, FORGED[:1]), faces=[bare])
    (face,) = moments_of(made_report([person]))["moments"][0]["faces"]
    assert face["crop"] is face["heat"] is face["matrix"] is None
    assert face["box_xyxy"]


def test_nobody_gives_no_moments():
    assert moments_of(made_report([])) == {"first": 0, "moments": []}


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_layer_laid_over_the_crop_is_the_overlay(strength):
    rng = np.random.default_rng(0)
    crop_rgb = rng.integers(0, 256, (56, 56, 3), np.uint8)
    heatmap = np.linspace(0, 1, 56 * 56, dtype=np.float32).reshape(56, 56)
    layer = heat_layer(heatmap).astype(float)
    cover = strength * layer[..., 3:] / 255
    laid = cover * layer[..., :3] + (1 - cover) * crop_rgb
    assert np.abs(laid - overlay_heatmap(crop_rgb, heatmap, strength)).max() < 2


def test_a_layer_keeps_its_transparency_in_the_address():
    layer = np.zeros((56, 56, 4), np.uint8)
    layer[:, 28:] = (250, 200, 50, 200)
    address = layer_uri(layer)
    data = base64.b64decode(address.removeprefix("data:image/webp;base64,"))
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read.shape == (56, 56, 4)
    assert read[:, :20, 3].max() <= 4
    assert read[:, 40:, 3].min() >= 190
