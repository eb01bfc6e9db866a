"""`python -m caddm_hf score`: many files in, one line each out, whatever one of them holds."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub.utils import logging as hub_logging
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from .default_model import default_detector
from .detection_config import DetectionConfig
from .media_files import MediaError, MediaLimits
from .model_loading import ModelError
from .report import VideoReport
from .verdicts import Reason, Verdict
from .video_detection import VideoDetector

# What is taken from a folder; a file named on the command line is judged by its content.
MEDIA_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ts", ".mts", ".m2ts", ".mpg"}
    | {".mpeg", ".wmv", ".ogv", ".mxf", ".gif", ".apng"}
    | {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
)


def media_paths(inputs: list[str]) -> Iterator[str]:
    """Files and URLs as named, folders as the media files below them, sorted."""
    for entry in inputs:
        if "://" not in entry and Path(entry).is_dir():
            for path in sorted(Path(entry).rglob("*")):
                if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file():
                    yield str(path)
        else:
            yield entry


def report_line(report: VideoReport) -> str:
    """A report as one line of text."""
    judgement = report.judgement
    if judgement.verdict is Verdict.CANNOT_TELL:
        return f"{report.video}: cannot tell. {judgement.explanation}"
    people = "1 person" if len(report.people) == 1 else f"{len(report.people)} people"
    return (
        f"{report.video}: {judgement.verdict.words} "
        f"(probability of fake {judgement.fake_probability:.1%}, {people})"
    )


def failure_dict(video: str, model: str, message: str) -> dict:
    """The JSON of a file that could not be read: the keys of a report, and `error`."""
    return {
        "video": video,
        "verdict": Verdict.CANNOT_TELL.value,
        "reason": message,
        "reason_code": Reason.UNREADABLE.value,
        "fake_probability": None,
        "duration_s": None,
        "frames_sampled": 0,
        "model": model,
        "people": [],
        "error": message,
    }


def score(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # One sentence is printed when the Hub does not answer; its client would print each retry.
    hub_logging.set_verbosity(hub_logging.CRITICAL)
    videos = list(media_paths(options.videos))
    if not videos:
        print("error: there are no video or image files in the given folders", file=sys.stderr)
        return 2
    config = DetectionConfig(
        frames=options.frames,
        limits=MediaLimits(),
        allow_private_addresses=options.allow_private_addresses,
    )
    try:
        if options.model is None:
            detector = default_detector(config, options.device)
        else:
            detector = VideoDetector.from_pretrained(
                options.model, config, options.device, revision=options.revision
            )
    except (ModelError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not detector.model.config.trained:
        print(
            "warning: no trained model is at hand; an untrained one serves, and its scores mean "
            "nothing",
            file=sys.stderr,
        )
    failures = 0
    with tqdm(videos, unit="file", disable=len(videos) == 1, file=sys.stderr) as bar:
        for video in bar:
            failures += not _score_one(detector, video, options.json)
    return 1 if failures else 0


def _score_one(detector: VideoDetector, video: str, as_json: bool) -> bool:
    """Judge and print one file; False where it could not be read."""
    try:
        report = detector(video)
    except MediaError as error:
        if as_json:
            print(json.dumps(failure_dict(video, detector.name, str(error))), flush=True)
        tqdm.write(f"error: {video}: {error}", file=sys.stderr)
        return False
    line = json.dumps(report.to_dict()) if as_json else report_line(report)
    with tqdm.external_write_mode(file=sys.stdout):
        print(line, flush=True)
    return True
