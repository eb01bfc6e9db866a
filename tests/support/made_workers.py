"""What guarded workers run in tests: jobs that do what files can make a decoder do.

Apart from the tests so that a worker need not import pytest.
"""

import ctypes
import gc
import os
import pickle
import re
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from caddm_hf.core.liveness import begin_step, checkpoint, heartbeat
from caddm_hf.guard.limits import GuardLimits
from caddm_hf.guard.pool import WorkerPool, ended_by_sigterm
from caddm_hf.media.limits import MediaError

MEGABYTE = 2**20


class Touch:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (Path(self._path),)


class Doer:
    """Does what a job says: the name of a method and its arguments."""

    def __init__(self):
        self.facts = {"pid": os.getpid()}
        self._kept: list[bytearray] = []

    def __call__(self, job, tell):
        name, *arguments = job
        self._tell = tell
        return getattr(self, name)(*arguments)

    def pid(self):
        return os.getpid()

    def double(self, number):
        return 2 * number

    def count(self, steps, pause_s=0.0):
        for step in range(steps):
            self._tell("Counting", step + 1, steps)
            time.sleep(pause_s)
        return steps

    def unusable(self):
        raise MediaError("'a.mp4' is damaged.")

    def bug(self):
        raise KeyError("a bug")

    def fail(self, words):
        raise RuntimeError(words)

    def exit(self):
        os._exit(3)

    def segfault(self):
        ctypes.string_at(0)

    def abort(self):
        os.abort()

    def raise_signal_once(self, number, mark):
        """The first time only."""
        if not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), number)
            time.sleep(5)
        return "done"

    def raise_signal(self, number):
        os.kill(os.getpid(), number)
        time.sleep(5)

    def raise_signal_elsewhere(self, number):
        """Another thread gets it, and the main thread is not woken."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        os.kill(os.getpid(), number)
        time.sleep(5)

    def pause_the_guard(self, seconds):
        """The whole process stands still, as when its machine is suspended."""
        os.kill(os.getppid(), signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(os.getppid(), signal.SIGCONT)
        time.sleep(0.5)  # long enough for the guard to look
        return "done"

    def grow(self, megabytes):
        """In small pieces, as a leak does."""
        for _ in range(megabytes):
            self._kept.append(bytearray(b"x" * MEGABYTE))
            heartbeat()
        return os.getpid()

    def grow_for_ever(self):
        while True:
            self._kept.append(bytearray(b"x" * MEGABYTE))
            heartbeat()

    def grow_at_once(self, megabytes):
        return len(bytearray(megabytes * MEGABYTE))

    def sleep(self, seconds):
        time.sleep(seconds)

    def hang_in_native_code(self):
        """Holds the interpreter's lock meanwhile, so no thread of the worker can act."""
        re.match("(a+)+$", "a" * 60 + "b")

    def busy(self, seconds, how):
        signs = {"life": heartbeat, "checkpoint": checkpoint, "silent": lambda: None}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)
            signs[how]()
        return "done"

    def threads(self, seconds, left_s):
        """Several threads that look whether to stop; one goes on after the job."""

        def look(end):
            while time.monotonic() < end:
                time.sleep(0.002)
                checkpoint()

        now = time.monotonic()
        threads = [
            threading.Thread(target=look, args=(now + seconds + rest,), daemon=True)
            for rest in (0, 0, 0, left_s)
        ]
        for thread in threads:
            thread.start()
        for thread in threads[:3]:
            thread.join()
        return "done"

    def steps(self, count, seconds, last_s=0.0):
        for step in range(count):
            begin_step(f"step {step}")
            self.busy(seconds, "life")
        self.busy(last_s, "life")
        return "done"

    def write(self, name):
        """A temporary file, left where it is."""
        path = Path(tempfile.mkdtemp()) / name
        path.write_bytes(bytes(1000))
        return str(path)

    def write_and_exit(self):
        self.write("left")
        os._exit(3)

    def large(self, megabytes):
        return np.zeros(megabytes * MEGABYTE, np.uint8)

    def arrays(self):
        return {"n": 1.5, "none": None, "arrays": [np.eye(2), (np.zeros((2, 0, 3), np.uint8),)]}

    def environment(self, names):
        """Those of the names that are in this process's environment, or were."""
        started = Path("/proc/self/environ")
        before = started.read_text().split("\0") if started.exists() else []
        before = [variable.partition("=")[0] for variable in before if not variable.endswith("=")]
        return [name for name in names if name in os.environ or name in before]

    def print(self):
        print("from Python", flush=True)
        print("on stderr", file=sys.stderr, flush=True)
        os.write(1, b"from native code\n")
        os.write(2, b"native, on stderr\n")

    def half_a_message(self):
        os.write(self._line().fileno(), struct.pack("!i", 1000) + b"half")
        time.sleep(60)

    def garbage(self):
        self._line().send_bytes(b"no message")
        time.sleep(60)

    def crafted_pickle(self, mark):
        """As a worker would that a file has taken over: it runs code where it is unpickled."""
        self._line().send_bytes(pickle.dumps(("result", 1, Touch(mark))))
        time.sleep(60)

    def endless_message(self):
        os.write(self._line().fileno(), struct.pack("!i", -1) + struct.pack("!Q", 2**40))
        time.sleep(60)

    def function(self):
        return lambda: None

    def _line(self):
        (line,) = (thing for thing in gc.get_objects() if isinstance(thing, Connection))
        return line


def load():
    return Doer()


def load_with_the_environment(*names):
    doer = Doer()
    doer.facts = doer.environment(names)
    return doer


def load_and_print():
    print("loading", flush=True)
    return Doer()


def load_with_a_sentence():
    raise ValueError("There is no such model.")


def load_with_a_bug():
    raise RuntimeError("a bug")


def load_and_exit():
    os._exit(3)


def load_slowly():
    time.sleep(60)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Until it has come about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)


def guard_until_ended(mark: str) -> None:
    """A program that guards a sleeping worker, which leaves a file; for being killed."""
    with ended_by_sigterm(), WorkerPool(load, GuardLimits()) as guard:
        path = guard.run(("write", "left"))
        print(guard.facts()["pid"], path, flush=True)
        Path(mark).touch()
        guard.run(("sleep", 60))


if __name__ == "__main__":
    try:
        guard_until_ended(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
