"""caddm_hf.report: fields, face_pictures, schema, files: what is written comes back the same."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caddm_hf.report import files as report_files
from caddm_hf.report.evidence_page import evidence_html
from caddm_hf.report.face_pictures import png_base64
from caddm_hf.report.files import ReportError, read_report, report_bytes
from caddm_hf.report.gallery import most_suspicious_faces
from caddm_hf.report.rejudging import rejudge
from caddm_hf.report.schema import report_json_schema
from caddm_hf.report.verdicts import Judgement, LogitScaling, Reason, Thresholds, Verdict
from support.made_evidence import HOSTILE, evidence_report, textured_person
from support.made_reports import judged_person, made_face, made_person, made_report

DOCS = Path(__file__).resolve().parents[2] / "docs"


def reread(report, tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_bytes(report_bytes(report))
    return read_report(path)


@pytest.fixture
def content() -> dict:
    """A report file's content, to be spoilt."""
    return json.loads(report_bytes(evidence_report()))


# --- the same again -----------------------------------------------------------------------------


def test_every_number_comes_back_exactly(tmp_path):
    report = evidence_report()
    again = reread(report, tmp_path)
    assert again == report
    for person, known in zip(again.people, report.people, strict=True):
        for face, original in zip(person.faces, known.faces, strict=True):
            assert np.array_equal(face.alignment, original.alignment)
            assert face.artifact_boxes == original.artifact_boxes
    assert again.to_dict() == report.to_dict()


def test_what_is_shown_first_has_its_pictures_without_loss(tmp_path):
    report = evidence_report()
    again = reread(report, tmp_path)
    shown = [(p.id, p.most_suspicious) for p in again.people]
    shown += [(found.person_id, found.face) for found in most_suspicious_faces(again, 12)]
    originals = {(p.id, f.frame_index): f for p in report.people for f in p.faces}
    for person_id, face in shown:
        original = originals[person_id, face.frame_index]
        assert np.array_equal(face.crop_rgb, original.crop_rgb)
        assert face.heatmap.dtype == np.float16
        assert np.array_equal(face.heatmap, original.heatmap)
    kept = sum(face.has_pictures for person in again.people for face in person.faces)
    assert 12 <= kept < sum(len(person.faces) for person in report.people)


def test_the_evidence_page_of_a_reread_report_is_the_same_page(tmp_path):
    report = evidence_report(HOSTILE)
    assert evidence_html(reread(report, tmp_path)) == evidence_html(report)


def test_writing_again_gives_the_same_file(tmp_path):
    data = report_bytes(evidence_report())
    assert report_bytes(reread(evidence_report(), tmp_path)) == data


@pytest.mark.parametrize(
    "report",
    [
        made_report([]),
        made_report([made_person(1, [(0.0, 0.9)])], duration_s=0, kind="picture"),
        made_report([made_person(1, [(float(t), 0.5) for t in range(8)])]),
        made_report([made_person(1, [(float(t), 0.9) for t in range(8)], size_px=20)]),
    ],
    ids=["no face", "picture", "undecided", "too small"],
)
def test_every_kind_of_result_comes_back(report, tmp_path):
    assert reread(report, tmp_path) == report


def test_extreme_values_come_back(tmp_path):
    person = made_person(
        1, [(float(t), value) for t, value in enumerate((0, 1, 1e-300, 0.1 + 0.2, 0.5))]
    )
    report = made_report([replace(person, faces=person.faces)], duration_s=1 / 3)
    again = reread(report, tmp_path)
    assert [f.fake_probability for f in again.people[0].faces] == [0, 1, 1e-300, 0.1 + 0.2, 0.5]
    assert again.duration_s == 1 / 3


def test_a_bias_comes_back_and_judges_again(tmp_path):
    """What was read says at other thresholds what the original says, and not what no bias would."""
    person = made_person(1, [(float(t), 0.5) for t in range(8)])
    person = replace(person, fake_probability=LogitScaling(2.0, 1.5).calibrated(0.5))
    report = replace(
        made_report([person]),
        calibration_temperature=2.0,
        calibration_bias=1.5,
    )
    report = rejudge(report, report.thresholds)
    again = reread(report, tmp_path)
    assert again == report
    assert (again.calibration_temperature, again.calibration_bias) == (2.0, 1.5)
    seen = rejudge(again, Thresholds(0.3, 0.65))
    assert seen.judgement.verdict is Verdict.FAKE
    assert seen.judgement.fake_probability == pytest.approx(1 / (1 + math.exp(-1.5 / 2)))


def test_a_report_of_before_the_bias_is_read_as_0(tmp_path):
    content = json.loads(report_bytes(evidence_report()))
    assert content.pop("calibration_bias") == -0.4
    path = tmp_path / "before.json"
    path.write_text(json.dumps(content))
    report = read_report(path)
    assert (report.calibration_temperature, report.calibration_bias) == (1.7, 0)


def test_a_video_without_times_stays_a_video(tmp_path):
    report = made_report([made_person(1, [(float(t), 0.5) for t in range(8)])], duration_s=0)
    assert reread(report, tmp_path).kind == "video"


