"""SIGKILL at any moment: what was finished is whole, and the same command does the rest."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from support.fault_jobs import JOBS, Attempt, hidden, job_server, make_source, read_outputs

# What differs between two runs of one command: moments, durations, and where things lie.
OF_THE_MOMENT = {"made", "seconds", "waiting_seconds", "training_seconds"}


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Attempt]]:
    with job_server() as start:
        yield start


def lasting(job: str, content: object) -> object:
    """Content without what is of the moment."""
    if isinstance(content, dict):
        return {
            key: lasting(job, value) for key, value in content.items() if key not in OF_THE_MOMENT
        }
    if isinstance(content, list):
        return [lasting(job, value) for value in content]
    return content


def results(job: str, out: Path) -> dict[str, object]:
    """What a finished job must have made, whenever it was made."""
    found = read_outputs(out)
    if job == "train":
        kept = ("model.safetensors", "config.json", "training_log.jsonl", "predictions.csv")
        return {name: found[name] for name in kept}
    if job == "report":
        kept = ("scores.parquet", "evaluation.json", "model/evaluation/evaluation.json")
        assert {*kept, "evaluation.png", "evaluation.md"} <= set(found)
        assert b"<!-- evaluation: end -->" in found["model/README.md"]
        return {name: lasting(job, found[name]) for name in kept}
    if job == "evidence":
        kept = [f"{number}{end}" for number in range(4) for end in (".zip", "/report.json")]
        assert {*kept, "0/report.html"} <= set(found)
    if job == "score":
        files = [data for name, data in found.items() if name.endswith(".jsonl")]
        rows = [json.loads(line) for data in files for line in data.splitlines()]
        by_video = {row["video"]: row for row in rows}
        assert len(by_video) == len(rows)  # none twice
        return {"run.json": found["run.json"], **by_video}
    return lasting(job, found)


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    "kills", [2, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
def test_killed_again_and_again(
    start: Callable[..., Attempt], tmp_path: Path, job: str, kills: int
) -> None:
    source = make_source(job, tmp_path / "source")
    whole, out = tmp_path / "whole", tmp_path / "out"
    status, said = start(job, source, whole).wait()
    assert status == 0, said
    expected = results(job, whole)
    # One more run of known length, now that everything is in the caches.
    shutil.rmtree(whole)
    begun = time.perf_counter()
    assert start(job, source, whole).wait()[0] == 0
    whole_s = time.perf_counter() - begun
    assert results(job, whole) == expected

    rng = np.random.default_rng([kills, sorted(JOBS).index(job)])
    killed = finished = 0
    while killed < kills:
        attempt = start(job, source, out)
        done = attempt.wait(rng.uniform(0, whole_s * 0.9))
        if done is None:
            attempt.kill()
            killed += 1
            if out.exists():
                read_outputs(out)  # whatever bears a name is whole
            continue
        assert done[0] == 0, done[1]
        assert results(job, out) == expected
        finished += 1
        shutil.rmtree(out)
    status, said = start(job, source, out).wait()
    assert status == 0, said
    assert results(job, out) == expected
    assert hidden(out) == []
    print(f"{job}: {killed} kills of a run of {whole_s:.1f} s, finished {finished + 1} times")
