"""Returns freed memory to the system, so that a long-running process does not grow.

glibc keeps freed blocks below a size that it chooses by itself, up to 32 MB. Frames and feature
maps lie scattered among them, so the heap grows by about a tenth over hundreds of videos although
nothing is kept. (A lower size, above which each block is allocated anew, would double the time
that a video takes.)
"""

import ctypes
import sys


def return_freed_memory() -> None:
    """Return free pages to the system. Call between jobs: using the pages again takes time."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
