"""caddm_hf.page.checks: in line, stopped for whom it should be, refused in one sentence."""

import asyncio
import threading

import pytest

from caddm_hf.guard.limits import JobStoppedError, StartError
from caddm_hf.media.limits import MediaError
from caddm_hf.page.checks import FULL, CheckFailedError, CheckOptions, CheckStoppedError, Line
from caddm_hf.page.jobs import CheckJob
from caddm_hf.report.verdicts import Verdict
from support.made_reports import made_person, made_report
from support.made_runners import made_checks

REPORT = made_report([made_person(1, [(float(t), 0.7) for t in range(8)])])
PATIENCE_S = 30


def silent(stage, done, total):
    pass


def wait_until_stopped(job, tell, stop):
    """A job that only ends when it is told to."""
    tell("Looking for faces", 0, 8)
    assert stop.wait(PATIENCE_S), "nobody stopped the check"
    raise JobStoppedError


def check(checks, path="clip.mp4", options=CheckOptions(), visitor="ann", tell=silent):
    return checks.run(path, options, visitor, tell)


def test_a_check_passes_everything_on(tmp_path):
    asked, told = [], []

    def answer(job, tell, stop):
        asked.append(job)
        tell("Looking for faces", 3, 8)
        return REPORT

    path = str(tmp_path / "clip.mp4")
    report = asyncio.run(
        check(
            made_checks(answer),
            path,
            CheckOptions(frames=8),
            tell=lambda *step: told.append(step),
        )
    )
    assert report is REPORT
    assert asked == [CheckJob(path, 8, "clip.mp4")]
    assert told == [("Looking for faces", 3, 8)]


def test_sensitivity_and_main_person_are_applied_to_the_result():
    both = made_report(
        [
            made_person(1, [(float(t), 0.7) for t in range(8)], size_px=60),
            made_person(2, [(float(t), 0.1) for t in range(8)], size_px=200),
        ]
    )
    checks = made_checks(lambda *_: both)
    report = asyncio.run(check(checks, options=CheckOptions(sensitivity="above 0.9")))
    assert report.judgement.verdict is Verdict.CANNOT_TELL
    assert report.thresholds.fake_above == 0.9
    report = asyncio.run(check(checks, options=CheckOptions(main_person=True)))
    assert [person.id for person in report.people] == [2]
    assert report.judgement.verdict is Verdict.REAL


def test_stop_ends_the_visitors_own_check_and_no_other():
    async def visit() -> None:
        checks = made_checks(wait_until_stopped, Line(at_once=2))
        mine = asyncio.create_task(check(checks, visitor="ann"))
        other = asyncio.create_task(check(checks, visitor="ben"))
        await asyncio.sleep(0.3)
        checks.stop("ann")
        with pytest.raises(CheckStoppedError):
            await mine
        await asyncio.sleep(0.3)
        assert not other.done()
        checks.stop("ben")
        with pytest.raises(CheckStoppedError):
            await other

    asyncio.run(visit())


def test_stop_takes_out_of_the_line_and_the_next_check_starts_afresh():
    judged = []

    def answer(job, tell, stop):
        judged.append(job.path)
        return wait_until_stopped(job, tell, stop) if job.path == "long.mp4" else REPORT

    async def visit() -> None:
        checks = made_checks(answer)
        running = asyncio.create_task(check(checks, "long.mp4", visitor="ben"))
        waiting = asyncio.create_task(check(checks, "mine.mp4"))
        await asyncio.sleep(0.3)
        checks.stop("ann")
        with pytest.raises(CheckStoppedError):
            await waiting
        again = asyncio.create_task(check(checks, "mine.mp4"))
        await asyncio.sleep(0.3)
        checks.stop("ben")
        assert await again is REPORT
        with pytest.raises(CheckStoppedError):
            await running

    asyncio.run(visit())
    assert judged == ["long.mp4", "mine.mp4"]


def test_the_place_in_line_is_told():
    told = []

    async def visit() -> None:
        checks = made_checks(wait_until_stopped)
        running = asyncio.create_task(check(checks, visitor="ben"))
        await asyncio.sleep(0.2)
        waiting = asyncio.create_task(check(checks, tell=lambda *step: told.append(step)))
        await asyncio.sleep(0.3)
        checks.stop("ann")
        checks.stop("ben")
        for task in (running, waiting):
            with pytest.raises(CheckStoppedError):
                await task

    asyncio.run(visit())
    assert set(told) == {("Waiting: number 2 in line", 0, 1)}


def test_choosing_another_file_stops_the_check_and_the_same_does_not():
    async def visit() -> None:
        checks = made_checks(wait_until_stopped)
        running = asyncio.create_task(check(checks, "clip.mp4"))
        await asyncio.sleep(0.2)
        checks.choose("ann", "clip.mp4")
        await asyncio.sleep(0.3)
        assert not running.done()
        checks.choose("ann", "other.mp4")
        with pytest.raises(CheckStoppedError):
            await running

    asyncio.run(visit())


def test_a_cancelled_check_is_stopped_and_keeps_its_place_until_it_has_ended():
    ended = threading.Event()

    def answer(job, tell, stop):
        assert stop.wait(PATIENCE_S)
        threading.Event().wait(0.3)
        ended.set()
        raise JobStoppedError

    async def visit() -> None:
        checks = made_checks(answer)
        running = asyncio.create_task(check(checks))
        await asyncio.sleep(0.2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not ended.is_set()
        assert len(checks.line.places) == 1
        while checks.line.places:
            await asyncio.sleep(0.05)
        assert ended.is_set()


def test_who_stops_need_not_wait_for_the_end_and_who_comes_next_does():
    order = []

    def answer(job, tell, stop):
        if job.path == "first.mp4":
            assert stop.wait(PATIENCE_S)
            threading.Event().wait(0.5)
            order.append("ended")
            raise JobStoppedError
        order.append("next")
        return REPORT

    async def visit() -> None:
        checks = made_checks(answer)
        running = asyncio.create_task(check(checks, "first.mp4"))
        await asyncio.sleep(0.2)
        checks.stop("ann")
        with pytest.raises(CheckStoppedError):
            await running
        order.append("told")
        assert await check(checks, "second.mp4") is REPORT

    asyncio.run(visit())
    assert order == ["told", "ended", "next"]

    asyncio.run(visit())


@pytest.mark.parametrize("kind", [MediaError, StartError])
def test_a_refusal_is_passed_on(kind):
    def refuse(*_):
        raise kind("'clip.mp4' is empty.")

    with pytest.raises(CheckFailedError, match=r"^'clip.mp4' is empty\.$"):
        asyncio.run(check(made_checks(refuse)))


def test_a_bug_is_logged_and_hidden(caplog):
    def break_down(*_):
        raise KeyError("secret")

    with pytest.raises(CheckFailedError) as caught:
        asyncio.run(check(made_checks(break_down)))
    assert "secret" not in str(caught.value)
    assert "KeyError: 'secret'" in caplog.text


def test_a_full_line_is_told_in_a_sentence():
    async def visit() -> None:
        checks = made_checks(wait_until_stopped, Line(longest=1))
        tasks = [asyncio.create_task(check(checks, visitor=name)) for name in ("ann", "ben")]
        await asyncio.sleep(0.2)
        with pytest.raises(CheckFailedError) as caught:
            await check(checks, visitor="cy")
        assert str(caught.value) == FULL
        for name, task in zip(("ben", "ann"), reversed(tasks), strict=True):
            checks.stop(name)
            with pytest.raises(CheckStoppedError):
                await task

    asyncio.run(visit())
