"""caddm_hf.page_checks: one check at a time, stopped for whom it should be."""

import threading

import pytest

from caddm_hf.media_files import MediaError
from caddm_hf.page_checks import CheckFailedError, Checks, CheckStoppedError


def silent(stage, done, total):
    pass


def test_a_check_passes_everything_on(tmp_path):
    asked, told = {}, []

    def detector(path, frames, progress, name):
        asked.update(path=path, frames=frames, name=name)
        progress("Looking for faces", 3, 8)
        return "the report"

    path = str(tmp_path / "clip.mp4")
    done = Checks(detector).run(path, 8, "ann", lambda *step: told.append(step))
    assert done == "the report"
    assert asked == {"path": path, "frames": 8, "name": "clip.mp4"}
    assert told == [("Looking for faces", 3, 8)]


def test_stop_ends_the_visitors_own_check_and_no_other():
    steps = []

    def detector(path, frames, progress, name):
        for step in range(3):
            progress("Looking for faces", step, 3)
            steps.append(step)
            checks.stop("ben" if step == 0 else "ann")

    checks = Checks(detector)
    with pytest.raises(CheckStoppedError):
        checks.run("clip.mp4", 8, "ann", silent)
    assert steps == [0, 1]
    checks.stop("ann")  # nothing runs any more
    with pytest.raises(CheckStoppedError):  # and the next check starts afresh
        checks.run("clip.mp4", 8, "ann", silent)
    assert steps == [0, 1, 0, 1]


def test_choosing_another_file_stops_the_check_and_the_same_does_not():
    def detector(path, frames, progress, name):
        checks.choose("ann", "clip.mp4")
        progress("Looking for faces", 1, 2)
        checks.choose("ann", "other.mp4")
        progress("Looking for faces", 2, 2)

    steps = []
    checks = Checks(detector)
    with pytest.raises(CheckStoppedError):
        checks.run("clip.mp4", 8, "ann", lambda *step: steps.append(step))
    assert steps == [("Looking for faces", 1, 2)]


def test_a_check_that_waited_for_its_turn_does_not_start_for_a_file_of_before():
    judged = []
    checks = Checks(lambda path, **_: judged.append(path))
    checks.choose("ann", "new.mp4")
    with pytest.raises(CheckStoppedError):
        checks.run("old.mp4", 8, "ann", silent)
    checks.run("new.mp4", 8, "ann", silent)
    checks.run("old.mp4", 8, "ben", silent)
    assert judged == ["new.mp4", "old.mp4"]
    checks.leave("ann")
    checks.run("old.mp4", 8, "ann", silent)
    assert len(judged) == 3


def test_a_media_error_is_passed_on_and_a_bug_is_logged_and_hidden(caplog):
    def refuse(*_, **__):
        raise MediaError("'clip.mp4' is empty.")

    def break_down(*_, **__):
        raise KeyError("secret")

    with pytest.raises(CheckFailedError, match=r"^'clip.mp4' is empty\.$"):
        Checks(refuse).run("clip.mp4", 8, "ann", silent)
    with pytest.raises(CheckFailedError) as caught:
        Checks(break_down).run("clip.mp4", 8, "ann", silent)
    assert "secret" not in str(caught.value)
    assert "KeyError: 'secret'" in caplog.text


def test_checks_run_one_at_a_time():
    running, together = 0, []
    lock = threading.Lock()

    def detector(path, frames, progress, name):
        nonlocal running
        with lock:
            running += 1
            together.append(running)
        threading.Event().wait(0.05)
        with lock:
            running -= 1

    checks = Checks(detector)
    threads = [
        threading.Thread(target=checks.run, args=("clip.mp4", 8, session, silent))
        for session in ("ann", "ben", "cy")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1, 1, 1]
