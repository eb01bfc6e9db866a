"""caddm_hf.report.gallery: each face three ways, with words for each."""

from dataclasses import replace

import numpy as np
import pytest

from caddm_hf.model.heatmaps import ArtifactBox
from caddm_hf.report.face_pictures import FacePictures
from caddm_hf.report.figures import draw_artifact_boxes, overlay_heatmap
from caddm_hf.report.gallery import SuspiciousFace, face_pictures, suspicious_face_pictures
from support.made_evidence import evidence_report
from support.made_reports import made_face, made_person, made_report


def test_the_highest_scores_come_first():
    report = evidence_report()
    faces = suspicious_face_pictures(report, at_most=4)
    assert len(faces) == 4
    scores = [face.face.fake_probability for face in faces]
    assert scores == sorted(scores, reverse=True)
    assert faces[0].face is report.people[0].most_suspicious


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_a_face_is_shown_plain_under_heat_and_with_boxes(strength):
    face = suspicious_face_pictures(evidence_report(), strength)[0]
    score = face.face
    assert np.array_equal(face.crop_rgb, score.crop_rgb)
    heat = overlay_heatmap(score.crop_rgb, score.heatmap, strength)
    assert np.array_equal(face.overlay_rgb, heat)
    assert np.array_equal(face.overlay_rgb, score.crop_rgb) == (strength == 0)
    boxed = draw_artifact_boxes(score.crop_rgb, score.artifact_boxes)
    assert np.array_equal(face.boxed_rgb, boxed)


def test_half_the_strength_is_half_the_change():
    crop = np.full((8, 8, 3), 100, np.uint8)
    heat = np.full((8, 8), 0.8, np.float16)
    full, half = (overlay_heatmap(crop, heat, strength).astype(int) - 100 for strength in (1, 0.5))
    assert np.abs(full).min() > 10
    assert np.abs(2 * half - full).max() <= 2


def test_words_say_what_the_pictures_show():
    heatmap = np.zeros((64, 64), np.float16)
    heatmap[50, 5] = 0.75
    boxes = [ArtifactBox((0, 0, 1, 1), 0.6), ArtifactBox((0, 0, 0.5, 0.5), 0.8)]
    face = replace(
        made_face(2.5, 0.9),
        pictures=FacePictures(np.full((64, 64, 3), 128, np.uint8), heatmap),
        artifact_boxes=boxes,
    )
    report = made_report([replace(made_person(7, [(0.0, 0.1)]), faces=[face])])
    pictures = face_pictures(report, SuspiciousFace(7, face))
    assert pictures.caption == (
        "Person 7 at 2.5 s: 90% fake. Strongest trace on the heatmap: 0.75; 2 places boxed."
    )
    assert pictures.crop_alt == "Face of person 7 at 2.5 s"
    assert pictures.overlay_alt == (
        "The same face under its heatmap: highest, 0.75 of 1, in the lower left part"
    )
    assert pictures.boxed_alt == "The same face with 2 places boxed"
    still = face_pictures(replace(report, duration_s=0, kind="picture"), SuspiciousFace(7, face))
    assert still.crop_alt == "Face of person 7"
    bare = replace(face, artifact_boxes=[])
    assert "no place boxed" in face_pictures(report, SuspiciousFace(7, bare)).boxed_alt


def test_faces_without_pictures_are_left_out_and_refused():
    report = evidence_report()
    bare = replace(report.people[0].most_suspicious, pictures=None)
    without = replace(report.people[0], faces=[bare])
    assert suspicious_face_pictures(replace(report, people=[without])) == []
    with pytest.raises(ValueError, match="no pictures"):
        face_pictures(report, SuspiciousFace(1, bare))
