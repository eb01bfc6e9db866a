"""caddm_hf.report.drawing: where a face is between sampled frames, and what is drawn there."""

from dataclasses import replace

import numpy as np
import pytest

from caddm_hf.report.drawing import COLOURS_RGB, draw_people, place_face
from caddm_hf.report.verdicts import Judgement, Verdict
from support.made_evidence import face_at
from support.made_reports import judged_person, made_report

SIZE_HW = (240, 320)
GREY = 120


def test_between_near_frames_box_and_heat_are_interpolated():
    person = judged_person(
        1, Judgement(Verdict.REAL, None, None, None), [face_at(1, 40, 0.2), face_at(2, 60, 0.6)]
    )
    placed = place_face(person, 1.25)
    assert placed.box_xyxy.tolist() == [45, 130, 105, 190]
    assert placed.heatmap.mean() == pytest.approx(0.3, abs=1e-3)
    assert (placed.to_frame @ (0, 0, 1)).tolist() == pytest.approx([45, 130])
    assert placed.nearest.time_s == 1
    assert place_face(person, 1.75).nearest.time_s == 2
    assert place_face(person, 1.0).box_xyxy.tolist() == [40, 130, 100, 190]
    assert place_face(person, 2.0).heatmap.mean() == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize(
    "later", [face_at(2.0, 240), face_at(4.0, 42)], ids=["elsewhere", "long after"]
)
def test_across_a_cut_or_a_long_gap_faces_are_held_for_a_moment_only(later):
    person = judged_person(1, Judgement(Verdict.REAL, None, None, None), [face_at(1.0, 40), later])
    assert place_face(person, 1.3).box_xyxy[0] == 40
    assert place_face(person, 1.5) is None
    assert place_face(person, later.time_s - 0.3).box_xyxy[0] == later.box_xyxy[0]
    assert place_face(person, 0.7).box_xyxy[0] == 40
    assert place_face(person, 0.5) is None
    assert place_face(person, later.time_s + 0.5) is None


def test_without_a_heatmap_only_the_box_is_drawn():
    bare = replace(face_at(0.0, 40), pictures=None)
    old = replace(face_at(0.0, 40), alignment=None)
    flat = replace(face_at(0.0, 40), alignment=np.zeros((2, 3)))
    grey = np.full((*SIZE_HW, 3), GREY, np.uint8)
    for face in (bare, old, flat):
        person = judged_person(1, Judgement(Verdict.FAKE, None, None, 0.9), [face])
        drawn = draw_people(grey, made_report([person]), 0.0)
        assert tuple(drawn[160, 70]) == (GREY,) * 3
        assert tuple(drawn[160, 40]) == COLOURS_RGB[Verdict.FAKE]
    assert (grey == GREY).all()


@pytest.mark.parametrize(
    "face",
    [
        replace(face_at(0.0, 40), box_xyxy=(-1e7, -1e7, 1e7, 1e7)),
        replace(face_at(0.0, 40), box_xyxy=(1e7, 1e7, -1e7, -1e7)),
        replace(face_at(0.0, 40), alignment=np.array([[1e-4, 0, 0], [0, 1e-4, 0]])),
        replace(face_at(0.0, 40), alignment=np.array([[1e7, 0, 1e7], [0, 1e7, -1e7]])),
        face_at(0.0, -5000),
    ],
    ids=["huge", "inside out", "crop as large as a town", "crop of nothing", "outside"],
)
def test_absurd_places_of_a_report_file_do_no_harm(face):
    person = judged_person(10**6, Judgement(Verdict.FAKE, None, None, 0.9), [face])
    for size_hw in (SIZE_HW, (2, 2)):
        frame = np.full((*size_hw, 3), GREY, np.uint8)
        assert draw_people(frame, made_report([person]), 0.0).shape == frame.shape
