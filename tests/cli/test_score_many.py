"""caddm_hf.cli.score_many: many videos into a folder of results, on cores or elsewhere."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from caddm_hf.cli import score_many as score_at_scale
from caddm_hf.cli.arguments import Parser, add_options, read_options
from caddm_hf.cli.options import ScoreOptions
from caddm_hf.cli.score_many import (
    ScoreFolder,
    ScoreJob,
    ScoringSettings,
    expand_videos,
    kept_name,
    lost_video,
)
from caddm_hf.guard.limits import GuardLimits, WorkerLostError
from support.made_crashes import crashing_environment
from support.made_datasets import made_frames, write_clip
from support.made_server import running_server


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
    parser = Parser()
    add_options(parser, ScoreOptions)
    found = parser.parse_args(["--frames", "6", *arguments])
    return score_at_scale.score_at_scale(read_options(ScoreOptions, found))


@pytest.fixture
def untrained(monkeypatch, untrained_folder: Path) -> None:
    """Another bundled model than the checkout's."""
    monkeypatch.setattr("caddm_hf.checkpoint.bundled.BUNDLED_MODEL", untrained_folder)


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
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("caddm_hf.detector.video_detector.VideoDetector.__call__", fault)
        assert score(str(clips / "one.mp4"), *options) == 3
    assert "one.mp4: OSError: the disk is full" in capsys.readouterr().err
    assert score(str(clips / "one.mp4"), *options) == 0


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes")]
)
def test_a_video_that_wants_too_much_memory(
    tmp_path: Path, clips: Path, untrained, monkeypatch, error: Exception
) -> None:
    """Tried again and again it would keep the run from its end."""

    def fault(*_, **__):
        raise error

    monkeypatch.setattr("caddm_hf.detector.video_detector.VideoDetector.__call__", fault)
    out = tmp_path / "scores"
    assert score(str(clips / "one.mp4"), "--output", str(out), "--workers", "0") == 1
    assert rows_in(out)["one"]["error"].startswith("'one.mp4' needs more than 4.3 GB of memory")


def test_files_that_cost_their_workers(
    tmp_path: Path, face_clip: Path, untrained_folder: Path, monkeypatch, capsys
) -> None:
    for name in ("good", "crash", "bloat"):
        shutil.copy(face_clip, tmp_path / f"{name}.mp4")
    for variable, value in crashing_environment(tmp_path / "patch").items():
        monkeypatch.setenv(variable, value)
    out = tmp_path / "scores"
    videos = [str(tmp_path / f"{name}.mp4") for name in ("crash", "bloat", "good")]
    options = ("--model", str(untrained_folder), "--output", str(out), "--workers", "1")
    assert score(*videos, *options) == 1
    rows = rows_in(out)
    assert rows["good"]["error"] is None
    assert rows["crash"]["error"].startswith("'crash.mp4' crashed the program that read it")
    assert rows["bloat"]["error"].startswith("'bloat.mp4' needs more than")
    assert rows["crash"]["model"] == rows["good"]["model"]
    assert "3 files, 2 of them could not be read" in capsys.readouterr().out


@pytest.mark.parametrize("cause", ["died", "memory", "time", "silent", "answer"])
def test_a_lost_video_is_a_result(cause: str) -> None:
    job = ScoreJob("https://host.example/clip.mp4?token=hush", ScoringSettings("a"), "a")
    result = lost_video(job, WorkerLostError(cause, GuardLimits()))
    assert result["error"].startswith("'clip.mp4' ")
    assert result["model"] == "a"
    assert "hush" not in str(result)


def test_a_video_whose_worker_the_system_ended_is_tried_again() -> None:
    job = ScoreJob("clip.mp4", ScoringSettings("a"), "a")
    result = lost_video(job, WorkerLostError("killed", GuardLimits()))
    assert result["video"] == "clip.mp4"
    assert "the system ended the program" in result["undone"]


def test_what_is_secret_in_an_address_is_not_kept(
    tmp_path: Path, clips: Path, untrained, capfd
) -> None:
    data = (clips / "one.mp4").read_bytes()
    out = tmp_path / "scores"
    options = ("--output", str(out), "--workers", "0", "--allow-private-addresses")
    with running_server() as server:
        server.answers["/get"] = lambda handler: handler.give(data)
        server.answers["/no"] = lambda handler: handler.give(b"", status=403)
        urls = [server.url(f"/get?id={number}&token=hush") for number in (1, 2)]
        urls += [server.url("/no?token=hush"), server.url("/get").replace("//", "//anna:hush@")]
        assert score(*urls, *options) == 1
        asked = len(server.requests)
        assert score(*urls, *options) == 1  # goes on by what was kept: nothing is left to do
        assert len(server.requests) == asked
    kept = [json.loads(line) for file in out.glob("*.jsonl") for line in file.open()]
    assert sorted(row["error"] is None for row in kept) == [False, False, True, True]
    assert len({row["video"] for row in kept}) == 4  # each by itself
    said = capfd.readouterr()
    written = b"".join(path.read_bytes() for path in out.iterdir()).decode()
    for text in (written, said.out, said.err):
        assert "hush" not in text
        assert "anna" not in text


def test_an_error_that_may_repeat_an_address(
    tmp_path: Path, clips: Path, untrained, monkeypatch, capsys
) -> None:
    url = "https://host.example/clip.mp4?token=hush"

    def fault(*_, **__):
        raise OSError(f"cannot reach {url}")

    monkeypatch.setattr("caddm_hf.detector.video_detector.VideoDetector.__call__", fault)
    assert score(url, "--output", str(tmp_path / "scores"), "--workers", "0") == 3
    said = capsys.readouterr().err
    assert "OSError" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("video", "kept"),
    [
        ("clips/what?.mp4", "clips/what?.mp4"),
        ("https://Host.example:80/a b.mp4", "https://Host.example:80/a b.mp4"),
        ("s3://bucket/clip.mp4", "s3://bucket/clip.mp4"),
        ("https://host.example/a.mp4?token=hush", "https://host.example/a.mp4#"),
        ("https://host.example/a.mp4#hush", "https://host.example/a.mp4#"),
        ("ftp://anna:hush@host.example/a.mp4", "ftp://host.example/a.mp4#"),
        ("https://[hush/a.mp4", "https://(an address that is not valid)#"),
    ],
)
def test_kept_names(video: str, kept: str) -> None:
    name = kept_name(video)
    assert name.startswith(kept)
    assert len(name) == len(kept) + (16 if kept.endswith("#") else 0)


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
