"""Threads in which torch uses one core each.

Torch can also divide each operation among its threads, but then the threads wait for one another
at every layer, for long if other work (decoding, another video) occupies a core. Independent
pieces of work finish sooner if each runs on one core.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

STARTING_S = 60.0  # more than a thread needs to start, even on a busy machine


@contextmanager
def worker_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of `count` threads in which torch uses one core each.

    Work that has not started when the block is left is cancelled.
    """
    torch_threads = torch.get_num_threads()
    all_started = threading.Barrier(count + 1)

    def start() -> None:
        # Read the number first: a thread's first use of torch resets it to the common number.
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_started.wait(STARTING_S)

    pool = ThreadPoolExecutor(count)
    try:
        started = [pool.submit(start) for _ in range(count)]
        all_started.wait(STARTING_S)
        for future in started:
            future.result()
        # Each thread has its own setting, but new threads inherit the latest one.
        torch.set_num_threads(torch_threads)
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
