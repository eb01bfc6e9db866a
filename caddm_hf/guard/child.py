"""What runs in a guarded worker process; `guard.pool` is the other end of its line.

Messages are pickled tuples: a kind, then for all but the first two the number of the job.

    worker -> guard   ("ready", facts)  ("no start", sentence)
                      ("alive", n)  ("step", n, name)  ("progress", n, stage, done, total)
                      ("result", n, value)  ("unusable", n, sentence)  ("stopped", n)
                      ("memory", n)  ("too large", n)  ("failed", n, error, traceback)
    guard -> worker   ("job", n, job)  ("stop", n)
"""

import faulthandler
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_objects
from typing import Any, NoReturn

from ..core.liveness import be_watched
from ..core.memory import return_freed_memory
from ..media.limits import MediaError

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

ALIVE_EVERY_S = 1.0
LOOK_FOR_STOP_EVERY_S = 0.1
MOST_DETAILS = 4000  # characters of a traceback that are handed on
# A worker that nobody watches any more ends itself this long after its job should have ended.
SELF_DESTRUCTION_SLACK_S = 60.0
GUARD_ENDS_WITHIN_S = 0.2  # after it has hung up, if it is ending
# Linux: how willingly the kernel ends a process when memory is short, up to 1000. A worker is to
# go before the process that guards it.
OOM_SCORE = "800"

# What torch and OpenCV say of an allocation that fails.
NO_MEMORY = ("can't allocate memory", "Insufficient memory")

TERMINATED = 143  # 128 + SIGTERM, as shells report it
# Blocked by the guard while it starts a worker.
CHILD_SIGNALS = {
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
}

Tell = Callable[[str, int, int], None]
Handle = Callable[[Any, Tell], Any]


class StopWorking(BaseException):
    """The job is no longer wanted: a request, so no `Exception` that jobs would catch."""


def work(
    line: Connection,
    load: Callable[[], Handle],
    folder: str,
    memory_bytes: int,
    job_s: float,
    most_bytes: int,
) -> None:
    """The life of a worker.

    Args:
        line: to the guard; its end is the worker's.
        load: called once; what it returns is called with each job.
        folder: for temporary files; it goes with the process that guards, whatever ends that.
        memory_bytes: what the worker may allocate beyond what loading took, where the system
            can tell (Linux).
        job_s: a job's wall-clock limit, which the guard keeps; here only for when it is gone.
        most_bytes: the longest message the guard takes.
    """
    leave = _live_and_die_with_the_guard(folder)
    _keep_out_of_the_output()
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    talk = _Talk(line, most_bytes, job_s + SELF_DESTRUCTION_SLACK_S, leave)
    try:
        handle = load()
    except Exception as error:
        known = isinstance(error, ValueError)
        talk.say("no start", str(error) if known else f"{type(error).__name__}: {error}")
        return
    _limit_allocations(memory_bytes)
    be_watched(talk)
    talk.say("ready", getattr(handle, "facts", None))
    _silence_native_code()
    while True:
        talk.wait_for_job()
        talk.answer(handle)
        return_freed_memory()


