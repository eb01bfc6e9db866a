"""caddm_hf.detector.scoring: batches are scored several at a time, and come back in order."""

import threading

import pytest
import torch

from caddm_hf.detector.scoring import BATCHES_AHEAD, score_batches


@pytest.mark.parametrize("calls_at_once", [1, 3])
def test_results_come_in_order(calls_at_once: int):
    found = list(score_batches(lambda batch: batch * 10, range(20), calls_at_once))
    assert found == [(number, number * 10) for number in range(20)]
    assert list(score_batches(str, [], calls_at_once)) == []


def test_one_call_at_once_reads_nothing_ahead():
    read = []

    def batches():
        for number in range(3):
            read.append(number)
            yield number

    for batch, _ in score_batches(str, batches(), 1):
        assert read[-1] == batch


def test_threads_compute_on_one_core_each_and_read_a_few_ahead():
    read = []

    def batches():
        for number in range(50):
            read.append(number)
            yield number

    threads = set()

    def score(batch: int) -> int:
        threads.add(threading.get_ident())
        return torch.get_num_threads()

    results = score_batches(score, batches(), 2)
    assert next(results) == (0, 1)
    assert len(read) == 2 * BATCHES_AHEAD
    results.close()
    assert threading.get_ident() not in threads


def test_an_error_of_a_batch_is_raised():
    def fail(batch: int) -> int:
        raise ValueError(batch)

    with pytest.raises(ValueError, match="0"):
        list(score_batches(fail, range(3), 2))
