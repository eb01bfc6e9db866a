"""What a person does with the page, in a real browser, and the server it comes from."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from caddm_hf.checkpoint.loading import untrained_model
from support.browser import save_screenshot, set_size

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "test-artifacts"
# Generous: the machine may be slow and busy. A working page needs a fraction.
PATIENCE_S = 240


@dataclass(frozen=True)
class Server:
    """A running `python app.py`.

    Attributes:
        url: of the page.
        process: the server's.
        temporary: the folder it keeps its files in.
    """

    url: str
    process: subprocess.Popen
    temporary: Path


@contextmanager
def page_server(folder: Path, *options: str) -> Iterator[Server]:
    """`python app.py` on a free port, with an untrained model, ended at the end.

    Args:
        folder: for its log and its temporary files.
        options: of its command line.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log.txt"
    temporary = folder / "tmp"
    temporary.mkdir()
    model = write_untrained_model(folder / "model")
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), "--model", str(model), *options],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(temporary)},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE_S
        while url not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Server(url, process, temporary)
        print(log.read_text())
    finally:
        process.terminate()
        process.wait(timeout=60)


def write_untrained_model(folder: Path, **settings: object) -> Path:
    """A model folder with random weights; `settings` go into its configuration."""
    loaded = untrained_model()
    loaded.model.config.update(settings)
    loaded.model.save_pretrained(folder)
    loaded.image_processor.save_pretrained(folder)
    return folder


class Visitor:
    """Opens the page anew and does with it what a person does."""

    def __init__(self, driver: WebDriver, url: str, width: int = 1280, height: int = 900):
        self.driver = driver
        set_size(driver, width, height)
        driver.get(url)
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

    def wait(self, condition: Callable[[], object], what: str) -> object:
        """Wait until a condition holds."""
        return WebDriverWait(
            self.driver, PATIENCE_S, ignored_exceptions=[StaleElementReferenceException]
        ).until(lambda _: condition(), what)

    def script(self, code: str, *values: object) -> object:
        """Run JavaScript."""
        return self.driver.execute_script(code, *values)

    def open_tab(self, name: str) -> None:
        """Choose a tab."""
        self.script("scrollTo(0, 0)")
        self.one("button[role=tab]", name).click()

    def upload(self, *paths: Path, kind: str = "video") -> None:
        """Choose files; one is shown, or said that it cannot be shown."""
        self.wait(lambda: self.all(f"#{kind}-file input[type=file]"), "nowhere to upload")
        field = self.all(f"#{kind}-file input[type=file]")[0]
        field.send_keys("\n".join(str(path) for path in paths))
        if kind in ("video", "picture"):
            self.one(f"#{kind}-preview :is(video, .stage > img, .no-preview)")
        else:
            for path in paths:
                self.one(f"#{kind}-file", path.stem)

    def check(self, kind: str = "video") -> WebElement:
        """Have the file judged; the verdict."""
        self.click(f"#{kind}-check")
        return self.one(f"#{kind}-result .verdict")

    def click(self, selector: str, text: str = "") -> None:
        """Click, wherever it has scrolled to."""
        self.script("arguments[0].click()", self.one(selector, text))

    def set_frames(self, frames: int) -> None:
        """Type into the number beside the slider, in the settings."""
        if not any(e.is_displayed() for e in self.all("#frames input[type=number]")):
            self.click("#settings > button")
        field = self.one("#frames input[type=number]")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(frames), Keys.TAB)

    def player_time(self, kind: str = "video") -> float:
        """Where the player stands, in seconds."""
        return self.script(f"return document.querySelector('#{kind}-preview video').currentTime")

    def has_no_sideways_scroll(self) -> bool:
        """Whether everything fits the window's width."""
        return self.script("return document.documentElement.scrollWidth <= window.innerWidth")

    def keep_screenshot(self, name: str) -> None:
        """Save the whole page and say where."""
        path = ARTIFACTS / f"{name}.png"
        save_screenshot(self.driver, path)
        print(f"screenshot: {path}")
