"""The page in a real Chromium where something is in the way: stops, errors, odd files and names.

The tests of this module share one server and one browser; each opens the page anew. Screenshots
are kept in test-artifacts/.
"""

import time
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from caddm_hf.media.frames import iterate_sampled_frames, probe_media
from support.browser import foreign_urls, requested_urls
from support.made_media import write_video
from support.page_visitor import PATIENCE_S, Visitor, write_untrained_model

pytest_plugins = ["support.page_fixtures"]
# A slow and busy machine may need many times what a working page takes.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LAUGH = "\N{FACE WITH TEARS OF JOY}"
HOSTILE_NAME = (
    "a${document.title='taken'}{{b}}`c`<img src=x onerror=alert(1)>\"'&" + LAUGH + "..mp4"
)


@pytest.fixture(scope="module")
def crowded_clip(tmp_path_factory, examples) -> Path:
    """Sixteen faces in each of 96 frames: checking them takes many times a usual clip's time."""
    clip = examples["genuine_clip"]
    frames = [f.image_rgb for f in iterate_sampled_frames(clip, probe_media(clip), 48)]
    crowd = [np.tile(frame[::2, ::2], (4, 4, 1)) for frame in frames + frames[::-1]]
    return write_video(tmp_path_factory.mktemp("crowd") / "crowd.mp4", crowd)


def test_a_check_can_be_stopped(visitor, crowded_clip):
    visitor.upload(crowded_clip)
    visitor.set_frames(96)
    visitor.one("#video-check").click()
    visitor.one(".progress-text, .progress-level", "Looking for faces")
    visitor.one("#video-stop").click()
    visitor.one("#video-result", "Stopped. Nothing was judged.")
    # The next check is not held up by the stopped one.
    visitor.set_frames(8)
    visitor.check()


def test_the_place_in_line_is_shown_and_a_closed_tab_gives_way(
    visitor, server, examples, crowded_clip
):
    # All that takes the browser time comes first: the line must not be gone before it is seen.
    visitor.upload(examples["swapped_clip"])
    visitor.set_frames(8)
    driver = visitor.driver
    own = driver.current_window_handle
    driver.switch_to.new_window("tab")
    theirs = driver.current_window_handle
    other = Visitor(driver, server.url)
    other.upload(crowded_clip)
    other.set_frames(96)
    other.click("#video-check")
    other.one(".progress-text, .progress-level", "Looking for faces")
    driver.switch_to.window(own)
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
    facts = visitor.one("#video-result .facts").text
    assert f"Model\n{folder.name}\n" in facts
    assert str(tmp_path) not in visitor.driver.page_source
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
    visitor.open_tab("Many files")
    visitor.upload(path, kind="many")
    visitor.click("#many-check")
    visitor.one("#many-status", "Done: 1 file.")
    assert "onerror=alert(1)" in visitor.one("#many-table td.file").text
    visitor.open_tab("Report")
    visitor.upload(evidence, kind="report")
    assert "onerror=alert(1)" in visitor.one("#report-result .facts").text
    assert visitor.driver.title == "Deepfake check"
    assert not visitor.all("img[src=x]")


def test_no_other_host_was_asked_for_anything(browser, server):
    """After all others: the log holds what they made the browser ask for."""
    urls = requested_urls(browser)
    assert any(url.startswith(server.url) for url in urls)
    assert foreign_urls(urls) == []


def test_an_open_page_with_a_running_check_does_not_hold_up_the_end(visitor, server, crowded_clip):
    """Last: it ends the server."""
    visitor.upload(crowded_clip)
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
