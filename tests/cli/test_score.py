"""The command line as a user meets it: good files, bad files, many files, and the exit status."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from skimage import data

from caddm_hf.cli.main import main
from caddm_hf.cli.score import _score_one, failure_dict, report_line
from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.guarded import DetectorSource, GuardedDetector
from caddm_hf.media.limits import MediaError
from support.made_crashes import crashing_environment
from support.made_media import claim_mp4_duration, write_audio, write_video


def run(*arguments: str, environment: dict | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "caddm_hf", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )


@pytest.fixture(scope="module")
def running() -> Iterator[GuardedDetector]:
    """What `score --frames 6` starts."""
    with GuardedDetector(DetectorSource(config=DetectionConfig(frames=6))) as detector:
        yield detector


@pytest.fixture
def one_worker(running, monkeypatch) -> None:
    """`score --frames 6` finds its worker started: the libraries take seconds to load."""

    def found(source: DetectorSource) -> nullcontext:
        assert source == DetectorSource(config=DetectionConfig(frames=6))
        return nullcontext(running)

    monkeypatch.setattr("caddm_hf.cli.score.GuardedDetector", found)


def lines_of(capsys) -> tuple[list[dict], str]:
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


@pytest.fixture(scope="module")
def bad_media(tmp_path_factory, empty_clip) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bad")
    portrait = data.astronaut()[:400]
    whole = write_video(folder / "whole.mp4", [portrait] * 12).read_bytes()
    files = {name: folder / f"{name}.mp4" for name in ("empty", "text", "truncated", "folder")}
    files["empty"].write_bytes(b"")
    files["text"].write_text("this is not a video")
    files["truncated"].write_bytes(whole[: len(whole) // 2])
    files["folder"].mkdir()
    files["missing"] = folder / "missing.mp4"
    files["audio"] = write_audio(folder / "audio.m4a")
    files["four_hours"] = folder / "four_hours.mp4"
    files["four_hours"].write_bytes(whole)
    claim_mp4_duration(files["four_hours"], 4 * 3600)
    (folder / "whole.mp4").unlink()
    return files


BAD_MEDIA = {
    "empty": "is empty",
    "text": "not a video or picture",
    "truncated": "cut off|damaged|index",
    "missing": "does not exist",
    "audio": "no picture|sound only|no video|audio",
    "four_hours": "4 h|240|14,?400|limit",
}


def test_bad_files_give_one_sentence_and_a_status(bad_media, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["score", "--json", *(str(bad_media[name]) for name in BAD_MEDIA)]) == 1
    lines, errors = lines_of(capsys)
    for line, (name, sentence) in zip(lines, BAD_MEDIA.items(), strict=True):
        assert line["video"] == str(bad_media[name])
        assert line["verdict"] == "cannot_tell"
        assert line["fake_probability"] is None
        assert line["people"] == []
        assert "\n" not in line["reason"]
        assert re.search(sentence, line["reason"]), line["reason"]
        assert line["reason"] in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("one_worker")
def test_one_bad_file_alone(bad_media, capsys):
    assert main(["score", "--frames", "6", "--json", str(bad_media["text"])]) == 1
    (line,), errors = lines_of(capsys)
    assert line["reason_code"] == "unreadable"
    assert "0/1" not in errors  # no progress bar


@pytest.mark.usefixtures("one_worker")
def test_clips_without_a_verdict_are_no_errors(empty_clip, tmp_path, capsys):
    one = write_video(tmp_path / "one.mp4", [data.astronaut()[:400]])
    assert main(["score", "--frames", "6", "--json", str(empty_clip), str(one)]) == 0
    (nobody, single), _ = lines_of(capsys)
    assert (nobody["verdict"], nobody["reason_code"]) == ("cannot_tell", "no_face")
    assert (single["verdict"], single["reason_code"]) == ("cannot_tell", "too_few_frames")
    assert single["frames_sampled"] == 1


@pytest.mark.usefixtures("one_worker")
def test_one_bad_file_does_not_stop_the_rest(bad_media, face_clip, face_picture, capsys):
    files = [face_clip, bad_media["text"], face_picture]
    assert main(["score", "--json", "--frames", "6", *map(str, files)]) == 1
    lines, _ = lines_of(capsys)
    assert [line["video"] for line in lines] == [str(path) for path in files]
    assert [len(line["people"]) for line in lines] == [1, 0, 1]
    assert [line["frames_sampled"] for line in lines] == [6, 0, 1]
    person = lines[0]["people"][0]
    assert set(person) >= {"id", "fake_probability", "frames"}
    assert len(person["frames"]) == 6


@pytest.mark.usefixtures("one_worker")
def test_folder_is_searched_for_media(face_clip, face_picture, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.mp4").write_bytes(face_clip.read_bytes())
    (tmp_path / "sub" / "a.PNG").write_bytes(face_picture.read_bytes())
    (tmp_path / "notes.txt").write_text("not media")
    assert main(["score", "--json", "--frames", "6", str(tmp_path)]) == 0
    lines, errors = lines_of(capsys)
    assert [Path(line["video"]).name for line in lines] == ["b.mp4", "a.PNG"]
    assert "2/2" in errors  # the progress bar


def test_folder_without_media(tmp_path, capsys):
    assert main(["score", str(tmp_path)]) == 2
    assert "no video or image files" in capsys.readouterr().err


def test_many_videos_into_a_folder(face_clip, tmp_path, capsys):
    command = ["score", "--frames", "5", "--workers", "1", str(face_clip)]
    assert main([*command, "--output", str(tmp_path / "scores")]) == 0
    lines = [
        json.loads(line)
        for path in (tmp_path / "scores").rglob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert [line["video"] for line in lines] == [str(face_clip)]
    assert len(lines[0]["people"][0]["frames"]) == 5
    capsys.readouterr()
    assert main(["score", "--engine", "ray", str(face_clip)]) == 2
    assert "--output" in capsys.readouterr().err


@pytest.mark.usefixtures("one_worker")
def test_text_output_is_one_line_a_video(face_clip, empty_clip, capsys):
    assert main(["score", "--frames", "6", str(face_clip), str(empty_clip)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{face_clip}: ")
    assert second == f"{empty_clip}: cannot tell. No face was found in the 6 frames looked at."


class Refusing:
    """A detector that no file is good enough for."""

    def summary(self, video: str) -> dict:
        raise MediaError("It is damaged.")


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_of_an_address_are_not_printed(capsys, as_json):
    for address in ("https://anna:hush@host/a.mp4", "https://host/a.mp4?token=hush#hush"):
        assert not _score_one(Refusing(), "model", address, as_json)
        told = capsys.readouterr()
        assert "https://host/a.mp4" in told.err
        assert "hush" not in told.out + told.err
        assert "anna" not in told.out + told.err


def test_names_do_not_act_on_the_terminal(capsys):
    """Nor does one that is no text in any encoding end the run."""
    video = "a\n\x1b[31m\udcff\u202e.mp4"
    _score_one(Refusing(), "model", video, as_json=False)
    assert capsys.readouterr().err == "error: a??[31m??.mp4: It is damaged.\n"
    _score_one(Refusing(), "model", video, as_json=True)
    assert json.loads(capsys.readouterr().out)["video"] == video
    report = failure_dict(video, "model", "It is damaged.")
    assert report_line(report) == "a??[31m??.mp4: cannot tell. It is damaged."


def test_models_that_do_not_exist_or_would_run_code(face_clip, tmp_path, capsys):
    mark = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {mark}",)

    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / "config.json").write_text('{"model_type": "caddm", "backbone": "resnet18"}')
    torch.save(Payload(), hostile / "pytorch_model.bin")
    torch.save(Payload(), tmp_path / "model.pkl")
    for model in ("nobody/nothing", tmp_path / "missing", hostile, tmp_path / "model.pkl"):
        assert main(["score", str(face_clip), "--model", str(model)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert len(captured.err.splitlines()) == 1
    assert not mark.exists()


@pytest.mark.parametrize("arguments", [["--frames", "0"], ["--frames", "x"], []])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["score", *arguments, *(["x.mp4"] if arguments else [])])
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_real_process_from_start_to_end(face_clip):
    done = run("score", "--json", "--frames", "5", face_clip)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["people"][0]["frames"][-1]["frame_index"] == 39
    assert "Traceback" not in done.stderr


def test_help_does_not_wait_for_torch():
    """`--help` must not import what scoring needs."""
    code = "import sys; sys.argv=['caddm_hf','--help']\n"
    code += "from caddm_hf.cli.main import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False False"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_leaves_nothing_behind(face_clip, tmp_path, number, status):
    clips = [face_clip] * 400
    process = subprocess.Popen(
        [sys.executable, "-m", "caddm_hf", "score", *map(str, clips)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    assert process.stdout.readline()
    time.sleep(0.2)
    os.killpg(process.pid, number)  # as a terminal does
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in errors
    assert len(output.splitlines()) < 399
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_crashes_its_worker_costs_one_line(face_clip, empty_clip, tmp_path):
    crash = tmp_path / "crash.mp4"
    crash.write_bytes(face_clip.read_bytes())
    environment = crashing_environment(tmp_path / "patch")
    clips = [face_clip, crash, empty_clip]
    done = run("score", "--frames", "5", "--json", *clips, environment=environment)
    assert done.returncode == 1, done.stderr
    first, lost, last = map(json.loads, done.stdout.splitlines())
    assert len(first["people"]) == 1
    assert lost["error"].startswith("'crash.mp4' crashed the program that read it")
    assert lost["verdict"] == "cannot_tell"
    assert last["reason_code"] == "no_face"
