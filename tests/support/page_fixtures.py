"""One server and browser for a module's tests: `pytest_plugins = ["support.page_fixtures"]`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from caddm_hf.media.frames import iterate_sampled_frames, probe_media
from caddm_hf.page.examples import make_examples
from support.browser import chromium
from support.made_media import write_video
from support.page_visitor import Server, Visitor, page_server


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
