"""caddm_hf.page.runners: results and facts of worker processes are checked."""

from pathlib import Path

import pytest

from caddm_hf.guard.limits import JobFailedError, StartError
from caddm_hf.page.jobs import AnnotateJob, CheckJob
from caddm_hf.page.runners import PoolRunner
from caddm_hf.page.worker import DataHandle
from caddm_hf.report.video_report import VideoReport
from support.made_reports import made_person, made_report
from support.made_runners import FACTS

JOB = CheckJob("/uploads/clip.mp4", None, "clip.mp4")


class MadePool:
    """Answers as a worker would that holds `handle`."""

    def __init__(self, handle):
        self._handle = handle

    def run(self, job, progress=None, stop=None):
        return self._handle(job, progress)

    def facts(self, stop=None):
        return self._handle.facts


class MadeHandle:
    facts = FACTS

    def __init__(self, answer: object):
        self._answer = answer

    def __call__(self, job, progress):
        return self._answer


@pytest.fixture
def report() -> VideoReport:
    return made_report([made_person(1, [(time_s, 0.9) for time_s in range(6)])])


def test_reports_and_facts_arrive(report: VideoReport) -> None:
    runner = PoolRunner(MadePool(DataHandle(MadeHandle(report))))
    arrived = runner.run(JOB)
    assert arrived == report
    assert arrived.people[0].faces[0].has_pictures
    assert runner.facts() == FACTS


def test_the_annotated_video_is_a_file_and_no_result(report: VideoReport) -> None:
    runner = PoolRunner(MadePool(DataHandle(MadeHandle(None))))
    assert runner.run(AnnotateJob(JOB.path, report, Path("out.mp4"), 0.5)) is None


def test_what_a_worker_must_not_send() -> None:
    handle = MadeHandle({"report": {"verdict": "real"}, "pictures": []})
    handle.facts = {"name": "model", "trained": "perhaps"}
    runner = PoolRunner(MadePool(handle))
    with pytest.raises(JobFailedError, match="not a report"):
        runner.run(JOB)
    with pytest.raises(StartError, match="did not load a model"):
        runner.facts()