class _Talk:
    """The worker's side of the conversation; a `core.liveness.Watcher`."""

    def __init__(
        self, line: Connection, most_bytes: int, longest_s: float, leave: Callable[[], NoReturn]
    ):
        self._line = line
        self._most_bytes = most_bytes
        self._longest_s = longest_s
        self._leave = leave  # where the guard has hung up
        self._lock = threading.Lock()  # native code may call back on threads of its own
        self._reading = threading.Lock()
        self._number = 0
        self._job: Any = None
        self._next: tuple[int, Any] | None = None
        self._stop = False
        self._told_at = self._looked_at = 0.0

    def say(self, *message: Any) -> None:
        data = pickle.dumps(message)
        if len(data) > self._most_bytes:
            data = pickle.dumps(("too large", self._number))
        with self._lock:
            self._told_at = time.monotonic()
            try:
                self._line.send_bytes(data)
            except OSError:
                self._leave()

    def wait_for_job(self) -> None:
        """Takes the next job."""
        with self._reading:
            while self._next is None:
                self._read()
            (self._number, self._job), self._next = self._next, None
            self._stop = False

    def _read(self) -> None:
        try:
            kind, number, *content = self._line.recv()
        except (EOFError, OSError):
            self._leave()
        if kind == "job":
            self._next = (number, *content)
        elif number == self._number:  # else a request to stop what has ended since
            self._stop = True

    def answer(self, handle: Handle) -> None:
        number = self._number
        # A thread of C, which no hanging Python code can hold up.
        faulthandler.dump_traceback_later(self._longest_s, exit=True)
        try:
            self.say("result", number, handle(self._job, self._progress))
        except StopWorking:
            self.say("stopped", number)
        except MediaError as error:
            self.say("unusable", number, str(error))
        except Exception as error:
            if is_want_of_memory(error):
                self.say("memory", number)
                return
            self.say(
                "failed",
                number,
                f"{type(error).__name__}: {str(error)[:MOST_DETAILS]}",
                "".join(traceback.format_exception(error))[-MOST_DETAILS:],
            )
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._job = None

    def _progress(self, stage: str, done: int, total: int) -> None:
        self._stop_if_asked()
        self.say("progress", self._number, stage, done, total)

    def alive(self) -> None:
        if time.monotonic() - self._told_at > ALIVE_EVERY_S:
            self.say("alive", self._number)

    def checkpoint(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > LOOK_FOR_STOP_EVERY_S:
            self._looked_at = now
            self._stop_if_asked()
            self.alive()

    def now_at(self, step: str) -> None:
        self._stop_if_asked()
        # The self-destruction starts anew with the step, as the guard's clock does.
        faulthandler.dump_traceback_later(self._longest_s, exit=True)
        self.say("step", self._number, step)

    def _stop_if_asked(self) -> None:
        # A job may have several threads, and leave one behind: only one at a time may read.
        if not self._stop and self._reading.acquire(blocking=False):
            try:
                while self._line.poll():
                    self._read()
            finally:
                self._reading.release()
        if self._stop:
            raise StopWorking


def is_want_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; torch and OpenCV have no exception of their own for that."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def _live_and_die_with_the_guard(folder: str) -> Callable[[], NoReturn]:
    """Leaves Ctrl-C to the guard; ends when that does, or when told to.

    Returns:
        how to end so that no file stays.
    """

    guard = multiprocessing.parent_process()

    def go(*_: object) -> NoReturn:
        guard_is_gone = wait_for_objects([guard.sentinel], GUARD_ENDS_WITHIN_S)
        left = os.path.dirname(folder) if guard_is_gone else folder
        for _ in range(2):  # another thread may have put something there meanwhile
            shutil.rmtree(left, ignore_errors=True)
        os._exit(TERMINATED)

    for number in CHILD_SIGNALS:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else go)
    news = [guard.sentinel]
    if hasattr(signal, "pthread_sigmask"):
        news.append(_signals_that_came())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD_SIGNALS)

    def watch() -> None:
        while guard.sentinel not in (ready := wait_for_objects(news)):
            if CHILD_SIGNALS.intersection(os.read(*ready, 64)):
                break
        go()

    threading.Thread(target=watch, daemon=True).start()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # only Linux has it
        file.write(OOM_SCORE)
    return go


def _signals_that_came() -> int:
    """A file descriptor from which the number of each signal with a handler can be read.

    Python runs the handler in the main thread alone, once that is back from native code; and the
    system may give the signal to another thread, so that a main thread that sleeps sleeps on.
    """
    numbers, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    return numbers


def _keep_out_of_the_output() -> None:
    """What is printed here must not get between the guard's lines of output."""
    with suppress(OSError):  # a service may run without any
        os.dup2(2, 1)


def _silence_native_code() -> None:
    """Decoders' messages on a damaged file say nothing to whoever chose it."""
    if sys.stderr is not None:
        sys.stderr.flush()
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)


def _limit_allocations(memory_bytes: int) -> None:
    """Linux: allocations beyond the limit fail at once, before the guard sees them in use.

    The limit is on writable private memory (`RLIMIT_DATA`). One on address space would not do:
    torch reserves many times what it uses.
    """
    if resource is None or not sys.platform.startswith("linux"):
        return
    with open("/proc/self/statm") as file:
        in_use = int(file.read().split()[5]) * resource.getpagesize()
    limit = in_use + memory_bytes
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
