"""Measure the time of each stage of judging a clip, compared with an unavoidable minimum.

Run from the repository's root:

    python benchmarks/detector_stages.py [CLIP ...] [--backbone resnet34] [--rounds 3]

Without a clip two are made: 640x480 with 750 frames, and 1080x1920 with 300. Each stage is run by
itself, one after the other, and timed by wall clock and in CPU seconds: probing the file,
decoding and converting the sampled frames, searching faces, cutting and preparing aligned crops,
the network's forward, heatmaps and artifact boxes, following people and judging. Then the whole
detector runs, in which these overlap.

The floor is the work that no program can avoid: decoding from the first frame to the last, the
network's bare forward on the same crops, and our search for faces, the cheapest that finds all
faces with a verdict. Search and forward run as whole batches on each core, the fastest way to run
them alone. Rounds alternate, so that other load on the machine affects all; medians are shown. On
a busy machine, rely on the CPU seconds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage import data

import _paths  # noqa: F401
from caddm_hf.checkpoint.loading import LoadedModel
from caddm_hf.detector.scoring import CROPS_A_CORE
from caddm_hf.detector.threads import worker_threads
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.faces.detection import FRAMES_AT_ONCE
from caddm_hf.faces.tracking import FaceTracker
from caddm_hf.media.frames import iterate_sampled_frames, probe_media
from caddm_hf.model.configuration_caddm import CaddmConfig
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.model.modeling_caddm import CaddmForDeepfakeDetection
from caddm_hf.runtime.backends import open_network
from support.made_media import write_video

STAGES = ("probe", "decode", "detect", "align", "forward", "heatmap", "report")
# Name, (height, width), frames, width of the face in pixels.
MADE_CLIPS = (("640x480", (480, 640), 750, 110), ("1080x1920", (1920, 1080), 300, 300))


def made_clips(folder: Path) -> list[Path]:
    """The two clips, written with x264's usual settings."""
    return [
        write_video(
            folder / f"{name}.mp4", moving_portrait(size_hw, count, face_px), options={"crf": "23"}
        )
        for name, size_hw, count, face_px in MADE_CLIPS
    ]


