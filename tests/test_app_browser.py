"""The page as a person meets it: `python app.py` and a real Chromium.

The tests of this module share one server and one browser; each opens the page anew. Screenshots
are kept in test-artifacts/.
"""

import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import chromium, foreign_urls, requested_urls
from made_media import write_video
from page_visitor import PATIENCE_S, Server, Visitor, page_server, write_untrained_model
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from caddm_hf.example_media import make_examples
from caddm_hf.video_frames import iterate_sampled_frames, probe_media

# A slow and busy machine may need many times what a working page takes.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LAUGH = "\N{FACE WITH TEARS OF JOY}"
HOSTILE_NAME = (
    "a${document.title='taken'}{{b}}`c`<img src=x onerror=alert(1)>\"'&" + LAUGH + "..mp4"
)
VERDICTS = ("Looks fake", "No sign of forgery found", "Cannot tell")


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> dict[str, Path]:
    return make_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def camera(tmp_path_factory, examples) -> Path:
    """What the browser's camera sees: the example clip as Motion JPEG."""
    clip = examples["genuine_clip"]
    frames = [f.image_rgb for f in iterate_sampled_frames(clip, probe_media(clip), 20)]
    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    return write_video(
        path, frames, codec="mjpeg", pixel_format="yuvj420p", container_format="mjpeg"
    )


@pytest.fixture(scope="module")
def browser(downloads, camera) -> Iterator[WebDriver]:
    with chromium(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
        downloads=downloads,
    ) as driver:
        yield driver


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory) -> Iterator[Server]:
    """Asked for after the browser, so that a skip costs nothing."""
    with page_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def visitor(browser, server) -> Visitor:
    return Visitor(browser, server.url)


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
    visitor.open_tab("Several")
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


def test_a_check_can_be_stopped(visitor, examples):
    visitor.upload(examples["genuine_clip"])
    visitor.set_frames(96)
    visitor.one("#video-check").click()
    visitor.one(".progress-text, .progress-level", "Looking for faces")
    visitor.one("#video-stop").click()
    visitor.one("#video-result", "Stopped. Nothing was judged.")
    # The next check is not held up by the stopped one.
    visitor.set_frames(8)
    visitor.check()


def test_the_place_in_line_is_shown_and_a_closed_tab_gives_way(visitor, server, examples):
    driver = visitor.driver
    own = driver.current_window_handle
    driver.switch_to.new_window("tab")
    other = Visitor(driver, server.url)
    other.upload(examples["genuine_clip"])
    other.set_frames(96)
    other.click("#video-check")
    other.one(".progress-text, .progress-level", "Looking for faces")
    theirs = driver.current_window_handle
    driver.switch_to.window(own)
    visitor.upload(examples["swapped_clip"])
    visitor.set_frames(8)
    visitor.click("#video-check")
    visitor.one(".progress-text, .progress-level", "number 2 in line")
    visitor.keep_screenshot("waiting-1280")
    driver.switch_to.window(theirs)
    driver.close()
    driver.switch_to.window(own)
    visitor.one("#video-result .verdict")


def test_a_file_that_is_no_video_gets_one_sentence(visitor, tmp_path):
    note = tmp_path / "note.mp4"
    note.write_text("This is a note, whatever its name says.\n" * 20)
    visitor.upload(note)
    assert "can be checked all the same" in visitor.one("#video-preview .no-preview").text
    visitor.one("#video-check").click()
    message = visitor.one("#video-result .error").text
    assert message.startswith("This file could not be checked\n'note.mp4' ")
    assert message.count("\n") == 1
    assert "Traceback" not in visitor.driver.page_source
    assert not visitor.one("#video-evidence").is_enabled()
    visitor.keep_screenshot("error-1280")


def test_a_model_that_cannot_be_used_gets_one_sentence(visitor, examples):
    visitor.upload(examples["genuine_clip"])
    visitor.set_frames(8)
    field = visitor.one("#model input, #model textarea")
    field.send_keys("no such model", Keys.TAB)
    sentence = "Model 'no such model' is neither a folder nor a Hub id of the form user/name."
    visitor.one("#model-note", sentence)
    visitor.click("#video-check")
    visitor.one("#video-result .error", sentence)


