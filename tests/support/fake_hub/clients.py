"""Client processes of the Hub, forked from one that has imported what takes seconds to import.

What it has imported reads no setting of the Hub. A client imports all else itself, in its own
environment, and shares nothing with this process or with another client.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_PRELOADED = (
    *("torch", "torchvision", "cv2", "pandas", "pyarrow.parquet"),
    *("scipy.stats", "sklearn.metrics", "skimage.data"),
)
_PARENT = """
import importlib, json, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
hub_libraries = {"huggingface_hub", "transformers", "datasets", "timm"}
assert not hub_libraries & set(sys.modules), "they have read the settings of no client"
for line in sys.stdin:
    call = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(call["log"], os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(call["environment"])
        os.chdir(call["folder"])
        sys.path[:] = call["path"]
        function = getattr(importlib.import_module(call["module"]), call["name"])
        answer = function(*call["arguments"])
        with open(call["answer"], "w") as file:
            json.dump(answer, file)
        sys.exit()
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
_one_at_a_time = threading.Lock()


@cache
def _parent() -> subprocess.Popen:
    """Ends with this process: its standard input does."""
    return subprocess.Popen(
        [sys.executable, "-c", _PARENT, *_PRELOADED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def call_in_client(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    environment: Mapping[str, str],
    folder: Path,
) -> Any:
    """Call a function of a module in a new process; returns its answer, by way of JSON.

    Args:
        function: Defined at the top of its module.
        arguments: Such as JSON can hold.
        environment: Of the process.
        folder: Where it works.

    Raises:
        RuntimeError: If the process fails; with what it printed.
    """
    with TemporaryDirectory() as between:
        log, answer = Path(between, "log"), Path(between, "answer")
        call = {
            "module": function.__module__,
            "name": function.__name__,
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(folder),
            "path": [os.path.abspath(path) for path in sys.path],
            "log": str(log),
            "answer": str(answer),
        }
        with _one_at_a_time:
            parent = _parent()
            try:
                parent.stdin.write(json.dumps(call) + "\n")
                parent.stdin.flush()
                status = parent.stdout.readline().strip()
            except BaseException:  # a test's time is up: its client ends with it
                _parent.cache_clear()
                os.killpg(parent.pid, signal.SIGKILL)
                parent.wait()
                raise
        if status != "0":
            printed = log.read_text() if log.exists() else ""
            raise RuntimeError(f"{function.__name__} failed in its process:\n{printed}")
        return json.loads(answer.read_text())
