"""Twenty visitors at once: each gets their own result, and nothing of them stays.

Times are printed, not asserted: `python -m pytest -m slow -s tests/reliability/test_app_load.py`.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from gradio_client import Client, handle_file
from skimage.data import astronaut

from support.made_media import write_video
from support.page_visitor import Server, page_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

VISITORS = 20
# What a process keeps of its largest check: buffers of allocators, not anybody's results.
SLACK_BYTES = 150 * 2**20


def clip_of(number: int, folder: Path) -> Path:
    """A clip of its own for each visitor: the portrait at another place and size."""
    height = 300 + 8 * number

    def frames() -> Iterator[np.ndarray]:
        for step in range(16):
            yield astronaut()[: height // 2 * 2, step : 400 + step]

    return write_video(folder / f"visitor{number}.mp4", frames())


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with page_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def memory_bytes(server: Server) -> int:
    """Resident size of the page and its worker."""
    processes = [psutil.Process(server.process.pid)]
    processes += processes[0].children(recursive=True)
    return sum(process.memory_info().rss for process in processes)


def test_twenty_visitors_at_once(server, tmp_path):
    clips = [clip_of(number, tmp_path) for number in range(VISITORS)]

    def visit(clip: Path) -> tuple[dict, float]:
        begun = time.monotonic()
        client = Client(server.url, verbose=False)
        try:
            report = client.predict(handle_file(clip), 16, api_name="/check_video")
        finally:
            client.close()
        return report, time.monotonic() - begun

    alone = [visit(clip)[0] for clip in clips]
    before = memory_bytes(server)
    answers: list[float] = []
    done = threading.Event()

    def look_at_the_page() -> None:
        while not done.wait(0.5):
            begun = time.monotonic()
            assert httpx.get(server.url, timeout=120).status_code == 200
            answers.append(time.monotonic() - begun)

    looking = threading.Thread(target=look_at_the_page)
    looking.start()
    with ThreadPoolExecutor(VISITORS) as pool:
        together = list(pool.map(visit, clips))
    done.set()
    looking.join()
    waits = [wait for _, wait in together]
    print(f"visitors waited {min(waits):.1f} to {max(waits):.1f} s")
    print(f"the page answered within {max(answers):.2f} s, {np.median(answers):.3f} s as a rule")
    for own, (report, _), clip in zip(alone, together, clips, strict=True):
        assert report["video"] == clip.name
        assert report["provenance"]["file"] == own["provenance"]["file"]
        assert report["fake_probability"] == pytest.approx(own["fake_probability"], rel=1e-4)
    deadline = time.monotonic() + 60
    while memory_bytes(server) > before + SLACK_BYTES and time.monotonic() < deadline:
        time.sleep(1)
    after = memory_bytes(server)
    print(f"memory: {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after")
    assert after <= before + SLACK_BYTES


def test_a_visitor_who_goes_midway_frees_the_work(server, tmp_path):
    long_clip = write_video(
        tmp_path / "long.mp4", (astronaut()[:400, step % 100 :][:, :400] for step in range(400))
    )
    code = (
        "import sys; from gradio_client import Client, handle_file\n"
        "client = Client(sys.argv[1], verbose=False)\n"
        "job = client.submit(handle_file(sys.argv[2]), 96, api_name='/check_video')\n"
        "print('asked', flush=True)\n"
        "job.result()\n"
    )
    visitor = subprocess.Popen(
        [sys.executable, "-c", code, server.url, long_clip], stdout=subprocess.PIPE, text=True
    )
    try:
        assert visitor.stdout.readline() == "asked\n"
        time.sleep(1)
    finally:
        visitor.kill()
        visitor.wait()
    begun = time.monotonic()
    # The next visitor in line is served as soon as the work is free.
    short = clip_of(0, tmp_path)
    Client(server.url, verbose=False).predict(handle_file(short), 8, api_name="/check_video")
    print(f"the next visitor had a result {time.monotonic() - begun:.1f} s later")
