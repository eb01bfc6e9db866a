"""Jobs on processes and on Ray, and scoring many videos on them."""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_datasets import MadeVideos, made_frames, make_faceforensics, make_folder, write_clip

from caddm_hf import score_at_scale
from caddm_hf.guard_limits import JobFailedError, WorkerLostError
from caddm_hf.job_engines import Again, EngineError, open_engine
from caddm_hf.scale_options import add_scale_options
from caddm_hf.score_at_scale import ScoreFolder, ScoringSettings, expand_videos
from data_scripts.build_frame_dataset import main as build_main

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError:
    ray = None

needs_ray = pytest.mark.skipif(ray is None, reason="the package ray is not installed")
SCRIPT = Path(__file__).resolve().parents[1] / "data_scripts" / "build_frame_dataset.py"


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> MadeVideos:
    return MadeVideos(tmp_path_factory.mktemp("videos"))


# --- processes ---------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_every_job_is_done_once(workers: int) -> None:
    with open_engine("processes", workers) as engine:
        assert sorted(engine.map(math.sqrt, [number**2 for number in range(20)])) == list(range(20))
        assert list(engine.map(math.sqrt, [])) == []


def test_jobs_run_in_other_processes() -> None:
    with open_engine("processes", 1) as engine:
        assert os.getpid() not in set(engine.map(_process_id, range(3)))


def _process_id(_: int) -> int:
    return os.getpid()


def test_a_worker_that_dies() -> None:
    with (
        open_engine("processes", 1) as engine,
        pytest.raises(EngineError, match="A worker process was killed"),
    ):
        list(engine.map(signal.raise_signal, [signal.SIGKILL]))


def test_what_becomes_of_a_lost_job() -> None:
    with open_engine("processes", 2) as engine:
        results = engine.map(_exit_if_three, range(6), _as_cause)
        assert sorted(map(str, results)) == ["0", "1", "2", "3: died", "4", "5"]
        assert list(engine.map(_exit_if_three, [3], _another)) == [7]


