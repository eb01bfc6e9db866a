"""caddm_hf.report.evidence_page: what it says; it is self-contained and safe to open."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caddm_hf.report import evidence_page
from caddm_hf.report.evidence_page import evidence_html
from caddm_hf.report.words import EVIDENCE_NOT_PROOF, LIMITS, UNTRAINED
from support.browser import chromium, save_screenshot, set_size
from support.made_evidence import HOSTILE, PROVENANCE, SHA256, evidence_report
from support.made_reports import made_person, made_report

SHOTS = Path(__file__).resolve().parents[2] / "test-artifacts"
VOID = {"meta", "img", "br", "link", "input", "hr"}
FORGED = [(float(t), 0.9) for t in range(8)]


class Page(HTMLParser):
    """Tags with their attributes, and the text, of a page; fails where tags do not match."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", self.text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        self.text += " " if tag in ("td", "p") else ""

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_says_what_a_reader_needs():
    page = Page(evidence_html(evidence_report()))
    for words in (
        "Looks fake",
        "most of all in person 1",
        "if fakes are as common as in the calibration of the model",
        "Person 1: Looks fake",
        "Person 2: No sign of forgery found",
        "Person 3: Cannot tell",
        "The face was seen in too few frames: 2, 5 are needed.",
        "In 24 of the 24 frames that count the score of the frame alone is above the threshold",
        "In 0 of the 24 frames",
        "The face is small.",
        EVIDENCE_NOT_PROOF,
        *LIMITS,
        SHA256,
        "123,456 bytes",
        "Checked on 2026-03-04 05:06:07 UTC",
        "some/model",
        "none: not from the Hub",
        "no sign of forgery below 40.00%, fake above 60.00%",
        "temperature 1.7, bias -0.4",
        "python 3.11.9, torch 2.9.0",
        "limits.side 8192",
        "thresholds the model's",
    ):
        assert re.sub(r"\s+", " ", words) in page.text, words


def test_every_scored_frame_has_its_row():
    report = evidence_report()
    html = evidence_html(report)
    rows = re.findall(r"<tr><td>(\d+)</td><td>(\d+)</td>.*?<td class=\"score (\w+)\">", html, re.S)
    assert [(int(person), int(frame)) for person, frame, _ in rows] == [
        (person.id, face.frame_index) for person in report.people for face in person.scored_faces
    ]
    assert {kind for _, _, kind in rows} == {"fake", "real"}


def test_long_tables_and_crowds_are_cut_with_a_word(monkeypatch):
    monkeypatch.setattr(evidence_page, "MOST_ROWS", 10)
    monkeypatch.setattr(evidence_page, "MOST_PEOPLE", 2)
    page = Page(evidence_html(evidence_report()))
    assert "38 more are in report.json." in page.text
    assert "1 more people are in the table below." in page.text
    assert len(page.all("article")) == 2


def test_nothing_is_fetched_and_nothing_runs():
    html = evidence_html(evidence_report(HOSTILE))
    page = Page(html)
    assert not page.all("script") + page.all("link") + page.all("a") + page.all("iframe")
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert "url(" not in html
    assert "http" not in html.replace("http-equiv", "")
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")


