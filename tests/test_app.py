"""app.py without a browser: command line, banner, what becomes of uploads, the endpoint."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from made_reports import made_person, made_report

import app
from caddm_hf import page_layout
from caddm_hf.example_media import make_examples
from caddm_hf.page_layout import build_page
from caddm_hf.video_detection import VideoDetector

ROOT = Path(app.__file__).parent
FORGED = [(float(t), 0.9) for t in range(8)]


@pytest.fixture(scope="module", autouse=True)
def upload_folder(tmp_path_factory) -> Iterator[Path]:
    """Where the pages of these tests keep uploads; `main` respects what is set already."""
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture
def interrupts():
    """`main` takes over SIGTERM; put it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def examples(tmp_path_factory) -> dict[str, Path]:
    return make_examples(tmp_path_factory.mktemp("examples"))


def test_help_needs_none_of_the_heavy_imports():
    code = (
        "import sys, app\n"
        "try: app.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'gradio', 'cv2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--max-upload-mb" in done.stdout


def test_a_wrong_model_ends_in_one_sentence(capsys, interrupts):
    assert app.main(["--model", "no such model"]) == 2
    assert capsys.readouterr().err == (
        "error: Model 'no such model' is neither a folder nor a Hub id of the form user/name.\n"
    )


@pytest.mark.parametrize("limit", ["0", "-3", "many"])
def test_a_nonsensical_limit_is_refused(limit, capsys):
    with pytest.raises(SystemExit, match="2"):
        app.main(["--max-upload-mb", limit])
    assert "--max-upload-mb" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "login"), [(None, None), ("", None), ("ann:a:b", ("ann", "a:b"))])
def test_login_from(text, login):
    assert app.login_from(text) == login


@pytest.mark.parametrize("text", ["ann", ":secret", "ann:"])
def test_a_half_login_is_refused_and_not_ignored(text, monkeypatch, capsys):
    monkeypatch.setenv("CADDM_PAGE_LOGIN", text)
    with pytest.raises(SystemExit, match="2"):
        app.main([])
    assert "name:password" in capsys.readouterr().err


@pytest.mark.parametrize("trained", [False, True])
def test_the_banner_is_there_exactly_for_an_untrained_model(trained, examples):
    detector = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(trained=trained)))
    page = json.dumps(build_page(detector, examples).get_config_file(), default=str)
    assert ("its scores mean nothing" in page) is not trained


def test_uploads_are_deleted_and_examples_stay(examples, upload_folder, monkeypatch):
    monkeypatch.setattr(page_layout, "DELETE_EVERY_S", 1)
    monkeypatch.setattr(page_layout, "DELETE_AFTER_S", 1)
    report = made_report([made_person(1, FORGED)])
    asked = []

    def detector(path, frames, progress, name):
        asked.append(path)
        return report

    detector.model = SimpleNamespace(config=SimpleNamespace(trained=True))
    page = build_page(detector, examples)
    _, url, _ = page.queue().launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", ssr_mode=False
    )
    try:
        Client(url, verbose=False).predict(
            handle_file(examples["genuine_clip"]), 8, api_name="/check_video"
        )
        assert upload_folder in Path(asked[0]).parents
        deadline = time.monotonic() + 60
        while Path(asked[0]).exists():
            assert time.monotonic() < deadline, "the upload is still there"
            time.sleep(0.1)
        for path in examples.values():
            assert httpx.get(f"{url}gradio_api/file={path}").content == path.read_bytes()
    finally:
        page.close()


@pytest.fixture(scope="module")
def client(examples):
    page = build_page(VideoDetector.untrained(), examples)
    _, url, _ = page.queue().launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", ssr_mode=False
    )
    try:
        yield Client(url, verbose=False)
    finally:
        page.close()


def test_the_endpoint_judges_a_video(client, examples):
    report = client.predict(
        video=handle_file(examples["swapped_clip"]), frames=8, api_name="/check_video"
    )
    assert report["video"] == "swapped_clip.mp4"
    assert report["frames_sampled"] == 8
    assert report["warnings"][0] == "This model is untrained: its scores mean nothing."
    assert [len(person["frames"]) for person in report["people"]] == [8]
    assert 0 <= report["fake_probability"] <= 1


def test_the_endpoint_judges_a_picture(client, examples):
    report = client.predict(handle_file(examples["genuine_picture"]), 8, api_name="/check_video")
    assert (report["duration_s"], report["frames_sampled"]) == (0, 1)


def test_the_endpoint_refuses_in_one_sentence(client, tmp_path):
    note = tmp_path / "note.mp4"
    note.write_text("This is no video.\n" * 50)
    with pytest.raises(AppError) as caught:
        client.predict(video=handle_file(note), frames=8, api_name="/check_video")
    assert str(caught.value).startswith("'note.mp4' ")
    assert "Traceback" not in str(caught.value)


def test_the_endpoint_reads_no_file_that_was_not_uploaded(client, tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(os.urandom(100))
    # The client would upload it first, so ask without the client.
    endpoint = f"{client.src}gradio_api/call/check_video"
    video = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    event = httpx.post(endpoint, json={"data": [video, 8]}).json()["event_id"]
    answer = httpx.get(f"{endpoint}/{event}").text
    assert answer.startswith("event: error")
    assert "format" not in answer  # what the detector says of such a file


def test_only_the_endpoint_is_public(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/check_video"]
