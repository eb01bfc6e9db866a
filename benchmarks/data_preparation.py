"""Measure the cost of making a frame collection: CPU time, gain by workers, memory.

Run from the repository's root:

    python benchmarks/data_preparation.py [--root FaceForensics++] [--rounds 3]

Without --root it makes a FaceForensics++ tree of 640x480 clips of the portrait that scikit-image
ships. Three tables:

cost       CPU seconds of decoding every clip once, of finding faces on its sampled frames, and of
           the whole preparation up to Parquet, all on one thread; the best of alternating rounds.
           CPU time, because other load on the machine hardly affects it.
workers    groups a minute with one worker process and with two, started and warm before the clock
           runs; the best of the rounds. The gain by wall time needs two idle cores; the gain by CPU
           time is what they would give: twice the CPU time of a group alone over that of a group
           beside another.
memory     peak resident size of a process that prepares short clips, clips four times as long, and
           three times as many clips.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from skimage import data

import _paths  # noqa: F401
from caddm_hf.faces.detection import FRAMES_AT_ONCE
from caddm_hf.guard.engines import open_engine
from caddm_hf.preparation.collection import PieceJob, VideoGroup, build_piece, make_plan
from caddm_hf.preparation.followed_faces import face_detector
from caddm_hf.preparation.frame_sources import open_frames
from caddm_hf.preparation.layouts import faceforensics
from caddm_hf.preparation.records import FrameOptions, open_root
from caddm_hf.preparation.shards import write_videos
from caddm_hf.preparation.video_rows import use_one_thread, video_group_rows
from support.made_media import write_video

OPTIONS = FrameOptions()


def make_tree(root: Path, pairs: int, frames: int) -> Path:
    """Make originals and two manipulations of each; the faces are not altered."""
    clip = root / "clip.mp4"
    root.mkdir(parents=True)
    write_video(clip, _frames(frames), options={"crf": "23"})
    names = [(f"{2 * number:03d}", f"{2 * number + 1:03d}") for number in range(pairs)]
    for pair in names:
        for target, source in (pair, pair[::-1]):
            for below in (
                f"original_sequences/youtube/c23/videos/{target}.mp4",
                f"manipulated_sequences/Deepfakes/c23/videos/{target}_{source}.mp4",
                f"manipulated_sequences/FaceSwap/c23/videos/{target}_{source}.mp4",
            ):
                (root / below).parent.mkdir(parents=True, exist_ok=True)
                os.link(clip, root / below)
    (root / "splits").mkdir()
    for name, listed in (("train", names), ("val", []), ("test", [])):
        (root / "splits" / f"{name}.json").write_text(json.dumps(listed))
    return root


def _frames(count: int) -> Iterator[np.ndarray]:
    astronaut = data.astronaut()
    wall = np.random.default_rng(0).integers(80, 120, (480, 640, 3), np.uint8)
    for number in range(count):
        frame = wall.copy()
        x = 20 + number % 80
        frame[:, x : x + 512] = astronaut[:480]
        yield frame


def groups_of(root: str) -> list[VideoGroup]:
    """All groups of a tree."""
    records = faceforensics.list_records(open_root(root)).records
    return make_plan("faceforensics", records, OPTIONS, {}).groups


def cost(root: str, rounds: int) -> None:
    """Print the first table."""
    tree, groups = open_root(root), groups_of(root)
    records = [record for group in groups for record in group.records]

    def decode_and_detect() -> tuple[float, float]:
        decoding = detecting = 0.0
        for record in records:
            start = time.process_time()
            with open_frames(tree, record.path, ()) as source:
                frames = [f.image_rgb for f in source.read(source.sample(OPTIONS.frames))]
            decoded = time.process_time()
            for first in range(0, len(frames), FRAMES_AT_ONCE):
                face_detector().search(frames[first : first + FRAMES_AT_ONCE])
            detecting += time.process_time() - decoded
            decoding += decoded - start
        return decoding, detecting

    def everything() -> float:
        start = time.process_time()
        with tempfile.TemporaryDirectory() as out:
            for group in groups:
                videos = video_group_rows(tree, group.records, OPTIONS)
                write_videos(open_root(out), f"{group.number}.parquet", videos)
        return time.process_time() - start

    use_one_thread()
    face_detector().search([np.zeros((480, 640, 3), np.uint8)])  # loads the networks
    alone, whole = [], []
    for _ in range(rounds):
        alone.append(decode_and_detect())
        whole.append(everything())
    decoding, detecting = np.min(alone, axis=0) / len(records)
    per_clip = min(whole) / len(records)
    print(f"cost, {len(records)} clips x {OPTIONS.frames} frames, CPU seconds a clip")
    print(f"  decoding alone        {decoding:.3f}")
    print(f"  face detection alone  {detecting:.3f}")
    print(f"  everything            {per_clip:.3f}")
    print(f"  everything / (decoding + detection) = {per_clip / (decoding + detecting):.3f}")


def timed_piece(job: PieceJob) -> float:
    """Make a piece; returns the CPU seconds."""
    start = time.process_time()
    result = build_piece(job)
    assert result["error"] is None, result["error"]
    return time.process_time() - start


def workers(root: str, rounds: int) -> None:
    """Print the second table."""
    counts = (1, 2)
    wall, cpu = dict.fromkeys(counts, np.inf), dict.fromkeys(counts, np.inf)
    with tempfile.TemporaryDirectory() as out, ExitStack() as stack:
        jobs = [PieceJob(root, out, group, OPTIONS) for group in groups_of(root)]
        engines = {n: stack.enter_context(open_engine("processes", n)) for n in counts}
        for count, engine in engines.items():
            list(engine.map(timed_piece, jobs[:1] * 2 * count))
        for _ in range(rounds):
            for count, engine in engines.items():
                start = time.perf_counter()
                spent = sum(engine.map(timed_piece, jobs))
                wall[count] = min(wall[count], time.perf_counter() - start)
                cpu[count] = min(cpu[count], spent)
    print(f"workers, {len(jobs)} groups")
    for count in counts:
        rate = 60 * len(jobs) / wall[count]
        print(f"  {count}: {rate:.1f} groups a minute, {cpu[count] / len(jobs):.2f} CPU s a group")
    print(
        f"  two / one, by wall time {wall[1] / wall[2]:.2f}, by CPU time {2 * cpu[1] / cpu[2]:.2f}"
    )


def memory() -> None:
    """Print the third table."""
    print("memory, peak resident MiB of one process")
    with tempfile.TemporaryDirectory() as folder:
        for name, pairs, frames in (("short", 1, 150), ("long", 1, 600), ("many", 3, 150)):
            root = make_tree(Path(folder) / name, pairs, frames)
            command = [sys.executable, __file__, "--prepare_only", str(root)]
            peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(f"  {6 * pairs} clips of {frames} frames: {int(peak) / 1024:.0f}")


def prepare_only(root: str) -> None:
    """Prepare a tree and print the peak resident size in KiB."""
    with tempfile.TemporaryDirectory() as out:
        for group in groups_of(root):
            result = build_piece(PieceJob(root, out, group, OPTIONS))
            assert result["error"] is None, result["error"]
    # Not getrusage: its value includes the size of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="a FaceForensics++ tree (default: made clips)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prepare_only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare_only:
        prepare_only(options.prepare_only)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or str(make_tree(Path(folder) / "tree", pairs=2, frames=250))
        cost(root, options.rounds)
        workers(root, options.rounds)
    memory()


if __name__ == "__main__":
    main()
