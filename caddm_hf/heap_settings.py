"""Memory that is freed goes back to the system, so that a long-running process stays its size.

glibc keeps freed blocks below a size it chooses by itself, up to 32 MB. Frames and feature maps lie
scattered among them in the heap, which grows by some tenth over hundreds of videos although
nothing is kept. (Asking for each block anew, by a lower such size, would double the time a video
takes.)
"""

import ctypes
import sys


def return_freed_memory() -> None:
    """Hand whole free pages back; for between two jobs, as using them again costs some time."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
