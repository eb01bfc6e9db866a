"""caddm_hf.page.result: what a visitor reads, and that a stranger's text stays text."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from caddm_hf.page.moments import moments_of
from caddm_hf.page.result import error_html, report_html
from caddm_hf.report.files import read_report, report_bytes
from caddm_hf.report.video_report import JudgedFile, Provenance
from support.made_reports import made_person, made_report

HOSTILE = """<img src=x onerror="alert('1')"> & ${alert(2)} {{constructor}}.mp4"""
STEADY = [(float(t), 0.1) for t in range(8)]
FORGED = [(float(t), 0.9) for t in range(8)]
BRIEF = [(0.0, 0.9), (1.0, 0.9)]


class Page(HTMLParser):
    """Tags with their attributes, and the text, of a piece of HTML."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str, **attributes: str) -> list[dict]:
        """Attributes of the tags with these; `class_` for "class"."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            found
            for name, found in self.tags
            if name == tag and all(found.get(key) == value for key, value in wanted.items())
        ]


@pytest.mark.parametrize(
    ("scores", "verdict", "words"),
    [
        (FORGED, "fake", "Looks fake Probability of fake: 90%"),
        (STEADY, "real", "No sign of forgery found Probability of fake: 10%"),
        ([(t, 0.5) for t, _ in STEADY], "cannot_tell", "Cannot tell Probability of fake: 50%"),
        (BRIEF, "cannot_tell", "Cannot tell The face was seen in too few frames: 2, 5 are needed."),
    ],
)
def test_the_verdict_stands_first_in_words(scores, verdict, words):
    page = Page(report_html(made_report([made_person(1, scores)])))
    assert page.text.strip().startswith(words)
    assert page.all("section", class_=f"verdict {verdict}")
    assert "evidence, not proof" in page.text


def test_no_face_gives_the_reason_and_no_people():
    page = Page(report_html(made_report([])))
    assert "Cannot tell No face was found in the 32 frames looked at." in page.text
    assert not page.all("article")
    assert not page.all("figure")


def test_each_person_has_a_card_and_the_unjudged_are_folded():
    report = made_report([made_person(1, FORGED), made_person(2, STEADY), made_person(3, BRIEF)])
    page = Page(report_html(report))
    assert [card["class"] for card in page.all("article")] == [
        "person fake",
        "person real",
        "person cannot_tell",
    ]
    assert "Person 1: Looks fake Probability of fake: 90%" in page.text
    assert "Seen in 8 of 32 frames" in page.text
    assert "Suspicious frames: 8 of 8 (100%)" in page.text
    assert "Suspicious frames: 0 of 8 (0%)" in page.text
    folded = page.text.index("1 more person")
    assert page.text.index("Person 2:") < folded < page.text.index("Person 3:")
    # A wide and a narrow plot for the two with a score.
    assert len(page.all("svg", role="img")) == 4
    timelines = page.all("div", class_="timeline")
    assert [(bar["role"], bar["tabindex"], bar["aria-valuemax"]) for bar in timelines] == [
        ("slider", "0", "8")
    ] * 2
    assert "most of all in person 1" in page.text


def test_nobody_judged_is_not_folded_away():
    page = Page(report_html(made_report([made_person(1, BRIEF)])))
    assert page.all("article", class_="person cannot_tell")
    assert not page.all("details", class_="more")
    assert not page.all("svg")


def test_suspicious_faces_come_in_threes_with_their_moment():
    page = Page(report_html(made_report([made_person(1, FORGED)])))
    assert len(page.all("figure")) == 5
    alts = [image["alt"] for image in page.all("img") if "width" not in image]
    assert alts[0] == "Face of person 1 at 0.0 s"
    assert alts[1].startswith("The same face under its heatmap: highest, 0.90 of 1")
    # The heatmap is a layer of its own, so that its strength can be set.
    assert alts[2] == ""
    assert alts[3] == "The same face with 1 place boxed"
    assert len(alts) == 20
    assert len(page.all("img", class_="heat")) == 5
    assert [button["data-time"] for button in page.all("button")][:2] == ["0.000", "1.000"]
    assert all(
        image["src"].startswith(("data:image/jpeg;base64,", "data:image/webp;base64,"))
        for image in page.all("img")
    )


def test_a_video_without_times_is_not_shown_as_a_picture():
    scores = [(0.0, 0.9 - n / 100) for n in range(8)]
    report = made_report([made_person(1, scores)], duration_s=0)
    page = Page(report_html(report))
    assert page.all("svg")
    assert "in this video" in page.text


def test_a_picture_has_neither_plot_nor_moments():
    page = Page(
        report_html(made_report([made_person(1, [(0.0, 0.9)])], duration_s=0, kind="picture"))
    )
    assert not page.all("svg")
    assert not page.all("button")
    assert len(page.all("figure")) == 1
    assert "in this picture" in page.text
    assert "Length" not in page.text


def test_strangers_text_stays_text():
    report = made_report([made_person(1, FORGED)], name=HOSTILE, model=HOSTILE, warnings=(HOSTILE,))
    page = Page(report_html(report))
    assert page.text.count(HOSTILE) == 3  # file, model, warning
    assert not [attributes for _, attributes in page.tags if "onerror" in attributes]
    error = Page(error_html(HOSTILE))
    assert HOSTILE in error.text
    assert not error.all("img")


def test_the_script_gets_the_moments():
    report = made_report([made_person(1, FORGED)])
    (holder,) = [
        attributes
        for _, attributes in Page(report_html(report)).tags
        if "data-moments" in attributes
    ]
    assert json.loads(holder["data-moments"]) == moments_of(report)


def test_a_report_that_was_read_looks_the_same(tmp_path):
    # Of every face there are pictures in the file, since they are few.
    report = made_report([made_person(1, FORGED[:5])], warnings=(HOSTILE,))
    path = tmp_path / "report.json"
    path.write_bytes(report_bytes(report))
    assert report_html(read_report(path)) == report_html(report)


def test_faces_without_pictures_are_told_apart():
    bare = [replace(face, pictures=None) for face in made_person(1, FORGED).faces]
    report = made_report([replace(made_person(1, FORGED), faces=bare)])
    page = Page(report_html(report))
    assert not page.all("figure")
    assert "no picture kept" in page.text
    assert len(page.all("svg", role="img")) == 2


def test_where_the_file_can_be_known_by_is_told():
    provenance = Provenance(
        JudgedFile("ab" * 32, 5), True, None, {}, {}, "2026-01-01T00:00:00+00:00"
    )
    page = Page(report_html(replace(made_report([]), provenance=provenance)))
    assert "Fingerprint (SHA-256)" in page.text
    assert "ab" * 32 in page.text
