"""Memory that is freed goes back to the system, so that a long-running process stays its size.

glibc raises, by itself, the size from which a block is returned when freed to as much as 32 MB.
Frames and feature maps below it then lie scattered in the heap, which grows by some tenth over
hundreds of videos although nothing is kept.
"""

import ctypes
import sys

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
RETURNED_FROM_BYTES = 2**20


def return_freed_memory() -> None:
    """For processes of our own, not for a library's: it holds for the whole process."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, RETURNED_FROM_BYTES)
    except (OSError, AttributeError):  # another C library
        return