@pytest.mark.parametrize(("duration_s", "kind"), [(0, "picture"), (10.0, "video")])
def test_a_report_of_before_the_kind_is_read_by_its_duration(duration_s, kind, tmp_path):
    content = json.loads(report_bytes(made_report([], duration_s, kind)))
    assert content.pop("kind") == kind
    path = tmp_path / "before.json"
    path.write_text(json.dumps(content))
    assert read_report(path) == made_report([], duration_s, kind)


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    again = reread(replace(made_report([]), video="a\udcffb \U0001f600.mp4"), tmp_path)
    assert again.video == "a?b \U0001f600.mp4"


def test_a_file_has_few_pictures_however_many_people_there_are(tmp_path):
    rng = np.random.default_rng(0)
    people = [textured_person(n, [(0.0, 0.9), (9.0, 0.8)], rng) for n in range(1, 60)]
    again = reread(made_report(people), tmp_path)
    kept = sum(face.has_pictures for person in again.people for face in person.faces)
    assert 24 <= kept <= 36


def test_pictures_stop_where_the_file_would_grow_too_large(tmp_path, monkeypatch):
    one = len(png_base64(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)))
    monkeypatch.setattr(report_files, "MAX_PICTURE_BYTES", 5 * one)
    again = reread(evidence_report(), tmp_path)
    kept = sum(face.has_pictures for person in again.people for face in person.faces)
    assert 1 <= kept <= 4


def test_too_many_faces_for_a_file_are_told(monkeypatch):
    monkeypatch.setattr(report_files, "MAX_REPORT_BYTES", 50_000)
    with pytest.raises(ReportError, match="fewer frames"):
        report_bytes(evidence_report())


# --- versions -----------------------------------------------------------------------------------


def test_a_report_of_version_1_is_read(tmp_path):
    """As `score --json` wrote it before reports named their schema."""
    old = {
        "video": "old.mp4",
        "verdict": "fake",
        "reason": None,
        "reason_code": None,
        "fake_probability": 0.6,  # 0.6000001 once, rounded
        "duration_s": 10.0,
        "frames_sampled": 8,
        "model": "some/model",
        "model_revision": None,
        "thresholds": {"real_below": 0.4, "fake_above": 0.6},
        "calibration_temperature": 1.0,
        "warnings": [],
        "people": [
            {
                "id": 1,
                "verdict": "fake",
                "reason": None,
                "reason_code": None,
                "fake_probability": 0.6,
                "frames": [
                    {
                        "frame_index": 25 * t,
                        "time_s": float(t),
                        "box_xyxy": [1, 2, 101.5, 122.5],
                        "face_confidence": 0.99,
                        "fake_probability": 0.6,
                        "uncalibrated_probability": 0.6,
                        "artifact_boxes": [],
                    }
                    for t in range(8)
                ],
            }
        ],
    }
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old))
    report = read_report(path)
    assert report.judgement.verdict is Verdict.FAKE
    assert report.calibration_bias == 0
    assert report.provenance is None
    assert not report.people[0].most_suspicious.has_pictures
    assert "Looks fake" in evidence_html(report)
    assert reread(report, tmp_path) == report


def test_a_line_of_score_json_is_a_report(tmp_path):
    report = evidence_report()
    path = tmp_path / "line.json"
    path.write_text(json.dumps(report.to_dict() | {"error": None}))
    assert read_report(path) == report


# --- the schema ---------------------------------------------------------------------------------


def test_the_schema_document_is_up_to_date():
    assert json.loads((DOCS / "report.schema.json").read_text()) == report_json_schema()


def test_report_files_keep_the_published_schema(content):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(
        json.loads((DOCS / "report.schema.json").read_text())
    )
    validator.check_schema(validator.schema)
    validator.validate(content)
    validator.validate(json.loads(report_bytes(made_report([]))))
    content["people"][0]["frames"][0]["fake_probability"] = 2
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(content)


def test_every_field_is_in_the_document():
    document = (DOCS / "report.md").read_text()
    schema = report_json_schema()
    fields = {name for part in schema["$defs"].values() for name in part.get("properties", {})}
    fields |= set(schema["properties"])
    assert [name for name in sorted(fields) if f"`{name}`" not in document] == []
    for word in [*Verdict, *Reason]:
        assert f"`{word.value}`" in document


def test_the_documents_code_works(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "report.md").read_text(), re.DOTALL)
    report = evidence_report()
    (tmp_path / "report.json").write_bytes(report_bytes(report))
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(block, names)
    assert capsys.readouterr().out == f"fake {report.judgement.fake_probability}\n"
    worst = report.people[0].most_suspicious
    frames = json.loads((tmp_path / "report.json").read_bytes())["people"][0]["frames"]
    written = next(f for f in frames if f["frame_index"] == worst.frame_index)
    assert np.array_equal(names["heatmap"](written["pictures"]), worst.heatmap)


def test_people_who_were_not_judged_come_back(tmp_path):
    unjudged = judged_person(
        1,
        Judgement(Verdict.CANNOT_TELL, Reason.FACES_TOO_SMALL, "The face is too small.", None),
        [made_face(0.0, 0.9, size_px=10)],
    )
    again = reread(made_report([unjudged]), tmp_path)
    assert again.people[0].judgement == unjudged.judgement
