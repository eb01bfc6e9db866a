"""The code that runs in a worker process; `process` is its counterpart in the parent.

The parent sends pickled tuples, ("job", number, job) and ("stop", number). The worker answers with
the messages of `messages.CONTENTS`.
"""

import ctypes
import faulthandler
import multiprocessing
import os
import re
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

from ..core.liveness import Progress, set_watcher
from ..core.memory import return_freed_memory
from ..media.limits import MediaError
from .limits import GuardLimits
from .messages import MessageTooLargeError, encode

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

HEARTBEAT_EVERY_S = 1.0
LOOK_FOR_STOP_EVERY_S = 0.1
MAX_DETAILS = 4000  # characters of an error and of its traceback that are sent
# A worker whose parent is gone exits this long after the time limit of its job.
ORPHAN_GRACE_S = 60.0
PARENT_EXITS_WITHIN_S = 0.2  # after the parent has closed its end of the connection
# Linux: how readily the kernel kills a process when memory is short, up to 1000. A worker is to
# be killed before its parent.
OOM_SCORE = "800"

# Parts of the error messages of torch and OpenCV when an allocation fails.
NO_MEMORY = ("can't allocate memory", "Insufficient memory")

TERMINATED = 143  # 128 + SIGTERM, as shells report it
# The parent blocks these signals while it starts a worker.
CHILD_SIGNALS = {
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
}
SECRET_NAME = re.compile(
    r"(^|_)(TOKEN|TOKENS|SECRET|PASSWORD|PASSWD|CREDENTIALS|LOGIN|(API|ACCESS|PRIVATE)_?KEY)(_|$)",
    re.IGNORECASE,
)

Handle = Callable[[Any, Progress], Any]


class StopWorking(BaseException):
    """The job is no longer wanted. Not an `Exception`, so that jobs do not catch it."""


def run_worker(
    connection: Connection,
    load: Callable[[], Handle],
    folder: str,
    limits: GuardLimits,
    keep_secrets: bool,
) -> None:
    """Load once, then answer jobs until the parent closes the connection.

    Args:
        connection: to the parent.
        load: called once; its result is called with each job.
        folder: for temporary files; deleted whenever the parent exits.
        limits: enforced by the parent. The worker itself limits allocations after loading (Linux),
            and the time of a job in case the parent is gone.
        keep_secrets: whether jobs need the secrets in the environment, too.
    """
    leave = _exit_with_the_parent(folder)
    with suppress(OSError):  # a service may have no output
        os.dup2(2, 1)  # output of a worker must not mix with the parent's
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    parent = _Parent(connection, limits, leave)
    try:
        handle = load()
    except Exception as error:
        known = isinstance(error, ValueError)
        parent.send("no start", str(error) if known else f"{type(error).__name__}: {error}")
        return
    if not keep_secrets:
        remove_secrets()
    _limit_allocations(limits.memory_bytes)
    set_watcher(parent)
    parent.send("ready", getattr(handle, "facts", None))
    _silence_native_code()
    while True:
        parent.wait_for_job()
        parent.answer(handle)
        return_freed_memory()


