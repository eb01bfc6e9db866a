"""The command as users run it: exit statuses, a killed process, the Hub, two processes, Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock

from data_scripts.build_frame_dataset import main
from support.fake_hub.server import LocalHub
from support.made_crashes import crashing_environment
from support.made_datasets import MadeVideos, make_faceforensics, make_folder

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "data_scripts" / "build_frame_dataset.py"
PAIRS = [(f"{number:03d}", f"{number + 1:03d}") for number in range(0, 12, 2)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> MadeVideos:
    return MadeVideos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory, videos: MadeVideos) -> Path:
    """FaceForensics++ with 24 videos in 12 groups."""
    root = tmp_path_factory.mktemp("trees") / "ff"
    return make_faceforensics(root, videos, pairs=PAIRS, methods=("Deepfakes",))


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def command(root: Path, out: Path, *options: str) -> list[str]:
    fixed = [sys.executable, str(SCRIPT), "faceforensics", "--root", str(root), "--out", str(out)]
    return [*fixed, "--frames", "4", *options]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, tree: Path) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("unbroken")
    assert main(command(tree, out, "--workers", "0")[2:]) == 0
    return contents(out)


def pieces(out: Path) -> int:
    """Pieces and shards so far."""
    return len(list(out.glob(".build/*.parquet"))) + 12 * len(list(out.glob("data/*.parquet")))


def kill_when(process: subprocess.Popen, ready: Callable[[], bool]) -> None:
    """SIGKILL to one process, without its workers."""
    end = time.monotonic() + 240
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    process.kill()
    process.wait()


# --- killed ------------------------------------------------------------------------------


def test_killed_process(tmp_path: Path, tree: Path, unbroken: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(tree, out, "--workers", "0"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    kill_when(process, lambda: pieces(out) >= 2)
    assert process.returncode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in out.glob(".build/*-*.parquet")}
    assert 2 <= len(done) < 12
    assert main(command(tree, out, "--workers", "0", "--dry_run")[2:]) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert main(command(tree, out, "--workers", "0")[2:]) == 0
    assert contents(out) == unbroken


@pytest.mark.slow
def test_two_processes_killed_again_and_again(
    tmp_path: Path, tree: Path, unbroken: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    kills = 0
    for wanted in (1, 4, 7, 10, 13):
        process = subprocess.Popen(
            command(tree, out, "--workers", "2"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        kill_when(process, lambda wanted=wanted: pieces(out) >= wanted)
        kills += process.returncode == -signal.SIGKILL
        # The workers do not outlive their parent.
        end = time.monotonic() + 20
        while _group_alive(process.pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert not _group_alive(process.pid)
    assert kills >= 4
    subprocess.run(command(tree, out, "--workers", "2"), check=True)
    assert contents(out) == unbroken


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_engines_give_the_same(tmp_path: Path, tree: Path, unbroken: dict[str, bytes]) -> None:
    engines = [("--workers", "1"), ("--workers", "2")]
    if find_spec("ray") is not None:
        engines.append(("--engine", "ray"))
    for number, options in enumerate(engines):
        out = tmp_path / str(number)
        subprocess.run(command(tree, out, *options), check=True)
        assert contents(out) == unbroken, options


# --- statuses and words ------------------------------------------------------------------


def folder_run(root: Path, out: Path, *options: str) -> int:
    fixed = ["folder", "--root", str(root), "--out", str(out), "--frames", "2", "--workers", "0"]
    return main([*fixed, *options])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("crash", "crashed the program that read it"), ("bloat", "needs more than 4.3 GB of memory")],
)
def test_a_video_that_takes_its_worker_along(
    tmp_path: Path, videos: MadeVideos, capsys, monkeypatch, name: str, sentence: str
) -> None:
    """It costs its own rows, and twins where it is the genuine one; the rest is as ever."""
    collections = []
    for kind, workers in (("broken", "0"), ("genuine", "2")):
        root = make_folder(tmp_path / kind / "tree", videos)
        videos.put(kind, root / "real" / f"{name}.mp4")
        if workers != "0":
            for variable, value in crashing_environment(tmp_path / "patch").items():
                monkeypatch.setenv(variable, value)
        out = tmp_path / kind / "out"
        assert folder_run(root, out, "--workers", workers, "--allowed_failures", "0.3") == 0
        accounts = [json.loads(line) for line in (out / "videos.jsonl").read_text().splitlines()]
        failures = {Path(account["path"]).name: account["failure"] for account in accounts}
        assert [path for path, failure in failures.items() if failure] == [f"{name}.mp4"]
        failure = failures[f"{name}.mp4"]
        collections.append(json.loads((out / "manifest.json").read_text())["fingerprint"])
    assert failure.startswith(f"'{name}.mp4' {sentence}")
    assert f"failed: real/{name}.mp4: {failure}" in capsys.readouterr().err
    assert collections[0] == collections[1]


def test_too_many_failures(tmp_path: Path, videos: MadeVideos, capsys) -> None:
    root = make_folder(tmp_path / "tree", videos)
    videos.put("broken", root / "real" / "two.mp4")
    assert folder_run(root, tmp_path / "out") == 1
    told = capsys.readouterr()
    assert "6 of 8 frames from 3 of 4 videos" in told.out
    assert "failed: real/two.mp4: 'two.mp4' is not a video" in told.err
    assert "error: 1 of 4 videos failed, and 2% may" in told.err
    # It is complete all the same, and says so again.
    assert folder_run(root, tmp_path / "out") == 1
    assert folder_run(root, tmp_path / "out", "--allowed_failures", "0.25") == 0


def test_dry_run(tmp_path: Path, tree: Path, videos: MadeVideos, capsys) -> None:
    root = make_faceforensics(tmp_path / "tree", videos)
    (root / "original_sequences/youtube/c23/videos/000.mp4").unlink()
    out = tmp_path / "out"
    arguments = command(root, out, "--dry_run", "--compressions", "c23")[2:]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    rows = [line.split() for line in told.splitlines()]
    assert ["train", "Face2Face", "c23", "2", "0"] in rows
    assert ["train", "genuine", "c23", "1", "0"] in rows
    assert "6 of 8 fakes with their genuine video" in told
    assert "missing: original c23: 1 of 4 videos are not there (000)." in told
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nosuch", "--root", "x"], "invalid choice: 'nosuch'"),
        (["folder"], "required: --root"),
        (["folder", "--root", "x"], "--out or --push-to-hub is needed"),
        (["folder", "--root", "x", "--out", "y"], "'x' is not a folder"),
        (["folder", "--root", ".", "--push-to-hub", "me"], "must have the form user/name"),
        (["folder", "--root", ".", "--out", "y", "--frames", "0"], "between 1 and 4096"),
    ],
)
def test_wrong_options(tmp_path: Path, monkeypatch, options: list[str], words: str, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(options)
    except SystemExit as error:
        status = error.code
    assert status == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert words in told
    assert told.count("\n") == 1


def test_one_run_at_a_time(tmp_path: Path, videos: MadeVideos, capsys) -> None:
    root = make_folder(tmp_path / "tree", videos)
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        assert folder_run(root, tmp_path / "out") == 2
    assert "Another run is writing to" in capsys.readouterr().err


def test_a_collection_elsewhere(tmp_path: Path, videos: MadeVideos, capsys) -> None:
    import fsspec

    root = make_folder(tmp_path / "tree", videos)
    assert folder_run(root, tmp_path / "out") == 0
    fixed = ["folder", "--root", str(root), "--out", "memory://there", "--frames", "2"]
    assert main([*fixed, "--push-to-hub", "alice/frames"]) == 2
    assert "--push-to-hub needs an --out on this machine" in capsys.readouterr().err
    assert main([*fixed, "--workers", "0"]) == 0
    memory = fsspec.filesystem("memory")
    there = {path.removeprefix("/there/"): memory.cat(path) for path in memory.find("/there")}
    assert there == contents(tmp_path / "out")
    memory.rm("/there", recursive=True)


# --- the Hub -----------------------------------------------------------------------------


def client_push_and_load(root: str) -> dict:
    """Push, load and stream a collection, then push it where it may not go; what came of it."""
    import datasets

    from data_scripts.build_frame_dataset import main

    arguments = ["folder", "--root", root, "--push-to-hub", "alice/frames", "--frames", "2"]
    statuses = [main([*arguments, "--workers", "0"]) for _ in range(3)]
    arguments[arguments.index("alice/frames")] = "bob/frames"
    statuses.append(main([*arguments, "--workers", "0"]))
    loaded = datasets.load_dataset("alice/frames", split="train")
    streamed = datasets.load_dataset("alice/frames", split="train", streaming=True)
    return {
        "statuses": statuses,
        "ids": loaded["video_id"][:],
        "streamed": [row["video_id"] for row in streamed],
        "size": loaded[0]["image"].size,
    }


def test_push_to_the_hub(tmp_path: Path, videos: MadeVideos, hub: LocalHub) -> None:
    root = make_folder(tmp_path / "tree", videos)
    hub.fail_next("/commit/", status=403)
    result = hub.run_client(client_push_and_load, tmp_path / "home", "tok-alice", [str(root)])
    assert result["statuses"] == [3, 0, 0, 2]
    assert ("dataset", "bob/frames") not in hub.repos
    names = ("fake/swapper/four", "fake/three", "real/one", "real/two")
    assert result["ids"] == [f"folder/{name}" for name in names for _ in range(2)]
    assert result["streamed"] == result["ids"]
    assert min(result["size"]) > 100
    repo = hub.repo("alice/frames", "dataset")
    assert repo.private
    files = repo.files()
    assert {"README.md", "manifest.json", "plan.json", "videos.jsonl"} < set(files)
    assert not [name for name in files if ".build" in name or ".lock" in name]
    manifest = json.loads(files["manifest.json"])
    assert manifest["frames"] == {"wanted": 8, "kept": 8}


# --- training ----------------------------------------------------------------------------


@pytest.mark.slow
def test_training_runs_on_it(tmp_path: Path, tree: Path) -> None:
    out = tmp_path / "frames"
    assert main(command(tree, out, "--workers", "0")[2:]) == 0
    arguments = [
        *("--data", str(out), "--output_dir", str(tmp_path / "model"), "--max_steps", "2"),
        *("--backbone", "test_resnet", "--artifact_width", "32", "--image_size", "64"),
        *("--use_cpu", "--batch_size", "8", "--dataloader_num_workers", "0"),
        *("--lr_scheduler_type", "constant"),
    ]
    subprocess.run([sys.executable, str(ROOT / "train_accelerate.py"), *arguments], check=True)
    assert (tmp_path / "model" / "model.safetensors").is_file()