def moving_portrait(
    size_hw: tuple[int, int], count: int, face_px: int, seed: int = 0
) -> Iterator[np.ndarray]:
    """A person who sways before a hand-held camera, with noise.

    Args:
        size_hw: height and width of the frames.
        count: how many.
        face_px: width of the face.
        seed: of wall and noise.
    """
    height, width = size_hw
    rng = np.random.default_rng(seed)
    wall = rng.integers(60, 190, (height // 40 + 8, width // 40 + 8, 3), np.uint8)
    wall = cv2.resize(wall, (width + 200, height + 200), interpolation=cv2.INTER_CUBIC)
    zoom = face_px / 100  # the portrait's face is about 100 px wide
    person = cv2.resize(data.astronaut()[:400], None, fx=zoom, fy=zoom)[:height, :width]
    tall, wide = person.shape[:2]
    for number in range(count):
        seconds = number / 25
        right, down = int(50 + 40 * np.sin(seconds)), int(50 + 30 * np.cos(0.7 * seconds))
        frame = wall[down : down + height, right : right + width].astype(np.int16)
        left = int((width - wide) / 2 * (1 + 0.6 * np.sin(0.5 * seconds)))
        frame[height - tall :, left : left + wide] = person
        noise = rng.integers(-4, 5, (height // 2, width // 2), np.int16)
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST)
        yield np.clip(frame + noise[..., None], 0, 255).astype(np.uint8)


def untrained_detector(backbone: str, backend: str = "torch") -> VideoDetector:
    """Return a detector with random weights; its results do not matter here."""
    model = CaddmForDeepfakeDetection(CaddmConfig(backbone=backbone, trained=False))
    loaded = LoadedModel(model.eval(), CaddmImageProcessor(), backbone)
    return VideoDetector(loaded, device="cpu", network=open_network(loaded, "cpu", backend))


Times = tuple[float, float]  # wall-clock and CPU seconds


def timed(work: Callable[[], object]) -> tuple[Times, object]:
    """Return the times of some work, and its result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return (time.perf_counter() - wall, time.process_time() - cpu), result


def stage_times(detector: VideoDetector, clip: Path, workers: Executor) -> dict[str, Times]:
    """Each stage alone, the parts of the floor, and the whole.

    Args:
        detector: on the CPU.
        clip: a video with a face.
        workers: the cores; each takes whole batches.
    """
    times: dict[str, Times] = {}
    wanted = detector.config.frames

    def stage(name: str, work: Callable[[], object]) -> object:
        times[name], result = timed(work)
        return result

    info = stage("probe", lambda: probe_media(clip))
    frames = stage("decode", lambda: list(iterate_sampled_frames(clip, info, wanted)))
    images = [frame.image_rgb for frame in frames]

    def search() -> list:
        starts = range(0, len(images), FRAMES_AT_ONCE)
        batches = [images[start : start + FRAMES_AT_ONCE] for start in starts]
        return [
            faces
            for found in workers.map(detector.face_detector.search, batches)
            for faces in found
        ]

    found = stage("detect", search)
    seen = detector.look(clip)
    processor = detector.image_processor

    def align() -> list[torch.Tensor]:
        crops = [
            processor.align(image, face.landmarks_xy)[0]
            for image, faces in zip(images, found, strict=True)
            for face in faces
        ]
        starts = range(0, len(crops), CROPS_A_CORE)
        return [processor.pixel_values(crops[start : start + CROPS_A_CORE]) for start in starts]

    batches = stage("align", align)

    def forward() -> list:
        return list(workers.map(torch.inference_mode()(detector.network.__call__), batches))

    outputs = stage("forward", forward)

    @torch.inference_mode()
    def heatmaps() -> None:
        for output in outputs:
            detector.model.artifact_heatmaps(output).half().numpy()
            detector.model.artifact_boxes(output)

    stage("heatmap", heatmaps)
    scores = detector.score(seen.crops())

    def report() -> None:
        tracker = FaceTracker()
        for image, faces in zip(images, found, strict=True):
            tracker.add_frame(image, faces)
        detector.report(seen, scores).to_dict()

    stage("report", report)
    from_start = replace(info, plan=None)
    stage("all frames", lambda: list(iterate_sampled_frames(clip, from_start, wanted)))
    stage("whole", lambda: detector(clip))
    return times


def show(clip: Path, rounds: list[dict[str, Times]]) -> None:
    """Print the medians of some rounds."""
    median = {
        name: tuple(statistics.median(times[name][kind] for times in rounds) for kind in (0, 1))
        for name in rounds[0]
    }
    total = tuple(sum(median[name][kind] for name in STAGES) for kind in (0, 1))
    floor = tuple(
        sum(median[name][kind] for name in ("all frames", "forward", "detect")) for kind in (0, 1)
    )
    print(f"{clip.name}, {len(rounds)} rounds     wall s  share    CPU s  share")

    def row(name: str, times: tuple[float, ...]) -> None:
        shares = [f"{s:7.3f}  {s / all_s:5.0%}" for s, all_s in zip(times, total, strict=True)]
        print(f"  {name:26}{'  '.join(shares)}")

    for name in STAGES:
        row(name, median[name])
    row("stages one by one", total)
    row("the detector", median["whole"])
    row("the floor", floor)
    ratios = [f"{median['whole'][kind] / floor[kind]:.2f}" for kind in (0, 1)]
    print(f"  detector / floor: {ratios[0]} by wall clock, {ratios[1]} by CPU time")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--backbone", default="resnet34", help="of timm (default: resnet34)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    detector = untrained_detector(options.backbone)
    print(f"{options.backbone}, torch on {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        clips = options.clips or made_clips(Path(folder))
        detector(clips[0], frames=8)  # libraries set themselves up
        for clip in clips:
            with worker_threads(torch.get_num_threads()) as workers:
                rounds = [stage_times(detector, clip, workers) for _ in range(options.rounds)]
            show(clip, rounds)


if __name__ == "__main__":
    main()
