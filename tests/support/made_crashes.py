"""Files that do to their worker what no test can find a real file for: by their names."""

import os
from pathlib import Path

PATCH = """
import sys

if "--multiprocessing-fork" in sys.argv:
    import ctypes
    import time

    from caddm_hf.media import files as media_files

    opened = media_files.open_media_file

    def open_media_file(path, max_bytes):
        if path.name.startswith("crash"):
            ctypes.string_at(0)
        if path.name.startswith("bloat"):
            bytearray(10**12)
        if path.name.startswith("hang"):
            time.sleep(1000)
        return opened(path, max_bytes)

    media_files.open_media_file = open_media_file
"""


def crashing_environment(folder: Path) -> dict[str, str]:
    """Environment in which workers crash, ask for a terabyte or hang by a file's name.

    Args:
        folder: for a module that every Python process then imports when it starts.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(PATCH)
    paths = [str(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
