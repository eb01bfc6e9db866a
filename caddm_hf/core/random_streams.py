"""The streams of random numbers that a seed is divided into.

Each use of randomness has a stream, so that no two uses draw the same numbers. The numbers of the
streams must not change: they decide the samples and figures of every seed.
"""

from enum import IntEnum, unique

import numpy as np


@unique
class RandomStream(IntEnum):
    """The uses of random numbers."""

    ORDER = 1  # of the rows of an epoch
    SAMPLE = 2  # everything random in a training sample
    VALIDATION_INTERVAL = 3  # resamples behind the interval of a validation
    SUBSET = 4  # the rows that are used if not all are
    BUFFER = 5  # of a streamed collection
    PAIR = 6  # what both samples of a pair have in common
    EVALUATION_INTERVAL = 11  # resamples behind the intervals of evaluation


def random_generator(seed: int, stream: RandomStream, *numbers: int) -> np.random.Generator:
    """Return the generator of one stream.

    Args:
        seed: seed of the run, at least 0.
        stream: use of the numbers.
        numbers: identify a generator of the stream, such as epoch and position.
    """
    return np.random.default_rng([seed, int(stream), *numbers])
