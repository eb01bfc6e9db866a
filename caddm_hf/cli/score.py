"""`python -m caddm_hf score`: judge files, one line each; a bad file does not stop the run."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from ..core.errors import UserError
from ..core.formats import show_time
from ..detector.config import DetectionConfig
from ..detector.guarded import DetectorSource, GuardedDetector
from ..guard.limits import JobFailedError
from ..guard.pool import ended_by_sigterm
from ..media.limits import MediaError, MediaLimits
from ..media.names import MEDIA_SUFFIXES, printable, public_name
from ..report.leaning import Help, Leaning, help_words, leaning_words
from ..report.verdicts import Reason, Verdict
from .arguments import FAILED, WRONG_USE
from .options import ScoreOptions


def media_paths(inputs: list[str]) -> Iterator[str]:
    """Yield files and URLs unchanged, and for each folder its media files, sorted."""
    for entry in inputs:
        if "://" not in entry and Path(entry).is_dir():
            for path in sorted(Path(entry).rglob("*")):
                if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file():
                    yield str(path)
        else:
            yield entry


def report_line(report: dict) -> str:
    """Format a report, as returned by `VideoReport.to_dict`, as one line of text."""
    verdict = Verdict(report["verdict"])
    name = printable(report["video"])
    if verdict is Verdict.CANNOT_TELL:
        leaning = leaning_words(Leaning(report["leans_towards"]), report["fake_probability"])
        advice = help_words([Help(name) for name in report["would_help"]])
        return " ".join(filter(None, [f"{name}: cannot tell.", report["reason"], leaning, advice]))
    count = len(report["people"])
    people = "1 person" if count == 1 else f"{count} people"
    line = (
        f"{name}: {verdict.words} (probability of fake {report['fake_probability']:.1%}, {people})"
    )
    return line + "".join(
        f"; person {person['id']} stands out from {show_time(passage['start_s'])} to "
        f"{show_time(passage['end_s'])}"
        for person in report["people"]
        for passage in person["passages"]
    )


def failure_dict(video: str, model: str, message: str) -> dict:
    """Return the JSON of a file that could not be read: a report's keys, and `error`."""
    return {
        "video": video,
        "verdict": Verdict.CANNOT_TELL.value,
        "reason": message,
        "reason_code": Reason.UNREADABLE.value,
        "fake_probability": None,
        "leans_towards": Leaning.NEITHER.value,
        "would_help": [],
        "duration_s": None,
        "frames_sampled": 0,
        "model": model,
        "people": [],
        "error": message,
    }


def score(options: ScoreOptions) -> int:
    """Run the command and return its exit status.

    A guarded worker reads the files and loads the model. This process never imports torch.
    """
    source = DetectorSource(
        model=options.model,
        revision=options.revision,
        device=options.device,
        backend=options.backend,
        config=DetectionConfig(
            frames=options.frames,
            limits=MediaLimits(),
            allow_private_addresses=options.allow_private_addresses,
        ),
    )
    with ended_by_sigterm(), GuardedDetector(source) as detector:
        detector.start()
        videos = list(media_paths(options.videos))
        if not videos:
            print("error: there are no video or image files in the given folders", file=sys.stderr)
            return WRONG_USE
        try:
            facts = detector.facts()
            if not facts.trained:
                print(
                    "warning: the model is untrained, and its scores mean nothing",
                    file=sys.stderr,
                )
            failures = 0
            with tqdm(videos, unit="file", disable=len(videos) == 1, file=sys.stderr) as bar:
                for video in bar:
                    failures += not _score_one(detector, facts.name, video, options.json)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return WRONG_USE
    return FAILED if failures else 0


def _score_one(detector: GuardedDetector, model: str, video: str, as_json: bool) -> bool:
    """Judge one file and print the result; return False if that failed."""
    try:
        report = detector.summary(video)
    except (MediaError, JobFailedError) as error:
        message = str(error)
        if isinstance(error, JobFailedError):
            message = f"Something unforeseen happened ({error}); please report it."
        name = public_name(video)
        if as_json:
            print(json.dumps(failure_dict(name, model, message)), flush=True)
        tqdm.write(f"error: {printable(name)}: {message}", file=sys.stderr)
        return False
    line = json.dumps(report) if as_json else report_line(report)
    with tqdm.external_write_mode(file=sys.stdout):
        print(line, flush=True)
    return True
