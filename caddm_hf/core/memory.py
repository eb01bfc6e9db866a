"""Memory that is freed goes back to the system, so that a long-running process stays its size.

glibc keeps freed blocks below a size it chooses by itself, up to 32 MB. Frames and feature maps lie
scattered among them in the heap, which grows by some tenth over hundreds of videos although
nothing is kept. (Asking for each block anew, by a lower such size, would double the time a video
takes.)
"""

import ctypes
import mmap
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # commands show their help without waiting for torch
    from torch import Tensor

# Of Linux's madvise(2): give these pages up, they come back by themselves when they are used.
MADV_PAGEOUT = 21


def return_freed_memory() -> None:
    """Hand whole free pages back; for between two jobs, as using them again costs some time."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return


def page_out(tensors: "Iterable[Tensor]") -> None:
    """Let go of the memory behind tensors that may not be used again.

    Loaded weights are a mapped file as a rule, whose pages the system reads again when they are
    used. Other memory goes to swap space where there is some, else it stays, as all does on systems
    that cannot do this.

    Args:
        tensors: keep their values; those that are not on the CPU are passed over.
    """
    if sys.platform != "linux":
        return
    spans = sorted(
        {
            (storage.data_ptr(), storage.nbytes())
            for storage in (t.untyped_storage() for t in tensors if t.device.type == "cpu")
        }
    )
    try:
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return
    for start, length in spans:
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (start + length - first) // mmap.PAGESIZE * mmap.PAGESIZE
        if whole > 0:
            advise(ctypes.c_void_p(first), ctypes.c_size_t(whole), MADV_PAGEOUT)
