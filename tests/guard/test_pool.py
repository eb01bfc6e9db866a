"""caddm_hf.guard.pool: what a worker may do, and what it costs."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from caddm_hf.guard.limits import (
    GuardLimits,
    JobFailedError,
    JobStoppedError,
    StartError,
    WorkerLostError,
)
from caddm_hf.guard.pool import WorkerPool, ended_by_sigterm
from caddm_hf.media.limits import MediaError
from support import made_workers
from support.made_workers import wait_for

LIMITS = GuardLimits(
    memory_bytes=300 * 2**20, job_s=3.0, silence_s=2.0, stop_grace_s=0.8, answer_bytes=2**22
)
on_posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent")
only_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="allocations can be limited on Linux alone"
)


@pytest.fixture(scope="module")
def guard(tmp_path_factory) -> Iterator[WorkerPool]:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("temporary")
        patch.setattr("tempfile.tempdir", str(root))
        with WorkerPool(made_workers.load, LIMITS) as guard:
            yield guard
        assert list(root.iterdir()) == []


def loss_of(guard: WorkerPool, *job, **options) -> WorkerLostError:
    """What a job is lost with; another works afterwards."""
    with pytest.raises(WorkerLostError) as caught:
        guard.run(job, **options)
    assert str(caught.value).startswith("This file ")
    assert str(caught.value).endswith(".")
    assert guard.run(("double", 21)) == 42
    return caught.value


# --- what goes well -----------------------------------------------------------------------


def test_one_worker_answers_all_jobs(guard):
    pid = guard.run(("pid",))
    assert [guard.run(("double", number)) for number in range(20)] == list(range(0, 40, 2))
    assert guard.run(("pid",)) == pid == guard.facts()["pid"] != os.getpid()


def test_progress_comes_in_order_and_in_the_callers_thread(guard):
    told = []
    assert guard.run(("count", 5), lambda *step: told.append((*step, threading.get_ident()))) == 5
    assert told == [("Counting", n, 5, threading.get_ident()) for n in range(1, 6)]


def test_a_jobs_own_errors_cost_no_worker(guard):
    pid = guard.run(("pid",))
    with pytest.raises(MediaError, match=r"^'a.mp4' is damaged\.$"):
        guard.run(("unusable",))
    with pytest.raises(JobFailedError, match=r"^KeyError: 'a bug'$") as caught:
        guard.run(("bug",))
    assert "in bug" in caught.value.details
    with pytest.raises(JobFailedError, match="cannot return a value of type function"):
        guard.run(("function",))
    assert guard.run(("pid",)) == pid


def test_results_are_json_and_arrays(guard):
    result = guard.run(("arrays",))
    square, (empty,) = result.pop("arrays")
    assert result == {"n": 1.5, "none": None}
    assert np.array_equal(square, np.eye(2))
    assert (empty.shape, empty.dtype) == ((2, 0, 3), np.uint8)


def test_threads_of_a_job_take_no_other_message(guard):
    """Neither while it runs nor when one of them outlives it."""
    assert guard.run(("threads", 0.2, 1.0)) == "done"
    numbers = range(200)
    assert [guard.run(("double", number)) for number in numbers] == [2 * n for n in numbers]


def test_two_workers_work_at_once():
    with (
        WorkerPool(made_workers.load, LIMITS, workers=2) as guard,
        ThreadPoolExecutor(4) as threads,
    ):
        pids = set(threads.map(guard.run, [("grow", 20)] * 8))
    assert len(pids) == 2


def output_of_a_guard(arguments: str, what_it_does: str) -> tuple[str, str]:
    """stdout and stderr of a process of its own that has a guard."""
    code = (
        "from support.made_workers import *\n"
        "if __name__ == '__main__':\n"
        f"    with WorkerPool({arguments}) as guard:\n"
        f"        {what_it_does}\n"
    )
    path = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (path, path.parent)))},
    )
    return done.stdout, done.stderr


def test_nothing_of_a_worker_reaches_the_output():
    output = output_of_a_guard("load_and_print", "guard.run(('print',)); print('the guard')")
    assert output == ("the guard\n", "loading\n")


@on_posix
def test_a_guard_that_was_held_up_does_not_take_it_for_silence():
    output = output_of_a_guard(
        "load, GuardLimits(silence_s=1.5)", "print(guard.run(('pause_the_guard', 2.0)))"
    )
    assert output == ("done\n", "")


# --- workers that are lost ----------------------------------------------------------------


@pytest.mark.parametrize("how", ["exit", "segfault", "abort"])
def test_a_crash_costs_one_job(guard, how):
    pid = guard.run(("pid",))
    loss = loss_of(guard, how)
    assert loss.cause == "died"
    assert isinstance(loss, MediaError)
    assert guard.run(("pid",)) != pid


@on_posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_the_system_ends_is_tried_again(guard, tmp_path, number):
    assert guard.run(("raise_signal_once", number, str(tmp_path / "mark"))) == "done"
    assert loss_of(guard, "raise_signal", number).cause == "killed"


@on_posix
def test_a_signal_that_another_thread_gets_ends_a_worker(guard):
    assert loss_of(guard, "raise_signal_elsewhere", signal.SIGTERM).cause == "killed"


@on_posix
def test_a_worker_that_is_ended_between_jobs(guard):
    os.kill(guard.run(("pid",)), signal.SIGKILL)
    assert guard.run(("double", 2)) == 4


def test_memory_that_grows(guard):
    loss = loss_of(guard, "grow_for_ever")
    assert loss.cause == "memory"
    assert "more than 0.3 GB of memory" in str(loss)


@only_linux
def test_memory_asked_for_at_once_is_refused(guard):
    pid = guard.run(("pid",))
    assert loss_of(guard, "grow_at_once", 2_000).cause == "memory"
    assert guard.run(("pid",)) == pid  # nothing was used, so nothing had to end


@pytest.mark.parametrize(
    "words",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.",
        "alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 4 bytes",
    ],
)
def test_memory_that_libraries_do_not_get(guard, words):
    """Torch and OpenCV."""
    pid = guard.run(("pid",))
    assert loss_of(guard, "fail", words).cause == "memory"
    assert guard.run(("pid",)) == pid


def test_what_a_job_leaves_in_memory_is_not_charged_to_the_next(guard):
    pid = guard.run(("pid",))
    assert guard.run(("grow", 10)) == pid
    assert guard.run(("grow", 150)) == pid
    assert guard.run(("pid",)) != pid


@pytest.mark.parametrize("job", [("sleep", 60), ("hang_in_native_code",), ("half_a_message",)])
def test_silence(guard, job):
    start = time.monotonic()
    loss = loss_of(guard, *job)
    assert loss.cause == "silent"
    assert "for 2 s nothing moved" in str(loss)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("how", ["life", "checkpoint"])
def test_signs_of_life_count(guard, how):
    assert guard.run(("busy", 2.6, how)) == "done"


def test_time(guard):
    loss = loss_of(guard, "busy", 60, "life")
    assert loss.cause == "time"
    assert "takes more than 3 s" in str(loss)


def test_time_counts_from_each_step(guard):
    assert guard.run(("steps", 3, 1.2)) == "done"
    loss = loss_of(guard, "steps", 2, 0.1, 60)
    assert (loss.cause, loss.step) == ("time", "step 1")


@pytest.mark.parametrize(
    ("job", "cause"),
    [(("large", 5), "answer"), (("endless_message",), "answer"), (("garbage",), "died")],
)
def test_answers_that_are_none(guard, job, cause):
    assert loss_of(guard, *job).cause == cause


def test_a_pickle_from_a_worker_is_not_loaded(guard, tmp_path):
    mark = tmp_path / "mark"
    assert loss_of(guard, "crafted_pickle", str(mark)).cause == "died"
    assert not mark.exists()


# --- secrets ------------------------------------------------------------------------------

SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "CADDM_PAGE_LOGIN", "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("kept", [False, True])
def test_secrets_are_there_while_loading_and_if_asked_for_in_jobs(monkeypatch, kept):
    names = (*SECRETS, "HF_HOME", "TOKENIZERS_PARALLELISM")
    for name in names:
        monkeypatch.setenv(name, "some value")
    load = partial(made_workers.load_with_the_environment, *names)
    with WorkerPool(load, LIMITS, keep_secrets=kept) as pool:
        assert pool.facts() == list(names)
        expected = names if kept else ("HF_HOME", "TOKENIZERS_PARALLELISM")
        assert pool.run(("environment", names)) == list(expected)


def test_a_loss_names_the_file():
    loss = WorkerLostError("silent", LIMITS, "step").about("'a.mp4'")
    assert str(loss) == "'a.mp4' was given up: for 2 s nothing moved in reading it."
    assert (loss.cause, loss.step) == ("silent", "step")


# --- stopping -----------------------------------------------------------------------------


@pytest.mark.parametrize("cooperative", [True, False])
def test_stopping_frees_the_worker_in_time(guard, cooperative):
    pid = guard.run(("pid",))
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    start = time.monotonic()
    with pytest.raises(JobStoppedError):
        guard.run(("busy", 60, "checkpoint" if cooperative else "life"), stop=stop)
    assert time.monotonic() - start < 5
    assert (guard.run(("pid",)) == pid) is cooperative


def test_stopping_ends_the_wait_for_a_worker(guard):
    first, second = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(guard.run, ("busy", 60, "checkpoint"), stop=first)
        wait_for(lambda: guard._free.empty())
        waiting = threads.submit(guard.run, ("pid",), stop=second)
        second.set()
        with pytest.raises(JobStoppedError):
            waiting.result(timeout=5)
        assert not running.done()
        first.set()
        with pytest.raises(JobStoppedError):
            running.result(timeout=5)


class TiredError(Exception):
    pass


def test_an_exception_of_progress_stops_the_job_and_comes_out(guard):
    pid = guard.run(("pid",))

    def progress(stage, done, total):
        if done == 2:
            raise TiredError

    with pytest.raises(TiredError):
        guard.run(("count", 1000, 0.02), progress)
    assert guard.run(("pid",)) == pid


def test_an_interrupt_ends_the_worker(guard):
    pid = guard.run(("pid",))

    def progress(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guard.run(("count", 1000, 0.02), progress)
    assert not psutil.pid_exists(pid)
    assert guard.run(("double", 1)) == 2


def test_closing_ends_jobs_and_those_that_wait(temporary_root):
    guard = WorkerPool(made_workers.load, LIMITS)
    pid = guard.facts()["pid"]
    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(guard.run, ("busy", 60, "life")) for _ in range(2)]
        wait_for(lambda: guard._free.empty())
        guard.close()
        for job in jobs:
            with pytest.raises(JobStoppedError):
                job.result(timeout=5)
    assert not psutil.pid_exists(pid)
    assert list(temporary_root.iterdir()) == []
    with pytest.raises(JobStoppedError):
        guard.run(("pid",))


@on_posix
def test_a_second_stop_does_not_break_off_the_cleaning_up():
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def stopped_twice() -> None:
        with ended_by_sigterm():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(SystemExit) as caught:
        stopped_twice()
    assert caught.value.code == 143
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) == before


def test_stops_are_the_main_threads():
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(_nothing_happens).result() == "done"


def _nothing_happens() -> str:
    with ended_by_sigterm():
        return "done"


# --- starting -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "limits", "sentence"),
    [
        (made_workers.load_with_a_sentence, LIMITS, "^There is no such model.$"),
        (made_workers.load_with_a_bug, LIMITS, "^RuntimeError: a bug$"),
        (made_workers.load_and_exit, LIMITS, "ended while it was started"),
        (made_workers.load_slowly, GuardLimits(start_s=0.5), "within 0.5 s"),
        (made_workers.load_slowly, GuardLimits(memory_bytes=2**20), "does not fit"),
    ],
)
def test_workers_that_cannot_start(temporary_root, load, limits, sentence):
    with WorkerPool(load, limits) as guard:
        with pytest.raises(StartError, match=sentence):
            guard.facts()
        with pytest.raises(StartError, match=sentence):
            guard.run(("pid",))
    assert list(temporary_root.iterdir()) == []


def test_starting_does_not_wait():
    with WorkerPool(made_workers.load_slowly, LIMITS) as guard:
        guard.start()
        stop = threading.Event()
        stop.set()
        with pytest.raises(JobStoppedError):
            guard.facts(stop)