class _Parent:
    """The worker's end of the connection; the `Watcher` of its process."""

    def __init__(self, connection: Connection, limits: GuardLimits, leave: Callable[[], NoReturn]):
        self._connection = connection
        self._max_bytes = limits.answer_bytes
        self._max_job_s = limits.job_s + ORPHAN_GRACE_S
        self._leave = leave  # called when the parent has closed the connection
        self._sending = threading.Lock()  # native code may call back on threads of its own
        self._reading = threading.Lock()
        self._number = 0
        self._job: Any = None
        self._next: tuple[int, Any] | None = None
        self._stop = False
        self._sent_at = self._looked_at = 0.0

    def send(self, kind: str, *contents: Any) -> None:
        try:
            data = encode(self._max_bytes, kind, *contents)
        except MessageTooLargeError:
            data = encode(self._max_bytes, "too large", self._number)
        with self._sending:
            self._sent_at = time.monotonic()
            try:
                self._connection.send_bytes(data)
            except OSError:
                self._leave()

    def wait_for_job(self) -> None:
        with self._reading:
            while self._next is None:
                self._read()
            (self._number, self._job), self._next = self._next, None
            self._stop = False

    def _read(self) -> None:
        try:
            kind, number, *contents = self._connection.recv()
        except (EOFError, OSError):
            self._leave()
        if kind == "job":
            self._next = (number, *contents)
        elif number == self._number:  # ignore a request to stop a job that has ended since
            self._stop = True

    def answer(self, handle: Handle) -> None:
        number = self._number
        # A thread of C enforces the limit, even if Python code hangs.
        faulthandler.dump_traceback_later(self._max_job_s, exit=True)
        try:
            self.send("result", number, handle(self._job, self._progress))
        except StopWorking:
            self.send("stopped", number)
        except MediaError as error:
            self.send("unusable", number, str(error))
        except Exception as error:
            if is_want_of_memory(error):
                self.send("memory", number)
                return
            self.send(
                "failed",
                number,
                f"{type(error).__name__}: {str(error)[:MAX_DETAILS]}",
                "".join(traceback.format_exception(error))[-MAX_DETAILS:],
            )
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._job = None

    def _progress(self, stage: str, done: int, total: int) -> None:
        self._raise_if_stopped()
        self.send("progress", self._number, stage, done, total)

    def heartbeat(self) -> None:
        if time.monotonic() - self._sent_at > HEARTBEAT_EVERY_S:
            self.send("alive", self._number)

    def checkpoint(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > LOOK_FOR_STOP_EVERY_S:
            self._looked_at = now
            self._raise_if_stopped()
            self.heartbeat()

    def begin_step(self, name: str) -> None:
        self._raise_if_stopped()
        # The limit on time starts anew, as the parent's does.
        faulthandler.dump_traceback_later(self._max_job_s, exit=True)
        self.send("step", self._number, name)

    def _raise_if_stopped(self) -> None:
        # A job may use several threads, or leave one running. Only one thread at a time may read.
        if not self._stop and self._reading.acquire(blocking=False):
            try:
                while self._connection.poll():
                    self._read()
            finally:
                self._reading.release()
        if self._stop:
            raise StopWorking


def is_want_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; torch and OpenCV raise no `MemoryError` then."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def remove_secrets() -> None:
    """Remove environment variables whose names suggest a secret.

    Jobs read hostile files, and need neither the Hub's token nor the page's password.
    """
    for name in [name for name in os.environ if SECRET_NAME.search(name)]:
        if os.name == "posix":
            # Deleting the variable leaves its text in memory, and in /proc/self/environ.
            getenv = ctypes.CDLL(None).getenv
            getenv.restype = ctypes.c_void_p
            address = getenv(os.fsencode(name))
            if address:
                ctypes.memset(address, 0, len(ctypes.string_at(address)))
        del os.environ[name]


def _exit_with_the_parent(folder: str) -> Callable[[], NoReturn]:
    """Ignore SIGINT; exit when the parent exits, or on SIGTERM and SIGHUP.

    Returns:
        a function that deletes this worker's temporary folder and exits. It deletes the parent's
        folder, too, if the parent is gone.
    """
    parent = multiprocessing.parent_process()

    def leave() -> NoReturn:
        parent_is_gone = wait_for_objects([parent.sentinel], PARENT_EXITS_WITHIN_S)
        left = os.path.dirname(folder) if parent_is_gone else folder
        for _ in range(2):  # another thread may have written a file there meanwhile
            shutil.rmtree(left, ignore_errors=True)
        os._exit(TERMINATED)

    def leave_after(event: Callable[[], object]) -> None:
        event()
        leave()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events = [lambda: wait_for_objects([parent.sentinel])]
    if hasattr(signal, "pthread_sigmask"):
        # All threads block the signals, so that `sigwait` in its own thread receives them even
        # while the main thread is busy.
        signal.pthread_sigmask(signal.SIG_BLOCK, CHILD_SIGNALS)
        events.append(lambda: signal.sigwait(CHILD_SIGNALS - {signal.SIGINT}))
    for event in events:
        threading.Thread(target=leave_after, args=(event,), daemon=True).start()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # only Linux has it
        file.write(OOM_SCORE)
    return leave


def _silence_native_code() -> None:
    """Discard all output: decoders' messages about a damaged file do not help the user."""
    if sys.stderr is not None:
        sys.stderr.flush()
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)


def _limit_allocations(memory_bytes: int) -> None:
    """Linux: make allocations beyond the limit fail, before the parent sees them in use.

    The limit is on writable private memory (`RLIMIT_DATA`). A limit on address space would not do:
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
