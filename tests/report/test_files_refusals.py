"""caddm_hf.report.files: a stranger's file is read within its bounds, or refused in a sentence."""

import base64
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caddm_hf.report import files as report_files
from caddm_hf.report.files import MAX_REPORT_BYTES, ReportError, read_report, report_bytes
from support.made_evidence import evidence_report


def refused(content: object, tmp_path: Path) -> str:
    """Why a file with this content cannot be read."""
    path = tmp_path / "report.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(ReportError) as caught:
        read_report(path)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert len(sentence) < 400
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def content() -> dict:
    """A report file's content, to be spoilt."""
    return json.loads(report_bytes(evidence_report()))


def test_a_newer_version_is_refused_by_a_sentence(content, tmp_path):
    said = refused({**content, "schema_version": 3, "verdict": ["new"]}, tmp_path)
    assert "version 3" in said
    assert "newer" in said


def test_a_file_that_could_not_be_read_is_no_report(content, tmp_path):
    said = refused({"video": "x", "people": [], "error": "x is empty.", "verdict": "?"}, tmp_path)
    assert "could not be read" in said


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b"{",
        b"[1, 2]",
        b'"text"',
        b"{}",
        b'{"people": []}',
        b"\xff\xfe\x00",
        b'{"schema": "other", "people": []}',
        b'{"schema": ["caddm-hf/report"]}',
        b"[" * 100_000,
        b'{"people":' * 10_000,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_report_is_refused(data, tmp_path):
    assert "report" in refused(data, tmp_path)


def test_empty_missing_and_large_files_are_refused(tmp_path):
    assert "empty" in refused(b"", tmp_path)
    with pytest.raises(ReportError, match="does not exist"):
        read_report(tmp_path / "nothing.json")
    with pytest.raises(ReportError, match="folder"):
        read_report(tmp_path)
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(MAX_REPORT_BYTES + 1)
    with pytest.raises(ReportError, match="too large"):
        read_report(large)


def test_millions_of_values_are_refused_before_they_are_parsed(content, tmp_path, monkeypatch):
    data = b'{"people": [' + b"[]," * 2_000_000 + b"[]]}"
    monkeypatch.setattr(report_files, "checked_report", lambda *_: pytest.fail("was parsed"))
    assert "more values" in refused(data, tmp_path)


def person(content: dict) -> dict:
    return content["people"][0]


def frame(content: dict) -> dict:
    return content["people"][0]["frames"][0]


