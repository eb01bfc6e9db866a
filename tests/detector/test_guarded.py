"""caddm_hf.detector.guarded: the same answers as the detector's, and losses that name the file."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.guarded import DetectorSource, GuardedDetector
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.guard.limits import GuardLimits, JobStoppedError, StartError, WorkerLostError
from caddm_hf.media.limits import MediaError
from caddm_hf.report.video_report import VideoReport
from support.made_crashes import crashing_environment


@pytest.fixture(scope="module")
def detector(tmp_path_factory, untrained_folder: Path) -> Iterator[GuardedDetector]:
    """The untrained one, in a worker that files can crash by their names."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in crashing_environment(tmp_path_factory.mktemp("patch")).items():
            patch.setenv(name, value)
        root = tmp_path_factory.mktemp("temporary")
        patch.setattr("tempfile.tempdir", str(root))
        source = DetectorSource(model=str(untrained_folder), config=DetectionConfig(frames=6))
        with GuardedDetector(source, GuardLimits(silence_s=60)) as detector:
            yield detector
        assert list(root.iterdir()) == []


def test_answers_are_the_detectors(
    detector: GuardedDetector, face_clip: Path, untrained_folder: Path
) -> None:
    told = []
    report = detector(face_clip, progress=lambda *step: told.append(step), name="a name")
    assert isinstance(report, VideoReport)
    assert report.video == "a name"
    assert told[0][0] == "Opening the file"
    assert told[-1][0] == "Scoring faces"
    (person,) = report.people
    assert len(person.faces) == 6
    assert person.faces[0].crop_rgb.shape == (224, 224, 3)
    summary = detector.summary(face_clip, frames=3)
    assert summary["video"] == str(face_clip)
    assert [frame["frame_index"] for frame in summary["people"][0]["frames"]] == [0, 19, 39]
    facts = detector.facts()
    same = VideoDetector.from_pretrained(untrained_folder, DetectionConfig(frames=6))
    assert (facts.name, facts.revision, facts.trained) == (same.name, None, False)
    here = same(face_clip).people[0].faces[0]
    assert person.faces[0].fake_probability == pytest.approx(here.fake_probability, abs=1e-4)


def test_refusals_are_the_detectors(detector: GuardedDetector, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"^'a\.mp4' does not exist\.$"):
        detector(tmp_path / "a.mp4")


def test_losses_name_the_file_as_its_owner_does(
    detector: GuardedDetector, face_clip: Path, tmp_path: Path
) -> None:
    crash = Path(shutil.copy(face_clip, tmp_path / "crash.mp4"))
    with pytest.raises(WorkerLostError, match=r"^'crash\.mp4' crashed the program"):
        detector.summary(crash)
    with pytest.raises(WorkerLostError, match=r"^'holiday\.mp4' crashed the program"):
        detector(crash, name="holiday.mp4")
    assert detector.summary(face_clip)["frames_sampled"] == 6


def test_stopping(detector: GuardedDetector, face_clip: Path) -> None:
    stop = threading.Event()
    detector.facts()
    start = time.monotonic()
    with pytest.raises(JobStoppedError):
        detector(face_clip, frames=40, progress=lambda *_: stop.set(), stop=stop)
    assert time.monotonic() - start < 60
    assert detector.summary(face_clip)["frames_sampled"] == 6


def test_a_model_that_cannot_be_used(tmp_path: Path) -> None:
    with GuardedDetector(DetectorSource(model=str(tmp_path))) as detector:
        detector.start()
        with pytest.raises(StartError, match=r"holds no readable config\.json"):
            detector.facts()
