"""A real, headless Chromium for tests, and what they ask of it.

Nothing is downloaded: the browser and its driver are those of the machine. Where there are none
the test is skipped, or fails if CADDM_REQUIRE_BROWSER is set.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVERS = ("chromedriver", "chromium.chromedriver")
OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, where Chromium's sandbox does not start
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
LOCAL_HOSTS = ("127.0.0.1", "localhost")
# Addresses that leave no machine.
LOCAL_SCHEMES = (
    "data",
    "blob",
    "about",
    "chrome",
    "chrome-untrusted",
    "chrome-extension",
    "devtools",
)


def _first_found(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def chromium(*more_options: str, downloads: Path | None = None) -> Iterator[WebDriver]:
    """A fresh browser with an empty profile.

    Args:
        more_options: of its command line.
        downloads: where it puts what it downloads, without asking.
    """
    binary, driver_path = _first_found(BROWSERS), _first_found(DRIVERS)
    if binary is None or driver_path is None:
        reason = "no Chromium with chromedriver on this machine"
        if os.environ.get("CADDM_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for option in (*OPTIONS, *more_options, f"--user-data-dir={profile}"):
            options.add_argument(option)
        if downloads is not None:
            options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(driver_path))
        try:
            yield driver
        finally:
            driver.quit()


def requested_urls(driver: WebDriver) -> list[str]:
    """Every address asked for since the last call, by pages and sockets."""
    urls = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(message["params"]["request"]["url"])
        elif message["method"] == "Network.webSocketCreated":
            urls.append(message["params"]["url"])
    return urls


def foreign_urls(urls: list[str]) -> list[str]:
    """Those of the addresses that lead away from this machine."""
    return [
        url
        for url in urls
        if urlsplit(url).scheme not in LOCAL_SCHEMES and urlsplit(url).hostname not in LOCAL_HOSTS
    ]


def set_size(driver: WebDriver, width: int, height: int) -> None:
    """Give the page's viewport this size; a window cannot be narrower than 500 pixels."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )


def save_screenshot(driver: WebDriver, path: Path) -> None:
    """Save the whole page, not only what the window shows, as PNG."""
    size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    width = driver.execute_script("return window.innerWidth")
    set_size(driver, width, int(size["height"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    driver.save_screenshot(str(path))
