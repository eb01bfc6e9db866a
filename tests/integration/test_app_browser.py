"""The page as a person meets it: `python app.py` and a real Chromium.

The tests of this module share one server and one browser; each opens the page anew. Screenshots
are kept in test-artifacts/.
"""

import json
import time
import zipfile

import pytest
from selenium.webdriver.common.keys import Keys

from support.browser import foreign_urls, requested_urls
from support.page_visitor import Visitor

pytest_plugins = ["support.page_fixtures"]
# A slow and busy machine may need many times what a working page takes.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

VERDICTS = ("Looks fake", "No sign of forgery found", "Cannot tell")


def test_the_page_opens_with_the_banner_and_asks_nobody_else(visitor):
    banner = visitor.one("#untrained").text
    assert "not trained" in banner
    assert "its scores mean nothing" in banner
    assert visitor.driver.title == "Deepfake check"
    visitor.one("#video-result", "The result will appear here.")
    visitor.one("#video-check").click()
    visitor.one("#video-result", "Choose a file first")
    assert not visitor.one("#video-evidence").is_enabled()
    assert not visitor.one("#video-annotate").is_enabled()


def test_a_clip_is_judged_and_its_moments_looked_at(visitor, examples, downloads, tmp_path):
    visitor.upload(examples["swapped_clip"])
    visitor.set_frames(8)
    visitor.check()
    assert visitor.one("#video-result .verdict h2").text in VERDICTS
    assert "This model is untrained" in visitor.one("#video-result .warnings").text
    assert "swapped_clip.mp4" in visitor.one("#video-result .facts").text
    card = visitor.one("#video-result .person").text
    assert "Seen in 8 of 8 frames" in card
    assert "Suspicious frames:" in card
    assert len(visitor.all("#video-result .plot .wide .moment")) == 8
    assert visitor.one("#video-result svg.score-plot").size["width"] > 400
    pictures = visitor.all("#video-result .triple img")
    assert len(pictures) == 20
    widths = [visitor.script("return arguments[0].naturalWidth", p) for p in pictures]
    assert min(widths) > 0, "a picture is broken"

    # The most suspicious moment stands in the player at once, with its boxes and heatmap.
    worst = visitor.one("#video-result .faces button.moment")
    assert visitor.player_time() == pytest.approx(float(worst.get_attribute("data-time")), abs=0.01)
    visitor.wait(lambda: visitor.all("#video-preview .overlay .face-box"), "no face box")
    assert visitor.all("#video-preview .overlay img.heat")
    visitor.keep_screenshot("video-1280")

    # The keys lead to the first moment and on to the next.
    times = [
        float(point.get_attribute("data-time"))
        for point in visitor.all("#video-result .wide .moment")
    ]
    timeline = visitor.one("#video-result .timeline")
    timeline.send_keys(Keys.HOME)
    assert visitor.player_time() == pytest.approx(times[0], abs=0.01)
    timeline.send_keys(Keys.ARROW_RIGHT)
    assert visitor.player_time() == pytest.approx(times[1], abs=0.01)
    assert timeline.get_attribute("aria-valuenow") == "2"
    spoken = timeline.get_attribute("aria-valuetext")
    percent = spoken.split(": ")[1]
    assert percent in visitor.one("#video-moment figcaption").text
    # A point of the plot, and a button below.
    point = visitor.all("#video-result .wide .moment")[5]
    visitor.script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", point)
    assert visitor.player_time() == pytest.approx(times[5], abs=0.01)
    visitor.wait(lambda: visitor.all("#video-preview .overlay .face-box"), "no face box")
    visitor.click("#video-moment [aria-label='Later moment']")
    assert visitor.player_time() == pytest.approx(times[6], abs=0.01)

    # The box lies where the face is: in the middle of this clip.
    visitor.wait(lambda: visitor.all("#video-preview .overlay .face-box"), "no face box")
    # The face is 165 to 195 pixels high in these 480; the player is scaled.
    share = visitor.script(
        "const height = (part) => document.querySelector('#video-preview ' + part)"
        ".getBoundingClientRect().height; return height('.face-box') / height('.stage')"
    )
    assert share == pytest.approx(0.38, abs=0.06)

    # The slider takes the heatmap off.
    def strength() -> str:
        return visitor.script(
            "return getComputedStyle(document.querySelector('#video-result img.heat')).opacity"
        )

    assert strength() == "1"
    field = visitor.one("#video-strength input[type=number]")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("30", Keys.TAB)
    visitor.wait(lambda: strength() == "0.3", "the heatmaps stay as strong")

    # The evidence is downloaded, opened again, and shows the same.
    words = visitor.one("#video-result .verdict").text
    visitor.wait(lambda: visitor.one("#video-evidence").is_enabled(), "no evidence")
    visitor.click("#video-evidence")
    path = downloads / "evidence-swapped_clip.zip"
    visitor.wait(path.exists, "no download")
    with zipfile.ZipFile(path) as archive:
        report = json.loads(archive.read("report.json"))
    assert report["video"] == "swapped_clip.mp4"
    visitor.open_tab("Report")
    visitor.upload(path, kind="report")
    assert visitor.one("#report-result .verdict").text == words
    assert len(visitor.all("#report-result .plot .wide .moment")) == 8
    visitor.click("#report-result .faces button.moment")
    assert visitor.one("#report-moment .stack img")
    visitor.keep_screenshot("report-1280")

    # The annotated video plays.
    visitor.open_tab("Video")
    visitor.click("#video-annotate")
    visitor.one("#video-annotated video")
    visitor.wait(
        lambda: (
            visitor.script("return document.querySelector('#video-annotated video').readyState")
            >= 2
        ),
        "the annotated video does not play",
    )

    # The result goes with the file it belongs to.
    visitor.one("#video-file button[aria-label='Clear'], #video-file [aria-label='Remove']").click()
    visitor.one("#video-result", "The result will appear here.")
    visitor.wait(lambda: not visitor.one("#video-evidence").is_enabled(), "evidence of nothing")


