"""Who may not be judged has no number anywhere; bystanders never make a video fake."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from caddm_hf.page.moments import moments_of
from caddm_hf.page.result import report_html
from caddm_hf.report.drawing import draw_people
from caddm_hf.report.evidence_page import evidence_html
from caddm_hf.report.files import read_report, report_bytes
from caddm_hf.report.gallery import NO_PLACE, suspicious_face_pictures
from caddm_hf.report.leaning import Help, Leaning
from caddm_hf.report.passages import Passage, judge_passages
from caddm_hf.report.rejudging import judged_people, main_person_only, rejudge
from caddm_hf.report.verdicts import Reason, Thresholds, Verdict
from support.made_reports import THRESHOLDS, made_person, made_report

STEADY = [(float(t), 0.1) for t in range(8)]
FORGED = [(float(t), 0.97) for t in range(8)]
PERCENT = re.compile(r"\\d+%|fake:")


def bystander(number: int = 2):
    return replace(made_person(number, FORGED), main=False)


def test_a_bystander_never_makes_a_video_fake():
    report = made_report([made_person(1, STEADY), bystander()])
    assert (report.verdict, report.reason) == (Verdict.CANNOT_TELL, Reason.LOOK_AT_PERSON)
    assert report.explanation.startswith("Look at person 2 between 0.0 s and 7.0 s")
    assert report.fake_probability == pytest.approx(0.1)  # the main person's
    assert [person.id for person in report.people] == [1, 2]
    assert report.people[1].verdict is Verdict.CANNOT_TELL
    assert main_person_only(report).verdict is Verdict.REAL


def test_a_bystander_does_not_hide_a_forged_main_person():
    report = made_report([bystander(), made_person(1, [(float(t), 0.7) for t in range(8)])])
    assert report.verdict is Verdict.FAKE
    assert report.fake_probability == pytest.approx(0.7)


def test_a_bystander_comes_back_and_is_judged_again(tmp_path):
    report = made_report([made_person(1, STEADY), bystander()])
    (tmp_path / "report.json").write_bytes(report_bytes(report))
    again = read_report(tmp_path / "report.json")
    assert again == report
    assert rejudge(again, Thresholds(0.4, 0.99)).verdict is Verdict.REAL


@pytest.fixture
def unjudged():
    return made_report([made_person(1, [(0.0, 0.97), (1.0, 0.98)])])


def test_who_is_not_judged_has_no_number_in_json(unjudged):
    (person,) = json.loads(report_bytes(unjudged))["people"]
    assert person["fake_probability"] is None
    for frame in person["frames"]:
        assert frame["fake_probability"] is frame["uncalibrated_probability"] is None
        assert frame["artifact_boxes"] == []


def test_who_is_not_judged_has_no_number_on_page_player_gallery_and_evidence(unjudged):
    for html in (report_html(unjudged), evidence_html(unjudged)):
        people = html[html.index("Person 1") :]
        assert "97%" not in people
        assert "98%" not in people
        assert "Probability of fake" not in html
        assert "<svg" not in html
    for moment in moments_of(unjudged)["moments"]:
        assert [face["percent"] for face in moment["faces"]] == [None]
        assert [face["marks"] for face in moment["faces"]] == [[]]
    (shown,) = suspicious_face_pictures(unjudged)
    assert "not judged" in shown.caption
    assert not PERCENT.search(shown.caption)
    assert np.array_equal(shown.overlay_rgb, shown.crop_rgb)


def test_who_is_not_judged_has_no_number_on_the_annotated_video(unjudged):
    frame = np.zeros((240, 320, 3), np.uint8)
    drawn = draw_people(frame, unjudged, 0.0)
    judged = draw_people(frame, made_report([made_person(1, FORGED)]), 0.0)
    # One line of text instead of two.
    assert (drawn != 0).any(axis=(1, 2)).sum() < (judged != 0).any(axis=(1, 2)).sum()


def test_numbers_of_an_older_report_are_left_out_when_it_is_read(tmp_path, unjudged):
    content = json.loads(report_bytes(unjudged))
    for frame in content["people"][0]["frames"]:
        frame["fake_probability"] = frame["uncalibrated_probability"] = 0.97
    (tmp_path / "report.json").write_text(json.dumps(content))
    assert read_report(tmp_path / "report.json").people[0].scored_faces == []


def with_passage(probability: float):
    passage = Passage(2.0, 6.0, probability, 17)
    person = made_person(1, STEADY)
    judgement = judge_passages(person.judgement, [passage], THRESHOLDS)
    return made_report([replace(person, passages=[passage], **vars(judgement))])


def test_a_passage_is_carried_by_report_page_and_evidence(tmp_path):
    report = with_passage(0.55)
    assert (report.verdict, report.reason) == (Verdict.CANNOT_TELL, Reason.PASSAGE)
    (tmp_path / "report.json").write_bytes(report_bytes(report))
    assert read_report(tmp_path / "report.json") == report
    page = report_html(report)
    assert 'data-time="2.000"' in page
    assert "2.0 s to 6.0 s</button>" in page
    assert "Stands out: 2.0 s to 6.0 s (55%)" in evidence_html(report)
    assert 'class="passage"' in page
    assert rejudge(report, THRESHOLDS) == report


def test_a_video_can_be_fake_by_a_passage(tmp_path):
    report = with_passage(0.95)
    assert report.verdict is Verdict.FAKE
    (tmp_path / "report.json").write_bytes(report_bytes(report))
    assert read_report(tmp_path / "report.json").verdict is Verdict.FAKE
    assert "looks forged from 2.0 s to 6.0 s" in report_html(report)
    assert rejudge(report, Thresholds(0.4, 0.99)).reason is Reason.PASSAGE


def test_leaning_and_advice_are_told_on_page_and_evidence():
    report = made_report([made_person(1, [(float(t), 0.58) for t in range(8)])])
    assert report.leans_towards is Leaning.FAKE
    assert report.would_help == [Help.LONGER, Help.LARGER]
    for html in (report_html(report), evidence_html(report)):
        assert "The score leans towards fake." in html
        assert "What may help: a longer copy" in html
    assert report.to_dict()["leans_towards"] == "fake"


def test_a_faint_heatmap_says_that_no_place_stands_out():
    report = replace(made_report([made_person(1, FORGED)]), least_heatmap_peak=0.99)
    (shown, *_) = suspicious_face_pictures(report)
    assert NO_PLACE in shown.caption.lower()
    assert NO_PLACE in shown.overlay_alt
    assert NO_PLACE in report_html(report).lower()
    assert NO_PLACE not in report_html(replace(report, least_heatmap_peak=0.3)).lower().replace(
        "while no place", ""
    )


def test_people_are_ordered_main_first():
    people = [made_person(3, FORGED[:2]), bystander(2), made_person(1, STEADY)]
    ordered, _ = judged_people(people, THRESHOLDS, 32)
    assert [person.id for person in ordered] == [1, 2, 3]
