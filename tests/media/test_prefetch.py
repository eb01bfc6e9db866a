"""caddm_hf.media.prefetch and detector.threads: what runs beside what."""

import threading
from concurrent.futures import Future
from dataclasses import replace

import pytest
import torch

from caddm_hf.detector.threads import worker_threads
from caddm_hf.media.frames import iterate_sampled_frames, probe_media
from caddm_hf.media.limits import MediaError
from caddm_hf.media.prefetch import FRAMES_AHEAD, FramePrefetch, frames_within
from support.made_media import numbered_frames, write_video
from support.media_checks import assert_numbered


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "a.mp4", numbered_frames(60))


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "decoding"]


def test_frames_come_in_order_and_the_thread_ends(clip):
    info = probe_media(clip)
    with FramePrefetch(iterate_sampled_frames(clip, info, 60), info) as frames:
        assert_numbered(list(frames), list(range(60)))
        assert list(frames) == []
    assert decoding_threads() == []


def test_leaving_early_ends_the_thread_and_closes_the_file(clip):
    info = probe_media(clip)
    sampled = iterate_sampled_frames(clip, info, 60)
    with FramePrefetch(sampled, info) as frames:
        next(frames)
    assert decoding_threads() == []
    with pytest.raises(StopIteration):
        next(sampled)


def test_errors_come_out_after_the_frames_before_them(clip):
    info = probe_media(clip)
    broken = replace(info, width=0)  # no frame can be brought to that size
    with pytest.raises((MediaError, ValueError)):
        list(iterate_sampled_frames(clip, broken, 4))
    sampled = iterate_sampled_frames(clip, broken, 4)
    with pytest.raises((MediaError, ValueError)), FramePrefetch(sampled, info) as frames:
        list(frames)
    assert decoding_threads() == []


def test_no_more_frames_wait_than_fit_into_memory(clip):
    info = probe_media(clip)
    frame_bytes = 96 * 64 * 3
    assert frames_within(info, frame_bytes * 3, 8) == 3
    assert frames_within(info, frame_bytes * 100, 8) == 8
    assert frames_within(info, 1, 8) == 1

    class Endless:
        def __init__(self, frame):
            self.frame, self.made, self.stopped = frame, 0, False

        def __iter__(self):
            while not self.stopped:
                self.made += 1
                yield self.frame

        def stop(self):
            self.stopped = True

        def close(self):
            pass

    (frame,) = iterate_sampled_frames(clip, info, 1)
    endless = Endless(frame)
    with FramePrefetch(endless, info) as frames:
        for _ in range(5):
            assert next(frames) is frame
        assert endless.made <= 5 + FRAMES_AHEAD + 1


def test_workers_compute_on_one_core_and_leave_this_thread_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with worker_threads(2) as workers:
            assert [workers.submit(torch.get_num_threads).result() for _ in range(4)] == [1] * 4
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_work_that_waits_is_dropped_when_the_block_is_left():
    begun, end = threading.Event(), threading.Event()
    dropped: list[Future] = []

    def work() -> bool:
        begun.set()
        return end.wait(60)

    with worker_threads(1) as workers:
        running = workers.submit(work)
        dropped += [workers.submit(print) for _ in range(3)]
        assert begun.wait(60)
        threading.Timer(0.2, end.set).start()
    assert running.result() is True
    assert all(future.cancelled() for future in dropped)