def _exit_if_three(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


def _as_cause(job: int, loss: WorkerLostError) -> str:
    return f"{job}: {loss.cause}"


def _another(job: int, loss: WorkerLostError) -> Again:
    return Again(7)


def test_too_little_memory_in_this_process() -> None:
    with open_engine("processes", 0) as engine:
        assert list(engine.map(_no_memory, [1], _as_cause)) == ["1: memory"]
        with pytest.raises(EngineError, match="took its worker process along"):
            list(engine.map(_no_memory, [1]))


def _no_memory(_: int) -> None:
    raise MemoryError


def test_what_a_job_raises() -> None:
    with open_engine("processes", 1) as engine, pytest.raises(JobFailedError) as caught:
        list(engine.map(math.sqrt, [-1]))
    assert "math domain error" in str(caught.value)
    assert "math domain error" in caught.value.__notes__[0]


def test_jobs_are_not_handed_out_all_at_once() -> None:
    taken = []

    def jobs() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    with open_engine("processes", 1) as engine:
        results = engine.map(math.sqrt, jobs())
        next(results)
        assert len(taken) < 10
        assert len(list(results)) == 49


# --- Ray ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator["Cluster"]:
    """A Ray cluster of two nodes on this machine, each with room for one job."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # reports nothing to Ray's makers
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    # A dead node is to be noticed in a second, not in a quarter of a minute.
    soon = {"health_check_period_ms": 500, "health_check_failure_threshold": 2}
    head = {**small, "include_dashboard": False, "_system_config": soon}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(**small)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def node_that_dies(cluster: "Cluster") -> tuple[object, str]:
    """The node without the head, made anew if it has been killed, and its id."""
    if len(cluster.list_all_nodes()) == 1:
        cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes()
    node = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
    return node, node.node_id


@needs_ray
def test_a_ray_node_that_dies(cluster: "Cluster", tmp_path: Path) -> None:
    node, node_id = node_that_dies(cluster)

    def note(number: int) -> int:
        here = ray.get_runtime_context().get_node_id()
        (tmp_path / f"{number}-{here}").touch()
        # What is begun on the node that dies is not ended there.
        time.sleep(60 if here == node_id else 0.1)
        return number**2

    results = []
    with open_engine("ray", workers=2, ray_address=cluster.address) as engine:
        for result in engine.map(note, range(8)):
            results.append(result)
            if len(results) == 1:
                end = time.monotonic() + 60
                while not (begun := list(tmp_path.glob(f"*-{node_id}"))):
                    assert time.monotonic() < end, "nothing was begun on the second node"
                    time.sleep(0.01)
                cluster.remove_node(node, allow_graceful=False)
    assert sorted(results) == [number**2 for number in range(8)]
    # It was begun again on the other node.
    for path in begun:
        assert len(list(tmp_path.glob(f"{path.name.split('-')[0]}-*"))) == 2


@needs_ray
def test_ray_gives_the_same_collection(
    cluster: "Cluster", tmp_path: Path, videos: MadeVideos
) -> None:
    root = make_folder(tmp_path / "tree", videos)
    fixed = ["folder", "--root", str(root), "--frames", "2"]
    assert build_main([*fixed, "--out", str(tmp_path / "here"), "--workers", "0"]) == 0
    ray_options = ["--engine", "ray", "--ray_address", cluster.address]
    assert build_main([*fixed, "--out", f"file://{tmp_path}/there", *ray_options]) == 0
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


@needs_ray
@pytest.mark.slow
def test_a_node_that_dies_while_a_collection_is_made(
    cluster: "Cluster", tmp_path: Path, videos: MadeVideos
) -> None:
    pairs = [(f"{number:03d}", f"{number + 1:03d}") for number in range(0, 24, 2)]
    root = make_faceforensics(tmp_path / "tree", videos, pairs=pairs)
    fixed = ["faceforensics", "--root", str(root), "--frames", "8"]
    assert build_main([*fixed, "--out", str(tmp_path / "here"), "--workers", "0"]) == 0
    node, _ = node_that_dies(cluster)
    out = tmp_path / "there"
    options = ["--out", str(out), "--engine", "ray", "--ray_address", cluster.address]
    process = subprocess.Popen([sys.executable, str(SCRIPT), *fixed, *options])
    end = time.monotonic() + 200
    while len(list(out.glob(".build/*-*.parquet"))) < 6 and time.monotonic() < end:
        time.sleep(0.01)
    assert process.poll() is None
    cluster.remove_node(node, allow_graceful=False)
    assert process.wait(timeout=280) == 0
    assert contents(out) == contents(tmp_path / "here")


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@needs_ray
def test_ray_guards_jobs(cluster: "Cluster") -> None:
    with open_engine("ray", workers=1, ray_address=cluster.address) as engine:
        results = list(engine.map(os._exit, [3], lambda job, loss: f"{job}: {loss.cause}"))
        assert results == ["3: died"]
        assert list(engine.map(math.sqrt, [4], lambda job, loss: 0)) == [2]


def test_without_ray(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match="needs the package ray"):
        open_engine("ray")


# --- scoring -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Three videos and something else."""
    folder = tmp_path_factory.mktemp("clips")
    for name in ("one", "two"):
        write_clip(folder / f"{name}.mp4", made_frames(range(6)))
    (folder / "deep").mkdir()
    (folder / "deep" / "broken.mp4").write_bytes(b"no video" * 50)
    (folder / "notes.txt").write_text("no video either")
    return folder


def score(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", nargs="+")
    for option in ("--model", "--revision", "--device"):
        parser.add_argument(option)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--allow-private-addresses", action="store_true")
    add_scale_options(parser)
    return score_at_scale.score_at_scale(parser.parse_args(arguments))


@pytest.fixture
def untrained(monkeypatch, untrained_folder: Path) -> None:
    """Another bundled model than the checkout's."""
    monkeypatch.setattr("caddm_hf.default_model.BUNDLED_MODEL", untrained_folder)


def rows_in(folder: Path) -> dict[str, dict]:
    rows = [
        json.loads(line)
        for path in folder.glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    for path in folder.glob("*.parquet"):
        rows += pq.read_table(path).to_pylist()
    assert len({row["video"] for row in rows}) == len(rows)
    return {Path(row["video"]).stem: row for row in rows}


@pytest.mark.parametrize("output_format", ["jsonl", "parquet"])
def test_scores(tmp_path: Path, clips: Path, untrained, output_format: str, capsys) -> None:
    out = tmp_path / "scores"
    options = ("--output", str(out), "--output-format", output_format, "--workers", "0")
    assert score(f"{clips}/**/*.mp4", *options) == 1
    rows = rows_in(out)
    assert set(rows) == {"one", "two", "broken"}
    assert rows["one"]["frames_sampled"] == 6
    assert 0 <= rows["one"]["fake_probability"] <= 1
    assert rows["one"]["error"] is None
    assert rows["broken"]["fake_probability"] is None
    assert rows["broken"]["error"].startswith("'broken.mp4' is not a video")
    if output_format == "parquet":
        assert json.loads(rows["one"]["report"])["people"]
    assert "3 files, 1 of them could not be read" in capsys.readouterr().out


def test_scoring_goes_on(tmp_path: Path, clips: Path, untrained, monkeypatch) -> None:
    out = tmp_path / "scores"
    options = ("--output", str(out), "--workers", "0")
    assert score(str(clips / "one.mp4"), *options) == 0
    asked = []
    score_video = score_at_scale.score_video

    def counted(job):
        asked.append(Path(job.video).name)
        return score_video(job)

    monkeypatch.setattr(score_at_scale, "score_video", counted)
    assert score(str(clips), *options) == 1
    assert sorted(asked) == ["broken.mp4", "two.mp4"]
    assert score(str(clips), *options) == 1
    assert len(asked) == 2
    assert set(rows_in(out)) == {"one", "two", "broken"}


def test_scoring_that_is_broken_off(tmp_path: Path, clips: Path, untrained, monkeypatch) -> None:
    out = tmp_path / "scores"
    score_video = score_at_scale.score_video

    def broken_off(job):
        if "two" in job.video:
            raise KeyboardInterrupt
        return score_video(job)

    videos = [str(clips / "one.mp4"), str(clips / "two.mp4")]
    with monkeypatch.context() as patch:
        patch.setattr(score_at_scale, "score_video", broken_off)
        with pytest.raises(KeyboardInterrupt):
            score(*videos, "--output", str(out), "--workers", "0")
    assert set(rows_in(out)) == {"one"}
    assert score(*videos, "--output", str(out), "--workers", "0") == 0
    assert set(rows_in(out)) == {"one", "two"}


def test_faults_of_the_machine_are_tried_again(
    tmp_path: Path, clips: Path, untrained, monkeypatch, capsys
) -> None:
    options = ("--output", str(tmp_path / "scores"), "--workers", "0")

    def fault(*_, **__):
        raise MemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr("caddm_hf.video_detection.VideoDetector.__call__", fault)
        assert score(str(clips / "one.mp4"), *options) == 3
    assert "one.mp4: MemoryError: none left" in capsys.readouterr().err
    assert score(str(clips / "one.mp4"), *options) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{clips}/*.avi"], "There are no video or image files in"),
        (["{clips}", "--model", "{clips}"], "config.json"),
        (["nosuch://bucket/*.mp4"], "cannot be opened"),
    ],
)
def test_what_cannot_be_scored(
    tmp_path: Path, clips: Path, untrained, arguments: list[str], words: str, capsys
) -> None:
    given = [argument.format(clips=clips) for argument in arguments]
    assert score(*given, "--output", str(tmp_path / "out"), "--workers", "0") == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: ")
    assert words in told


def test_other_settings_are_refused(tmp_path: Path) -> None:
    ScoreFolder(str(tmp_path), "jsonl", ScoringSettings("a/model"))
    ScoreFolder(str(tmp_path), "jsonl", ScoringSettings("a/model"))
    with pytest.raises(ValueError, match="was begun with frames 32, not 16"):
        ScoreFolder(str(tmp_path), "jsonl", ScoringSettings("a/model", frames=16))
    with pytest.raises(ValueError, match="was begun with output_format jsonl"):
        ScoreFolder(str(tmp_path), "parquet", ScoringSettings("a/model"))


def test_files_are_filled_and_written_in_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(score_at_scale, "RESULTS_PER_FILE", 3)
    folder = ScoreFolder(str(tmp_path), "jsonl", ScoringSettings(None))
    for number in range(7):
        folder.add({"video": str(number), "error": None})
    assert len(list(tmp_path.glob("scores-*"))) == 2
    monkeypatch.setattr(score_at_scale, "SECONDS_PER_FILE", 0)
    folder.add({"video": "7", "error": None})
    assert set(folder.errors()) == {str(number) for number in range(8)}


def test_expanding(clips: Path) -> None:
    one = str(clips / "one.mp4")
    assert expand_videos([one, f"file://{one}", one]) == [one]
    assert expand_videos([str(clips)]) == expand_videos([f"{clips}/**/*.mp4"])
    url = "https://host.example/clip.mp4?token=1"
    assert expand_videos([url, str(clips / "absent.mp4")]) == [url, str(clips / "absent.mp4")]


def test_videos_on_another_file_system(clips: Path, tmp_path: Path, untrained) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/clips/one.mp4", (clips / "one.mp4").read_bytes())
    out = tmp_path / "scores"
    assert score("memory://clips/*.mp4", "--output", str(out), "--workers", "0") == 0
    assert score(str(clips / "one.mp4"), "--output", str(out), "--workers", "0") == 0
    one, other = (json.loads(path.read_text()) for path in out.glob("*.jsonl"))
    assert {one.pop("video"), other.pop("video")} == {
        "memory:///clips/one.mp4",
        str(clips / "one.mp4"),
    }
    assert one == other
    memory.rm("/clips", recursive=True)
