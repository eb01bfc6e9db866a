"""caddm_hf.report.figures: pictures on a fixed scale, a plot whose points are where they belong."""

import base64
import io
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from caddm_hf.core.formats import show_percent, show_time
from caddm_hf.model.heatmaps import ArtifactBox
from caddm_hf.report.figures import (
    BOX_COLOUR_RGB,
    data_uri,
    draw_artifact_boxes,
    heatmap_legend,
    overlay_heatmap,
)
from caddm_hf.report.gallery import most_suspicious_faces
from caddm_hf.report.score_plot import score_plot_svg
from support.made_reports import THRESHOLDS, made_person, made_report

SVG = "{http://www.w3.org/2000/svg}"


def portrait(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def test_where_nothing_is_seen_the_face_stays_as_it_is():
    crop = portrait()
    assert np.array_equal(overlay_heatmap(crop, np.zeros((64, 64), np.float16)), crop)


def test_a_value_has_the_same_colour_whatever_surrounds_it():
    grey = np.full((64, 64, 3), 128, np.uint8)
    weak = np.full((64, 64), 0.2, np.float16)
    beside_strong = weak.copy()
    beside_strong[:, 32:] = 1
    alone, together = overlay_heatmap(grey, weak), overlay_heatmap(grey, beside_strong)
    assert np.array_equal(alone[:, :32], together[:, :32])
    assert not np.array_equal(together[0, 0], together[0, 63])


def test_the_legend_shows_the_overlay_on_grey():
    legend = heatmap_legend((4, 101))
    for column, value in ((0, 0.0), (50, 0.5), (100, 1.0)):
        expected = overlay_heatmap(
            np.full((1, 1, 3), 128, np.uint8), np.full((1, 1), value, np.float32)
        )
        assert np.array_equal(legend[0, column], expected[0, 0])
    # Farther from the bare face with every tenth.
    change = np.abs(legend[0, ::10].astype(int) - 128).sum(axis=1)
    assert (np.diff(change) > 0).all()


def test_values_outside_the_scale_are_cut():
    crop = portrait()
    wild = np.where(np.arange(64) < 32, -3.0, 7.0) * np.ones((64, 64))
    assert np.array_equal(overlay_heatmap(crop, wild), overlay_heatmap(crop, np.clip(wild, 0, 1)))


def test_boxes_are_drawn_where_they_are():
    crop = np.full((224, 224, 3), 90, np.uint8)
    drawn = draw_artifact_boxes(crop, [ArtifactBox((0.25, 0.5, 0.75, 1.0), 0.87)], 336)
    assert drawn.shape == (336, 336, 3)
    assert (crop == 90).all()
    is_line = (drawn == BOX_COLOUR_RGB).all(axis=2)
    rows, columns = np.nonzero(is_line)
    assert abs(columns.min() - 0.25 * 335) <= 2
    assert abs(columns.max() - 0.75 * 335) <= 2
    assert abs(rows.min() - 0.5 * 335) <= 2
    assert (drawn[:160] == 90).all()  # nothing above the box


def test_without_boxes_the_face_is_only_enlarged():
    assert (draw_artifact_boxes(np.full((100, 100, 3), 7, np.uint8), []) == 7).all()


def test_data_uri_is_a_jpeg_of_the_picture():
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 200
    head, data = data_uri(red).split(",")
    assert head == "data:image/jpeg;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.format == "JPEG"
    assert picture.size == (30, 20)
    assert np.abs(np.asarray(picture).astype(int) - red).max() < 12


def plot(scores, duration_s=10.0, size_px=(720, 190)):
    person = made_person(3, scores)
    return ElementTree.fromstring(
        score_plot_svg(person, THRESHOLDS, duration_s, size_px).replace(
            "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1
        )
    )


def points_of(svg) -> list[tuple[float, float]]:
    """(x, y) of each moment's dot: the filled disc with a rim."""
    return [
        (float(circle.get("cx")), float(circle.get("cy")))
        for group in svg.iter(f"{SVG}g")
        for circle in group.iter(f"{SVG}circle")
        if circle.get("r") == "4"
    ]


def test_plot_places_each_score_in_time_and_height():
    svg = plot([(0.0, 0.0), (2.5, 0.4), (5.0, 0.6), (7.5, 1.0), (10.0, 0.5)])
    (x0, y0), (x1, y_real), (x2, y_fake), (x3, y1), (x4, y_middle) = points_of(svg)
    assert np.allclose(np.diff([x0, x1, x2, x3, x4]), (x4 - x0) / 4, atol=0.2)
    assert 0 < y1 < y_fake < y_middle < y_real < y0 < 190
    dashed = [line for line in svg.iter(f"{SVG}line") if line.get("stroke-dasharray")]
    assert [float(line.get("y1")) for line in dashed] == [y_fake, y_real]
    labels = [text.text for text in svg.iter(f"{SVG}text")]
    assert {"fake above 60%", "real below 40%", "0%", "100%", "0 s", "10 s"} <= set(labels)


def test_plot_names_the_moments_and_the_worst():
    svg = plot([(0.0, 0.1), (1.0, 0.7), (2.0, 0.5), (3.0, 0.2), (4.0, 0.3)])
    moments = [group for group in svg.iter(f"{SVG}g") if group.get("class") == "moment"]
    assert [moment.get("data-time") for moment in moments] == [
        "0.000",
        "1.000",
        "2.000",
        "3.000",
        "4.000",
    ]
    assert [moment.find(f"{SVG}title").text for moment in moments][1] == "1.0 s: 70%"
    ringed = [len(moment.findall(f"{SVG}circle")) == 3 for moment in moments]
    assert ringed == [False, True, False, False, False]
    assert "highest at 1.0 s" in svg.get("aria-label")
    colours = [moment.findall(f"{SVG}circle")[-2].get("fill") for moment in moments]
    assert "verdict-real" in colours[0]
    assert "verdict-fake" in colours[1]
    assert "verdict-undecided" in colours[2]


def test_plot_breaks_where_the_person_was_away():
    svg = plot([(t, 0.5) for t in (0.0, 1.0, 2.0, 7.0, 8.0)])
    lines = [line.get("points").split() for line in svg.iter(f"{SVG}polyline")]
    assert [len(line) for line in lines] == [3, 2]


def test_plot_of_one_moment_and_of_a_face_past_the_end():
    assert len(points_of(plot([(0.0, 0.5)], duration_s=0.04))) == 1
    ((x, _),) = points_of(plot([(12.0, 0.5)], duration_s=10.0))
    assert x < 720


@pytest.mark.parametrize("duration_s", [0.04, 0.7, 9, 61, 600, 7200])
def test_plot_has_ticks_that_fit(duration_s):
    svg = plot([(duration_s * part / 4, 0.5) for part in range(5)], duration_s, (300, 150))
    ticks = [float(text.get("x")) for text in svg.iter(f"{SVG}text") if float(text.get("y")) > 135]
    assert 1 <= len(ticks) <= 6
    assert all(later - earlier > 30 for earlier, later in pairwise(ticks))
    assert max(ticks) <= 300


def test_most_suspicious_faces_are_sorted_spread_and_judged():
    everywhere = made_person(1, [(t / 10, 0.5 + t / 1000) for t in range(100)])
    short = made_person(2, [(1.0, 0.99), (1.1, 0.99)])  # too few frames for a verdict
    chosen = most_suspicious_faces(made_report([everywhere, short]), at_most=4)
    assert [face.person_id for face in chosen] == [1, 1, 1, 1]
    assert [face.face.time_s for face in chosen] == pytest.approx([9.9, 9.4, 8.9, 8.4])
    assert len(most_suspicious_faces(made_report([short]))) == 1
    assert most_suspicious_faces(made_report([])) == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0.0 s"), (4.23, "4.2 s"), (59.96, "1:00.0"), (187.4, "3:07.4"), (3727.9, "1:02:07")],
)
def test_show_time(seconds, shown):
    assert show_time(seconds) == shown


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0.0, "under 1%"), (0.01, "1%"), (0.336, "34%"), (0.99, "99%"), (1.0, "over 99%")],
)
def test_show_percent_never_claims_certainty(probability, shown):
    assert show_percent(probability) == shown