def test_a_phone_sees_everything_without_scrolling_sideways(browser, server, examples):
    visitor = Visitor(browser, f"{server.url}/?__theme=dark", 390, 844)
    assert visitor.has_no_sideways_scroll()
    visitor.upload(examples["genuine_clip"])
    visitor.set_frames(8)
    verdict = visitor.check()
    assert verdict.rect["width"] > 300
    # The verdict is scrolled to.
    visitor.wait(
        lambda: visitor.script("return arguments[0].getBoundingClientRect().top < 300", verdict),
        "the verdict is out of sight",
    )
    assert visitor.one("#video-result .plot .narrow svg").is_displayed()
    assert not visitor.all("#video-result .plot .wide svg")[0].is_displayed()
    assert visitor.has_no_sideways_scroll()
    # A moment brings the player back into sight.
    visitor.click("#video-result .faces button.moment")
    visitor.wait(
        lambda: visitor.script(
            "const box = document.querySelector('#video-preview video').getBoundingClientRect();"
            "return box.top >= -1 && box.bottom <= innerHeight + 1"
        ),
        "the player is out of sight",
    )
    visitor.keep_screenshot("video-390-dark")


def test_several_files_give_a_table_that_sorts(visitor, examples, tmp_path):
    note = tmp_path / "note.mp4"
    note.write_text("This is a note, whatever its name says.\n" * 20)
    visitor.set_frames(8)
    visitor.open_tab("Many files")
    files = [examples["swapped_clip"], examples["genuine_picture"], note]
    visitor.upload(*files, kind="many")
    visitor.click("#many-check")
    visitor.one("#many-status", "Done: 3 files.")
    rows = [row.text for row in visitor.all("#many-table tbody tr")]
    assert [path.name in row for path, row in zip(files, rows, strict=True)] == [True] * 3
    assert "Not checked" in rows[2]
    assert "'note.mp4' " in rows[2]

    visitor.click("#many-table th button", "File")
    visitor.click("#many-table th button", "File")
    names = [cell.text for cell in visitor.all("#many-table td.file")]
    assert names == ["swapped_clip.mp4", "note.mp4", "genuine_picture.jpg"]
    visitor.click("#many-table th button", "Fake")
    shares = [float(c.get_attribute("data-value")) for c in visitor.all("#many-table td.percent")]
    assert shares == sorted(shares)

    visitor.click("#many-table td button", "swapped_clip.mp4")
    visitor.one("#many-result .verdict")
    visitor.wait(lambda: visitor.all("#many-preview .overlay .face-box"), "no face box")
    worst = visitor.one("#many-result .faces button.moment").get_attribute("data-time")
    assert visitor.player_time("many") == pytest.approx(float(worst), abs=0.01)
    visitor.keep_screenshot("several-1280")
    # A picture is shown as one, with the same boxes.
    visitor.click("#many-table td button", "genuine_picture.jpg")
    visitor.one("#many-preview .stage > img")
    visitor.wait(lambda: visitor.all("#many-preview .overlay .face-box"), "no face box")


def test_an_example_is_taken_by_a_click(visitor):
    visitor.one("#video-examples button", "region swapped").click()
    visitor.one("#video-preview video")
    visitor.one("#video-file", "swapped_clip")
    visitor.set_frames(8)
    visitor.check()
    assert "swapped_clip.mp4" in visitor.one("#video-result .facts").text


def test_a_recorded_clip_becomes_the_chosen_file(visitor):
    visitor.click("#camera > button")
    visitor.click("#camera-video button", "Click to Access Webcam")
    visitor.click("#camera-video button", "Record")
    time.sleep(2)  # what is recorded
    visitor.click("#camera-video button", "Stop")
    visitor.one("#video-preview :is(video, .no-preview)")
    visitor.set_frames(8)
    visitor.check()
    assert "Person 1" in visitor.one("#video-result .person").text


def test_a_picture_is_judged_without_a_timeline(visitor, examples):
    visitor.open_tab("Picture")
    visitor.upload(examples["genuine_picture"], kind="picture")
    visitor.check("picture")
    assert "genuine_picture.jpg" in visitor.one("#picture-result .facts").text
    assert len(visitor.all("#picture-result .triple img")) == 4
    assert not visitor.all("#picture-result svg")
    visitor.wait(lambda: visitor.all("#picture-preview .overlay .face-box"), "no face box")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_are_readable(browser, server, theme):
    visitor = Visitor(browser, f"{server.url}/?__theme={theme}")
    visitor.open_tab("Picture")
    visitor.one("#picture-examples button", "genuine").click()
    visitor.one("#picture-preview img")
    visitor.check("picture")
    for selector in (".words", ".small", ".facts dt", ".warnings li", "figcaption"):
        contrast = visitor.script(CONTRAST, f"#picture-result {selector}")
        assert contrast >= 4.5, selector
    visitor.keep_screenshot(f"picture-{theme}-1280")


def test_no_other_host_was_asked_for_anything(browser, server):
    """After all others: the log holds what they made the browser ask for."""
    urls = requested_urls(browser)
    assert any(url.startswith(server.url) for url in urls)
    assert foreign_urls(urls) == []


# WCAG 2: contrast of an element's text with the nearest opaque background behind it.
CONTRAST = """
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const channels = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const element = document.querySelector(arguments[0]);
let behind = element;
while (channels(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
  .map((colour) => luminance(channels(colour).slice(0, 3)));
return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
"""
