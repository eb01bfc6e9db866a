"""The page as a person meets it: `python app.py` and a real Chromium.

The tests of this module share one server and one browser; each opens the page anew. Screenshots
are kept in test-artifacts/.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import chromium, foreign_urls, requested_urls, save_screenshot, set_size
from made_media import write_video
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

import app
from caddm_hf.example_media import make_examples
from caddm_hf.video_frames import iterate_sampled_frames, probe_media

pytestmark = pytest.mark.browser

ROOT = Path(app.__file__).parent
ARTIFACTS = ROOT / "test-artifacts"
# Generous: the machine may be slow and busy. A working page needs a fraction.
PATIENCE_S = 120


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> dict[str, Path]:
    return make_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory) -> Iterator[str]:
    """Where `python app.py` serves; asked for after the browser, so that a skip costs nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port)],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE_S
        while url not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url
        print(log.read_text())
    finally:
        browser.get("about:blank")  # an open page would keep the server waiting
        server.terminate()
        server.wait(timeout=30)


class Visitor:
    """What a person does with the page."""

    def __init__(self, driver: WebDriver, address: str):
        self.driver = driver
        set_size(driver, 1280, 900)
        driver.get(address)
        self.one("#video-check")

    def all(self, selector: str) -> list[WebElement]:
        """What is on the page now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str, text: str = "") -> WebElement:
        """Wait until something visible is there that contains the text."""

        def found(_):
            return next(
                (e for e in self.all(selector) if e.is_displayed() and text in e.text), None
            )

        return WebDriverWait(
            self.driver, PATIENCE_S, ignored_exceptions=[StaleElementReferenceException]
        ).until(found, f"{selector} with {text!r} did not appear")

    def upload(self, path: Path, kind: str = "video") -> None:
        """Choose a file and wait until the page shows it, or says that it cannot be shown."""
        self.driver.find_element(By.CSS_SELECTOR, f"#{kind}-file input[type=file]").send_keys(
            str(path)
        )
        self.one(f"#{kind}-preview :is(video, img, .no-preview)")

    def set_frames(self, frames: int) -> None:
        """Type into the number beside the slider."""
        field = self.one("#video-frames input[type=number]")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(frames), Keys.TAB)

    def keep_screenshot(self, name: str) -> None:
        """Save the whole page and say where."""
        path = ARTIFACTS / f"{name}.png"
        save_screenshot(self.driver, path)
        print(f"screenshot: {path}")


@pytest.fixture
def visitor(browser, address) -> Visitor:
    return Visitor(browser, address)


def test_the_page_opens_with_the_banner_and_asks_nobody_else(visitor):
    banner = visitor.one("#untrained").text
    assert "No trained model is in use." in banner
    assert "its scores mean nothing" in banner
    assert visitor.driver.title == "Deepfake check"
    visitor.one("#video-result", "The result will appear here.")
    visitor.one("#video-check").click()
    visitor.one("#video-result", "Choose a file first")


def test_an_uploaded_clip_is_judged(visitor, examples):
    visitor.upload(examples["swapped_clip"])
    visitor.set_frames(8)
    visitor.one("#video-check").click()
    visitor.one("#video-result .verdict")

    words = visitor.one("#video-result .verdict h2").text
    assert words in ("Looks fake", "No sign of forgery found", "Cannot tell")
    assert "This model is untrained" in visitor.one("#video-result .warnings").text
    facts = visitor.one("#video-result .facts").text
    assert "swapped_clip.mp4" in facts
    assert "Seen in 8 of 8 frames" in visitor.one("#video-result .person").text
    assert len(visitor.all("#video-result .plot .wide .moment")) == 8
    assert visitor.one("#video-result svg.score-plot").size["width"] > 400
    pictures = visitor.all("#video-result .triple img")
    assert len(pictures) == 15
    widths = [
        visitor.driver.execute_script("return arguments[0].naturalWidth", p) for p in pictures
    ]
    assert min(widths) > 0, "a picture is broken"
    visitor.keep_screenshot("video-1280")

    # A moment shows itself in the player.
    moment = visitor.one("#video-result .faces button.moment")
    visitor.driver.execute_script("arguments[0].click()", moment)
    at = visitor.driver.execute_script(
        "return document.querySelector('#video-preview video').currentTime"
    )
    assert at == pytest.approx(float(moment.get_attribute("data-time")), abs=0.01)

    # The result goes with the file it belongs to.
    visitor.one("#video-file button[aria-label='Clear'], #video-file [aria-label='Remove']").click()
    visitor.one("#video-result", "The result will appear here.")


def test_a_phone_sees_everything_without_scrolling_sideways(visitor, examples):
    set_size(visitor.driver, 390, 844)
    visitor.upload(examples["genuine_clip"])
    visitor.set_frames(8)
    visitor.one("#video-check").click()
    verdict = visitor.one("#video-result .verdict")
    assert verdict.rect["width"] > 300
    # The verdict is scrolled to.
    WebDriverWait(visitor.driver, PATIENCE_S).until(
        lambda driver: driver.execute_script(
            "return arguments[0].getBoundingClientRect().top < 300", verdict
        )
    )
    assert visitor.one("#video-result .plot .narrow svg").is_displayed()
    assert not visitor.all("#video-result .plot .wide svg")[0].is_displayed()
    assert visitor.driver.execute_script(
        "return document.documentElement.scrollWidth <= window.innerWidth"
    )
    visitor.keep_screenshot("video-390")


def test_an_example_is_taken_by_a_click(visitor):
    visitor.one("#video-examples button", "region swapped").click()
    visitor.one("#video-preview video")
    visitor.one("#video-file", "swapped_clip")
    visitor.set_frames(8)
    visitor.one("#video-check").click()
    visitor.one("#video-result .verdict")
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
    visitor.one("#video-check").click()
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
    visitor.keep_screenshot("error-1280")


def test_a_container_no_browser_plays_is_judged(visitor, examples, tmp_path):
    clip = examples["genuine_clip"]
    frames = [f.image_rgb for f in iterate_sampled_frames(clip, probe_media(clip), 8)]
    path = write_video(tmp_path / "old.avi", frames, codec="mpeg4")
    visitor.upload(path)
    visitor.one("#video-preview .no-preview")
    visitor.one("#video-check").click()
    assert "Seen in 8 of 8 frames" in visitor.one("#video-result .person").text


def test_a_hostile_name_and_nothing_else_is_shown(visitor, examples, tmp_path):
    path = tmp_path / "a${document.title='taken'}{{b}}`c`<img src=x onerror=alert(1)>'&.mp4"
    path.write_bytes(examples["genuine_clip"].read_bytes())
    visitor.upload(path)
    visitor.set_frames(8)
    visitor.one("#video-check").click()
    facts = visitor.one("#video-result .facts").text
    assert "onerror=alert(1)" in facts
    assert visitor.driver.title == "Deepfake check"
    assert not visitor.all("img[src=x]")


def test_a_picture_is_judged_without_a_timeline(visitor, examples):
    visitor.one("button[role=tab]", "Picture").click()
    visitor.upload(examples["genuine_picture"], "picture")
    visitor.one("#picture-check").click()
    visitor.one("#picture-result .verdict")
    assert "genuine_picture.jpg" in visitor.one("#picture-result .facts").text
    assert len(visitor.all("#picture-result .triple img")) == 3
    assert not visitor.all("#picture-result svg")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_are_readable(visitor, address, theme):
    visitor.driver.get(f"{address}/?__theme={theme}")
    visitor.one("button[role=tab]", "Picture").click()
    visitor.one("#picture-examples button", "genuine").click()
    visitor.one("#picture-preview img")
    visitor.one("#picture-check").click()
    visitor.one("#picture-result .verdict")
    for selector in (".words", ".small", ".facts dt", ".warnings li", "figcaption"):
        contrast = visitor.driver.execute_script(CONTRAST, f"#picture-result {selector}")
        assert contrast >= 4.5, selector
    visitor.keep_screenshot(f"picture-{theme}-1280")


def test_no_other_host_was_asked_for_anything(browser, address):
    """Last: the log holds what all tests above made the browser ask for."""
    urls = requested_urls(browser)
    assert any(url.startswith(address) for url in urls)
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