def test_every_picture_has_words_in_its_place():
    page = Page(evidence_html(evidence_report()))
    assert all(image["alt"].strip() for image in page.all("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    alts = [image["alt"] for image in page.all("img")]
    assert "Person 1, the most suspicious face" in alts
    assert any(re.fullmatch(r"Face of person 1 at \d+\.\d s", alt) for alt in alts)
    assert any(alt.startswith("The same face under its heatmap: highest, 0.") for alt in alts)


def test_strangers_text_stays_text_and_turns_nothing_around():
    report = evidence_report(
        HOSTILE,
        model=HOSTILE,
        model_revision=HOSTILE,
        provenance=replace(PROVENANCE, settings={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}),
    )
    html = evidence_html(replace(report, warnings=[HOSTILE]))
    page = Page(html)
    shown = re.sub(r"\s+", " ", HOSTILE.replace("\u202e", "\ufffd"))
    # Title, heading, file, model, revision, warning, setting twice, version twice.
    assert page.text.count(shown) == 10
    assert "\u202e" not in html
    assert "x" not in [image["src"] for image in page.all("img")]


def test_an_untrained_model_is_told_first():
    report = evidence_report(provenance=replace(PROVENANCE, model_trained=False))
    page = Page(evidence_html(report))
    assert page.text.index(UNTRAINED) < page.text.index("Looks fake")
    assert "is calibrated" not in page.text


@pytest.mark.parametrize(
    ("temperature", "bias", "words"),
    [
        (1.0, 0.0, "none"),
        (1.0, 0.5, "temperature 1, bias 0.5"),
        (2.0, 0.0, "temperature 2, bias 0"),
    ],
)
def test_only_temperature_1_and_bias_0_are_not_calibrated(temperature, bias, words):
    report = evidence_report(calibration_temperature=temperature, calibration_bias=bias)
    page = Page(evidence_html(report))
    assert f"Calibration{words} " in page.text
    assert ("The model was not calibrated" in page.text) is (words == "none")


def test_the_strength_changes_the_heatmaps_only():
    full, none = (evidence_html(evidence_report(), strength) for strength in (1.0, 0.0))
    assert full != none
    pictures = re.compile(r'src="data:image/jpeg;base64,([^"]*)"')
    assert pictures.sub("", full) == pictures.sub("", none)
    triples = [pictures.findall(html)[-3:] for html in (full, none)]
    (crop, overlay, boxed), (same_crop, plain, same_boxed) = triples
    assert (crop, boxed) == (same_crop, same_boxed)
    assert plain == crop
    assert overlay != crop
    assert Image.open(io.BytesIO(base64.b64decode(overlay))).size == (64, 64)


def test_a_picture_has_no_plot_and_no_length():
    page = Page(
        evidence_html(made_report([made_person(1, [(0.0, 0.9)])], duration_s=0, kind="picture"))
    )
    assert not page.all("svg")
    assert "in this picture" in page.text
    assert "Length" not in page.text


def test_no_face_and_no_provenance_still_make_a_page():
    page = Page(evidence_html(made_report([])))
    assert "No face was found in the 32 frames looked at." in page.text
    assert "Checked on" not in page.text
    assert not page.all("article") + page.all("table")


def test_faces_without_pictures_are_left_out():
    person = made_person(1, FORGED)
    bare = [replace(face, pictures=None) for face in person.faces]
    page = Page(evidence_html(made_report([replace(person, faces=bare)])))
    assert len(page.all("article")) == 1
    assert not page.all("figure")


@pytest.mark.browser
def test_browsers_show_it_in_light_dark_on_a_phone_and_on_paper(tmp_path):
    report = evidence_report(HOSTILE)
    path = tmp_path / "report.html"
    path.write_text(evidence_html(report))
    grounds = {}
    with chromium() as driver:
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                feature = {"name": "prefers-color-scheme", "value": scheme}
                driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
                set_size(driver, width, 900)
                driver.get(path.as_uri())
                root = driver.execute_script(
                    "const r = document.documentElement; return [r.scrollWidth, r.clientWidth]"
                )
                assert root[0] == root[1] == width
                grounds[scheme] = driver.execute_script(
                    "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
                )
                loaded = "return [...document.images].every(i => i.naturalWidth > 0)"
                assert driver.execute_script(loaded)
                save_screenshot(driver, SHOTS / f"evidence-{width}-{scheme}.png")
        assert driver.get_log("browser") == []
        feature = {"name": "prefers-color-scheme", "value": "dark"}
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": "print", "features": [feature]}
        )
        on_paper = driver.execute_script("return getComputedStyle(document.body).color")
    light, dark = (np.array(_channels(grounds[scheme])) for scheme in ("light", "dark"))
    assert light[0] > 200 > 60 > light[1]
    assert dark[0] < 60 < 200 < dark[1]
    assert _channels([on_paper])[0] < 60


def _channels(colours: list[str]) -> list[float]:
    """Mean brightness of CSS `rgb(...)` colours."""
    return [float(np.mean([int(n) for n in re.findall(r"\d+", text)[:3]])) for text in colours]