def test_a_model_folder_can_be_chosen(visitor, examples, tmp_path):
    folder = write_untrained_model(tmp_path / "model", calibration={"thresholds": {"0.01": 0.875}})
    visitor.upload(examples["genuine_clip"])
    visitor.set_frames(8)
    visitor.one("#model input, #model textarea").send_keys(str(folder), Keys.TAB)
    visitor.one("#model-note", "In use:")
    visitor.one("#sensitivity input").click()
    visitor.one("[role=option]", "At most 1% of genuine videos called fake").click()
    visitor.check()
    assert str(folder) in visitor.one("#video-result .facts").text
    assert "fake above 88%" in visitor.one("#video-result .scale-words").text


def test_a_damaged_report_gets_one_sentence(visitor, tmp_path):
    path = tmp_path / "report.json"
    path.write_text('{"video": ')
    visitor.open_tab("Report")
    visitor.upload(path, kind="report")
    message = visitor.one("#report-result .error").text
    assert message.startswith("This report could not be opened\n'report.json' ")


def test_a_container_no_browser_plays_is_judged(visitor, examples, tmp_path):
    clip = examples["genuine_clip"]
    frames = [f.image_rgb for f in iterate_sampled_frames(clip, probe_media(clip), 8)]
    path = write_video(tmp_path / "old.avi", frames, codec="mpeg4")
    visitor.upload(path)
    visitor.one("#video-preview .no-preview")
    visitor.check()
    assert "Seen in 8 of 8 frames" in visitor.one("#video-result .person").text
    # Its moments are shown in pictures, since there is no player.
    visitor.click("#video-result .faces button.moment")
    assert visitor.one("#video-moment .stack img")


def test_a_clip_without_a_face_says_that_it_cannot_tell(visitor, empty_clip):
    visitor.upload(empty_clip)
    visitor.set_frames(8)
    verdict = visitor.check()
    assert verdict.text.startswith("Cannot tell\nNo face was found in the 8 frames looked at.")
    assert not visitor.one("#video-annotate").is_enabled()


def test_a_hostile_name_is_text_and_nothing_else(visitor, examples, downloads, tmp_path):
    path = tmp_path / HOSTILE_NAME
    path.write_bytes(examples["genuine_clip"].read_bytes())
    visitor.upload(path)
    visitor.set_frames(8)
    visitor.check()
    facts = visitor.one("#video-result .facts").text
    assert "onerror=alert(1)" in facts
    assert LAUGH in facts
    visitor.wait(lambda: visitor.one("#video-evidence").is_enabled(), "no evidence")
    visitor.click("#video-evidence")
    visitor.wait(lambda: list(downloads.glob("evidence-a*.zip")), "no download")
    (evidence,) = downloads.glob("evidence-a*.zip")
    assert evidence.stem.removeprefix("evidence-").replace("-", "").replace("_", "").isalnum()
    visitor.open_tab("Several")
    visitor.upload(path, kind="many")
    visitor.click("#many-check")
    visitor.one("#many-status", "Done: 1 file.")
    assert "onerror=alert(1)" in visitor.one("#many-table td.file").text
    visitor.open_tab("Report")
    visitor.upload(evidence, kind="report")
    assert "onerror=alert(1)" in visitor.one("#report-result .facts").text
    assert visitor.driver.title == "Deepfake check"
    assert not visitor.all("img[src=x]")


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


def test_an_open_page_with_a_running_check_does_not_hold_up_the_end(visitor, server, examples):
    """Last: it ends the server."""
    visitor.upload(examples["genuine_clip"])
    visitor.set_frames(96)
    visitor.click("#video-check")
    visitor.one(".progress-text, .progress-level", "Looking for faces")
    begun = time.monotonic()
    server.process.terminate()
    assert server.process.wait(timeout=PATIENCE_S) == 0
    print(f"ended within {time.monotonic() - begun:.1f} s")
    # What visitors uploaded and what was made for them is gone.
    left = [path for path in server.temporary.rglob("*") if path.is_file()]
    assert [path for path in left if path.suffix in (".mp4", ".zip", ".jpg", ".json")] == []


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
