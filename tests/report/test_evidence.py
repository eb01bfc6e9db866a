"""caddm_hf.report.evidence, detector.provenance: one file to hand on, and what it rests on."""

import errno
import hashlib
import json
import re
import zipfile
from dataclasses import replace

import pytest

from caddm_hf.checkpoint.loading import untrained_model
from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.provenance import record_provenance
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.media.limits import MediaError
from caddm_hf.report import evidence
from caddm_hf.report.evidence import evidence_name, write_evidence
from caddm_hf.report.evidence_page import evidence_html
from caddm_hf.report.files import ReportError, read_report, report_bytes
from caddm_hf.report.verdicts import Thresholds
from support.made_evidence import HOSTILE, evidence_report
from support.made_reports import made_report


@pytest.fixture(scope="module")
def detector() -> VideoDetector:
    return VideoDetector.untrained()


def test_the_zip_holds_report_and_page(tmp_path):
    report = evidence_report()
    path = write_evidence(report, tmp_path / "evidence.zip", strength=0.5)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["report.json", "report.html"]
        assert archive.read("report.html").decode() == evidence_html(report, 0.5)
        assert archive.read("report.json") == report_bytes(report)
    assert read_report(path) == report
    assert [entry.name for entry in tmp_path.iterdir()] == ["evidence.zip"]


def test_the_same_result_gives_the_same_file(tmp_path):
    one = write_evidence(evidence_report(), tmp_path / "one.zip").read_bytes()
    assert write_evidence(evidence_report(), tmp_path / "two.zip").read_bytes() == one


def test_a_folder_is_filled_but_never_overwritten(tmp_path):
    path = write_evidence(evidence_report(), tmp_path / "evidence")
    assert sorted(entry.name for entry in path.iterdir()) == ["report.html", "report.json"]
    assert read_report(path / "report.json") == evidence_report()
    with pytest.raises(OSError, match="not empty"):
        write_evidence(made_report([]), path)
    assert read_report(path / "report.json") == evidence_report()
    assert [entry.name for entry in tmp_path.iterdir()] == ["evidence"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_evidence(evidence_report(), tmp_path / "evidence.zip")
    old = path.read_bytes()

    def full_disk(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(evidence.zipfile.ZipFile, "writestr", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_evidence(made_report([]), path)
    monkeypatch.undo()
    broken = replace(evidence_report(), calibration_temperature=float("nan"))
    with pytest.raises(ReportError):
        write_evidence(broken, path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["evidence.zip"]


@pytest.mark.parametrize(
    ("video", "name"),
    [
        ("clip.mp4", "evidence-clip.zip"),
        ("../../etc/passwd", "evidence-passwd.zip"),
        ("C:\\Users\\me\\my clip.mov", "evidence-my-clip.zip"),
        ("https://host/a/b.webm", "evidence-b.zip"),
        ("\U0001f600.mp4", "evidence-report.zip"),
        ("", "evidence-report.zip"),
        ("x" * 300 + ".mp4", f"evidence-{'x' * 60}.zip"),
    ],
)
def test_the_files_name_is_harmless(video, name):
    assert evidence_name(replace(made_report([]), video=video)) == name


def test_no_name_leads_anywhere():
    name = evidence_name(replace(made_report([]), video=HOSTILE))
    assert re.fullmatch(r"evidence-[A-Za-z0-9_-]+\.zip", name)


def test_provenance_says_which_file_and_settings(detector, face_clip, tmp_path):
    report = detector(face_clip, frames=6)
    recorded = record_provenance(report, detector, face_clip, frames=6)
    assert replace(recorded, provenance=None) == report
    found = recorded.provenance
    assert found.file.sha256 == hashlib.sha256(face_clip.read_bytes()).hexdigest()
    assert found.file.bytes == face_clip.stat().st_size
    assert found.model_trained is False
    assert found.model_sha256 is None
    assert found.settings["frames"] == 6
    assert found.settings["least_face_px"] == detector.config.least_face_px
    assert found.settings["limits"]["max_side_px"] == detector.config.limits.max_side_px
    assert {"python", "torch", "av"} <= set(found.versions)
    path = tmp_path / "report.json"
    path.write_bytes(report_bytes(recorded))
    assert read_report(path) == recorded
    assert evidence_html(read_report(path)) == evidence_html(recorded)


def test_a_model_folder_is_known_by_its_weights(face_clip, tmp_path):
    loaded = untrained_model(seed=1)
    loaded.model.save_pretrained(tmp_path)
    loaded.image_processor.save_pretrained(tmp_path)
    config = DetectionConfig(thresholds=Thresholds(0.2, 0.3))
    detector = VideoDetector.from_pretrained(tmp_path, config)
    report = replace(made_report([]), model=detector.name, model_revision=detector.revision)
    recorded = record_provenance(report, detector, face_clip)
    # By its weights, and not by where it lies.
    assert recorded.model == tmp_path.name
    assert str(tmp_path) not in report_bytes(recorded).decode() + evidence_html(recorded)
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert recorded.provenance.model_sha256 == hashlib.sha256(weights).hexdigest()
    assert recorded.provenance.settings["frames"] == config.frames
    assert recorded.provenance.settings["thresholds"] == {"real_below": 0.2, "fake_above": 0.3}
    assert json.loads(report_bytes(recorded))["provenance"]["settings"]["thresholds"]


def test_provenance_of_a_file_that_is_gone_is_refused(detector, tmp_path):
    with pytest.raises(MediaError, match="does not exist"):
        record_provenance(made_report([]), detector, tmp_path / "gone.mp4")
