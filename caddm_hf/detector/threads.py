"""Threads in which torch computes on one core each.

Torch can also divide each operation among its threads, but then they wait for one another at
every layer, and wait long where other work (decoding, another video) has one of the cores. Work
that comes in independent pieces runs faster as one piece a core.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

STARTING_S = 60.0  # more than a thread needs to start on a machine that is still alive


@contextmanager
def worker_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of `count` threads, each of which computes on one core.

    What is still waiting when the block is left is dropped.
    """
    torch_threads = torch.get_num_threads()
    all_started = threading.Barrier(count + 1)

    def start() -> None:
        # Asking first: a thread's first use of torch would set it back to the common number.
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_started.wait(STARTING_S)

    pool = ThreadPoolExecutor(count)
    try:
        started = [pool.submit(start) for _ in range(count)]
        all_started.wait(STARTING_S)
        for future in started:
            future.result()
        # The setting belongs to each thread, but new threads take over the latest one.
        torch.set_num_threads(torch_threads)
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
