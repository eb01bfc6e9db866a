"""caddm_hf.core.memory: freed memory goes back to the system."""

import sys

import numpy as np
import psutil
import pytest

from caddm_hf.core.memory import return_freed_memory

BLOCK_BYTES = 2**15  # small enough for glibc to keep it
MEGABYTE = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is returned")
def test_freed_blocks_between_used_ones_are_returned() -> None:
    process = psutil.Process()
    blocks = [np.ones(BLOCK_BYTES, np.uint8) for _ in range(4000)]
    kept = blocks[::100]
    del blocks
    before = process.memory_info().rss
    return_freed_memory()
    assert process.memory_info().rss < before - 60 * MEGABYTE
    assert all(block.all() for block in kept)
