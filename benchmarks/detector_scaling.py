"""Measure the time for many videos compared with single runs, and the peak memory for long ones.

Run from the repository's root:

    python benchmarks/detector_scaling.py [CLIP] [--backbone resnet34] [--backend torch]

"many" compares ten videos given to `VideoDetector.judge_many` with ten single runs, each in a new
process. Times start when the model is loaded. Ten successive calls in a process that has already
judged a video are timed, too: `judge_many` gains on them only by overlapping the end of one
video with the start of the next. "memory" judges a clip of 30 seconds and one of 60 minutes, made
of the same packets, each in a new process, and shows their peak resident sizes. The model has
random weights, is loaded from a folder as usual, and is exported in advance if the backend needs
that. Without a clip, one of 640x480 is made.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import av

import _paths  # noqa: F401
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.runtime.names import BACKENDS
from detector_stages import MADE_CLIPS, moving_portrait, untrained_detector
from support.made_media import write_video

VIDEOS = 10
HOW = {
    "one": lambda detector, clip: detector(clip),
    "together": lambda detector, clip: deque(detector.judge_many([clip] * VIDEOS), maxlen=0),
    "warm": lambda detector, clip: [detector(clip) for _ in range(VIDEOS)],
}
LENGTHS_S = {"30 seconds": 30, "60 minutes": 3600}


def repeated(clip: Path, seconds: float, out: Path) -> Path:
    """Make a video of some length by repeating a clip's packets, without encoding.

    Args:
        clip: with one video stream whose display times begin at 0.
        seconds: length of the result, up to one clip more.
        out: the file to write.
    """
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        length = max(packet.pts + packet.duration for packet in packets)
        with av.open(str(out), "w") as target:
            copy = target.add_stream_from_template(stream)
            times = [(packet.pts, packet.dts) for packet in packets]
            for number in range(max(1, round(seconds / (length * stream.time_base)))):
                for packet, (pts, dts) in zip(packets, times, strict=True):
                    packet.stream = copy
                    packet.pts, packet.dts = pts + number * length, dts + number * length
                    packet.time_base = stream.time_base
                    target.mux(packet)
    return out


def many(clip: Path, network: list[str]) -> None:
    """Print the first figure."""
    single = sum(seconds("one", clip, network) for _ in range(VIDEOS))
    together = seconds("together", clip, network)
    warm = seconds("warm", clip, network)
    print(
        f"many: {VIDEOS} single runs {single:.2f} s, together {together:.2f} s, "
        f"{together / single:.2f} of it; one by one in a warm process {warm:.2f} s"
    )


def seconds(how: str, clip: Path, network: list[str]) -> float:
    """Time of one of `HOW` in a new process, without its start."""
    command = [sys.executable, __file__, str(clip), "--timed", how, *network]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def print_seconds(how: str, detector: VideoDetector, clip: Path) -> None:
    """In the fresh process."""
    if how == "warm":
        detector(clip)
    start = time.perf_counter()
    HOW[how](detector, clip)
    print(time.perf_counter() - start)


def memory(clip: Path, network: list[str]) -> None:
    """Print the second figure."""
    with tempfile.TemporaryDirectory() as folder:
        peaks = {}
        for name, seconds in LENGTHS_S.items():
            video = repeated(clip, seconds, Path(folder) / f"{seconds}.mp4")
            command = [sys.executable, __file__, str(video), "--peak_only", *network]
            peaks[name] = int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(f"memory: {name}, peak resident {peaks[name] / 1024:.0f} MiB")
        short, long = peaks.values()
        print(f"memory: long / short = {long / short:.2f}")


def print_peak(detector: VideoDetector, video: Path) -> None:
    """Judge a video and print this process's peak resident size in KiB."""
    detector(video)
    # Not getrusage: its value includes the size of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path, metavar="CLIP")
    parser.add_argument("--backbone", default="resnet34", help="of timm (default: resnet34)")
    parser.add_argument("--backend", choices=BACKENDS, default="torch")
    parser.add_argument("--only", choices=("many", "memory"), help="one of the two")
    parser.add_argument("--peak_only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--timed", choices=tuple(HOW), help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.timed or options.peak_only:
        detector = VideoDetector.from_pretrained(
            options.model, device="cpu", backend=options.backend
        )
        if options.timed:
            print_seconds(options.timed, detector, options.clip)
        else:
            print_peak(detector, options.clip)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model")
        untrained = untrained_detector(options.backbone)
        untrained.model.save_pretrained(model)
        untrained.image_processor.save_pretrained(model)
        VideoDetector.from_pretrained(model, device="cpu", backend=options.backend)  # exports it
        network = ["--model", model, "--backend", options.backend]
        _, size_hw, count, face_px = MADE_CLIPS[0]
        clip = options.clip or write_video(
            Path(folder) / "clip.mp4", moving_portrait(size_hw, count, face_px)
        )
        if options.only != "memory":
            many(clip, network)
        if options.only != "many":
            memory(clip, network)


if __name__ == "__main__":
    main()