SPOILT = {
    "verdict unknown": lambda c: c.update(verdict="guilty"),
    "verdict against its probability": lambda c: (
        c.update(verdict="real"),
        person(c).update(verdict="real"),
    ),
    "verdict of nobody": lambda c: c.update(people=c["people"][1:]),
    "verdict without probability": lambda c: c.update(fake_probability=None),
    "fake with a reason": lambda c: c.update(reason_code="no_face"),
    "cannot tell without one": lambda c: c.update(verdict="cannot_tell"),
    "reason unknown": lambda c: person(c).update(reason_code="boredom"),
    "probability of two": lambda c: frame(c).update(fake_probability=2),
    "probability as text": lambda c: frame(c).update(fake_probability="0.5"),
    "probability as truth": lambda c: frame(c).update(fake_probability=True),
    "negative time": lambda c: frame(c).update(time_s=-1),
    "endless time": lambda c: frame(c).update(time_s=1e300),
    "negative frame": lambda c: frame(c).update(frame_index=-1),
    "frame and a half": lambda c: frame(c).update(frame_index=1.5),
    "huge frame": lambda c: frame(c).update(frame_index=10**400),
    "three corners": lambda c: frame(c).update(box_xyxy=[1, 2, 3]),
    "corner far off": lambda c: frame(c).update(box_xyxy=[1, 2, 3, 1e12]),
    "corner is a list": lambda c: frame(c).update(box_xyxy=[1, 2, 3, []]),
    "flat alignment": lambda c: frame(c).update(alignment=[1, 0, 0, 0, 1, 0]),
    "artifact outside": lambda c: frame(c).update(
        artifact_boxes=[{"box_xyxy": [0, 0, 1, 2], "confidence": 0.5}]
    ),
    "many artifacts": lambda c: frame(c).update(
        artifact_boxes=[{"box_xyxy": [0, 0, 1, 1], "confidence": 0.5}] * 201
    ),
    "no frames": lambda c: person(c).update(frames=[]),
    "many frames": lambda c: person(c).update(frames=[frame(c)] * 5000),
    "frames out of order": lambda c: person(c)["frames"].reverse(),
    "frames twice": lambda c: person(c).update(frames=person(c)["frames"][:1] * 2),
    "people out of order": lambda c: c["people"].reverse(),
    "people of one number": lambda c: c["people"][1].update(id=1),
    "number as text": lambda c: person(c).update(id="1"),
    "people as an object": lambda c: c.update(people={"1": person(c)}),
    "thresholds crossed": lambda c: c.update(thresholds={"real_below": 0.6, "fake_above": 0.4}),
    "no thresholds": lambda c: c.pop("thresholds"),
    "temperature of nought": lambda c: c.update(calibration_temperature=0),
    "bias far off": lambda c: c.update(calibration_bias=-1.1e6),
    "bias as text": lambda c: c.update(calibration_bias="0"),
    "no bias": lambda c: c.update(calibration_bias=None),
    "kind unknown": lambda c: c.update(kind="sound"),
    "no kind": lambda c: c.update(kind=None),
    "a picture that lasts": lambda c: c.update(kind="picture"),
    "name of a million": lambda c: c.update(video="x" * 10**6),
    "many warnings": lambda c: c.update(warnings=["x"] * 101),
    "a long warning": lambda c: c.update(warnings=["x" * 10_000]),
    "hash of another kind": lambda c: c["provenance"]["file"].update(sha256="<b>"),
    "time in words": lambda c: c["provenance"].update(checked_at="<b>yesterday</b>"),
    "settings deep down": lambda c: c["provenance"].update(settings={"a": {"b": {"c": 1}}}),
    "many settings": lambda c: c["provenance"].update(settings={str(n): n for n in range(101)}),
    "version of nought": lambda c: c.update(schema_version=0),
    "version as text": lambda c: c.update(schema_version="2"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_breaks_a_bound_or_a_rule_is_refused(name, content, tmp_path):
    SPOILT[name](content)
    refused(content, tmp_path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number, content, tmp_path):
    for place in (frame(content), content["provenance"]["settings"]):
        whole = place.pop("time_s", None)
        place["time_s"] = "here"
        refused(json.dumps(content).replace('"here"', number).encode(), tmp_path)
        place["time_s"] = whole


def test_a_strangers_text_is_not_repeated_at_length(content, tmp_path):
    person(content)["verdict"] = "<script>" * 100
    assert "<script>" not in refused(content, tmp_path)


def png(pixels: np.ndarray, kind: str = "PNG") -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return base64.b64encode(data.getvalue()).decode()


GREY = np.zeros((64, 64), np.uint16)
COLOUR = np.zeros((64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    "pictures",
    [
        {"crop_png": png(COLOUR)},
        {"crop_png": "!", "heatmap_png": png(GREY)},
        {"crop_png": "AAAA", "heatmap_png": png(GREY)},
        {"crop_png": png(COLOUR)[:60], "heatmap_png": png(GREY)},
        {"crop_png": png(COLOUR, "JPEG"), "heatmap_png": png(GREY)},
        {"crop_png": png(COLOUR[..., 0]), "heatmap_png": png(GREY)},
        {"crop_png": png(COLOUR), "heatmap_png": png(COLOUR)},
        {"crop_png": png(COLOUR), "heatmap_png": png(GREY[:32, :32])},
        {"crop_png": png(COLOUR[:, :32]), "heatmap_png": png(GREY[:, :32])},
        {"crop_png": png(COLOUR), "heatmap_png": png(GREY + 0x3C01)},
        {"crop_png": png(COLOUR), "heatmap_png": png(GREY + 0x7E00)},
    ],
    ids=[
        "one missing",
        "no Base64",
        "no picture",
        "cut off",
        "JPEG",
        "grey crop",
        "coloured heatmap",
        "sizes differ",
        "not square",
        "heat above 1",
        "heat is no number",
    ],
)
def test_pictures_that_are_none_are_refused(pictures, content, tmp_path):
    frame(content)["pictures"] = pictures
    refused(content, tmp_path)


def test_a_picture_of_many_pixels_is_refused_undecoded(content, tmp_path, monkeypatch):
    bomb = png(np.zeros((4000, 4000, 3), np.uint8))
    assert len(bomb) < 2**20
    frame(content)["pictures"] = {"crop_png": bomb, "heatmap_png": png(GREY)}
    whole = Image.Image.__array_interface__.fget
    decoded = property(lambda p: whole(p) if p.width <= 512 else pytest.fail("was decoded"))
    monkeypatch.setattr(Image.Image, "__array_interface__", decoded)
    assert "size" in refused(content, tmp_path)


def test_more_pictures_than_a_report_has_are_refused(content, tmp_path):
    pictures = {"crop_png": png(COLOUR), "heatmap_png": png(GREY)}
    frames = [{**frame(content), "frame_index": n, "pictures": pictures} for n in range(65)]
    person(content)["frames"] = frames
    del content["people"][1:]
    assert "pictures of more than 64 faces" in refused(content, tmp_path)


# --- in an evidence file ------------------------------------------------------------------------


def zipped(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in members.items():
            archive.writestr(name, part)
    return data.getvalue()


def test_the_report_in_an_evidence_file_is_read(tmp_path):
    path = tmp_path / "evidence.zip"
    path.write_bytes(zipped({"report.json": report_bytes(evidence_report())}))
    assert read_report(path) == evidence_report()


def test_zips_that_are_no_evidence_are_refused(tmp_path):
    assert "holds no report.json" in refused(zipped({"other.json": b"{}"}), tmp_path)
    whole = zipped({"report.json": report_bytes(evidence_report())})
    assert "damaged" in refused(whole[:5000], tmp_path)
    spoilt = bytearray(whole)
    spoilt[500:600] = bytes(100)
    assert "damaged" in refused(bytes(spoilt), tmp_path)


def test_a_zip_bomb_is_unpacked_no_further_than_a_report_goes(tmp_path):
    bomb = zipped({"report.json": bytes(MAX_REPORT_BYTES + 10**7)})
    assert len(bomb) < 10**6
    assert "larger than any report" in refused(bomb, tmp_path)
