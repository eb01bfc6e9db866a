"""Jobs on processes and on Ray, and data preparation on them."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from caddm_hf.guard.engines import Engine, EngineError, Retry, open_engine
from caddm_hf.guard.limits import JobFailedError, WorkerLostError
from data_scripts.build_frame_dataset import main as build_main
from support.made_datasets import MadeVideos, make_faceforensics, make_folder

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError:
    ray = None

needs_ray = pytest.mark.skipif(ray is None, reason="the package ray is not installed")
SCRIPT = Path(__file__).resolve().parents[2] / "data_scripts" / "build_frame_dataset.py"


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> MadeVideos:
    return MadeVideos(tmp_path_factory.mktemp("videos"))


# --- processes ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with open_engine("processes", 2) as engine:
        yield engine


def test_every_job_is_done_once(engine: Engine) -> None:
    with open_engine("processes", 0) as here:
        for one in (engine, here):
            assert sorted(one.map(math.sqrt, [n**2 for n in range(20)])) == list(range(20))
            assert list(one.map(math.sqrt, [])) == []


def test_jobs_run_in_other_processes(engine: Engine) -> None:
    assert os.getpid() not in set(engine.map(_process_id, range(3)))


def _process_id(_: int) -> int:
    return os.getpid()


def test_workers_load_before_jobs_and_keep_no_secrets(monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hush")
    load = partial(_keep, "HF_TOKEN")
    with open_engine("processes", 1, load=load, keep_secrets=False) as engine:
        assert list(engine.map(_now_and_while_loading, ["HF_TOKEN"])) == [[None, "hush"]]


_loaded_with: dict[str, str | None] = {}


def _keep(name: str) -> None:
    _loaded_with[name] = os.environ.get(name)


def _now_and_while_loading(name: str) -> list[str | None]:
    return [os.environ.get(name), _loaded_with[name]]


def test_a_worker_that_dies(engine: Engine) -> None:
    with pytest.raises(EngineError, match="A worker process was killed"):
        list(engine.map(signal.raise_signal, [signal.SIGKILL]))


def test_what_becomes_of_a_lost_job(engine: Engine) -> None:
    results = engine.map(_exit_if_three, range(6), _as_cause)
    assert sorted(map(str, results)) == ["0", "1", "2", "3: died", "4", "5"]
    assert list(engine.map(_exit_if_three, [3], _another)) == [7]


def _exit_if_three(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


def _as_cause(job: int, loss: WorkerLostError) -> str:
    return f"{job}: {loss.cause}"


def _another(job: int, loss: WorkerLostError) -> Retry:
    return Retry(7)


def test_too_little_memory_in_this_process() -> None:
    with open_engine("processes", 0) as engine:
        assert list(engine.map(_no_memory, [1], _as_cause)) == ["1: memory"]
        with pytest.raises(EngineError, match="took its worker process along"):
            list(engine.map(_no_memory, [1]))


def _no_memory(_: int) -> None:
    raise MemoryError


def test_what_a_job_raises(engine: Engine) -> None:
    with pytest.raises(JobFailedError) as caught:
        list(engine.map(math.sqrt, [-1]))
    assert "math domain error" in str(caught.value)
    assert "math domain error" in caught.value.__notes__[0]


def test_jobs_are_not_handed_out_all_at_once(engine: Engine) -> None:
    taken = []

    def jobs() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

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
