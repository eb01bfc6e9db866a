"""app.py without a browser: command line, banner, what becomes of uploads, the endpoint."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from skimage.data import astronaut

import app
from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.guard.limits import JobStoppedError
from caddm_hf.media.frames import probe_media
from caddm_hf.page import layout as page_layout
from caddm_hf.page.checks import Line
from caddm_hf.page.examples import make_examples
from caddm_hf.page.kept_results import KeptResults
from caddm_hf.page.layout import build_page
from caddm_hf.page.model_choice import ModelChoices
from caddm_hf.page.runners import LocalRunner
from caddm_hf.page.worker import DetectorHandle
from caddm_hf.report.files import read_report
from support.made_reports import made_person, made_report
from support.made_runners import FACTS, MadeRunner, made_choices, made_page

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


def test_what_the_page_holds_is_closed_with_it(monkeypatch, interrupts):
    """The processes of models that visitors named, and the files made for visitors."""
    opened = []

    class Page:
        is_running = False

        def __getattr__(self, name):
            return lambda *arguments, **options: self

    def build(models, facts, examples, line, kept):
        with models.runner("user/name"):
            pass
        opened.append(kept.folder("a session"))
        page = Page()
        page.server = SimpleNamespace(config=SimpleNamespace())
        return page

    def runner(*arguments):
        opened.append(MadeRunner(None))
        return opened[-1]

    monkeypatch.setattr("caddm_hf.page.runners.guarded_runner", runner)
    monkeypatch.setattr("caddm_hf.page.runners.named_runner", runner)
    monkeypatch.setattr("caddm_hf.page.layout.build_page", build)
    monkeypatch.setenv("CADDM_PAGE_LOGIN", "name:password")
    assert app.main([]) == 0
    own, named, folder = opened
    assert own.closed
    assert named.closed
    assert not folder.parent.exists()
    assert "CADDM_PAGE_LOGIN" not in os.environ  # which workers would inherit


def test_tools_for_language_models_need_their_package(monkeypatch, capsys):
    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: None)
    assert app.main(["--mcp"]) == 2
    assert capsys.readouterr().err == (
        "error: --mcp needs packages that are not installed: pip install 'gradio[mcp]', or leave "
        "--mcp out\n"
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "local"),
    [
        ([], None, True),
        (["--host", "localhost"], None, True),
        (["--host", "0.0.0.0"], None, False),
        (["--share"], None, False),
        ([], "0.0.0.0", False),
    ],
)
def test_visitors_may_name_any_model_only_where_they_are_on_this_machine(
    arguments, environment, local, monkeypatch
):
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    if environment:
        monkeypatch.setenv("GRADIO_SERVER_NAME", environment)
    assert app.only_here(app.build_parser().parse_args(arguments)) is local


@pytest.mark.parametrize("trained", [False, True])
def test_the_banner_is_there_exactly_for_an_untrained_model(trained, examples):
    page = made_page(None, examples, replace(FACTS, trained=trained))
    config = json.dumps(page.get_config_file(), default=str)
    assert ("its scores mean nothing" in config) is not trained


def test_the_page_does_not_tell_where_models_lie(examples, tmp_path):
    folder = tmp_path / "slim"
    folder.mkdir()
    models = made_choices(None, offered=[str(folder), "user/name"])
    page = build_page(models, FACTS, examples, Line(), KeptResults())
    config = json.dumps(page.get_config_file(), default=str)
    assert '["slim", "slim"]' in config
    assert '["user/name", "user/name"]' in config
    assert str(tmp_path) not in config


@contextmanager
def served(page) -> Iterator[str]:
    _, url, _ = page.queue().launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", ssr_mode=False
    )
    try:
        yield url
    finally:
        page.close(verbose=False)


def test_uploads_are_deleted_and_examples_stay(examples, upload_folder, monkeypatch):
    monkeypatch.setattr(page_layout, "DELETE_EVERY_S", 1)
    monkeypatch.setattr(page_layout, "DELETE_AFTER_S", 1)
    report = made_report([made_person(1, FORGED)])
    asked = []

    def answer(job, tell, stop):
        asked.append(job.path)
        return report

    with served(made_page(answer, examples)) as url:
        Client(url, verbose=False).predict(
            handle_file(examples["genuine_clip"]), api_name="/check_video"
        )
        assert upload_folder in Path(asked[0]).parents
        deadline = time.monotonic() + 60
        while Path(asked[0]).exists():
            assert time.monotonic() < deadline, "the upload is still there"
            time.sleep(0.1)
        for path in examples.values():
            assert httpx.get(f"{url}gradio_api/file={path}").content == path.read_bytes()


def test_a_program_that_goes_frees_its_work(examples):
    begun, stopped = threading.Event(), threading.Event()

    def answer(job, tell, stop):
        begun.set()
        assert stop.wait(60), "nobody stopped the check"
        stopped.set()
        raise JobStoppedError

    code = (
        "import sys; from gradio_client import Client, handle_file\n"
        "client = Client(sys.argv[1], verbose=False)\n"
        "client.submit(handle_file(sys.argv[2]), api_name='/check_video').result()\n"
    )
    with served(made_page(answer, examples)) as url:
        program = subprocess.Popen([sys.executable, "-c", code, url, examples["genuine_clip"]])
        try:
            assert begun.wait(60)
        finally:
            program.kill()
            program.wait()
        assert stopped.wait(30)


@pytest.fixture(scope="module")
def client(examples):
    """A client of a page whose detector is the untrained one, in this process."""
    config = DetectionConfig()
    own = LocalRunner(lambda: DetectorHandle(VideoDetector.untrained(config=config)))
    models = ModelChoices(own, None, config)
    page = build_page(models, own.facts(), examples, Line(), KeptResults())
    with served(page) as url:
        yield Client(url, verbose=False)


def test_the_endpoint_judges_a_video(client, examples):
    report = client.predict(
        video=handle_file(examples["swapped_clip"]), frames=8, api_name="/check_video"
    )
    assert report["video"] == "swapped_clip.mp4"
    assert report["frames_sampled"] == 8
    assert report["warnings"][0] == "This model is untrained: its scores mean nothing."
    assert [len(person["frames"]) for person in report["people"]] == [8]
    assert 0 <= report["fake_probability"] <= 1
    digest = hashlib.sha256(examples["swapped_clip"].read_bytes()).hexdigest()
    assert report["provenance"]["file"]["sha256"] == digest


def test_the_endpoint_judges_a_picture(client, examples):
    report = client.predict(handle_file(examples["genuine_picture"]), 8, api_name="/check_video")
    assert (report["duration_s"], report["frames_sampled"]) == (0, 1)


def test_visitors_at_once_get_each_their_own_result(client, tmp_path):
    """Five visitors, each with a picture of theirs; test_app_load.py has many more."""
    paths = [tmp_path / f"picture{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        Image.fromarray(astronaut()[: 300 + 20 * number, 20 * number :]).save(path)

    def visit(path: Path) -> dict:
        own = Client(client.src, verbose=False)
        return own.predict(video=handle_file(path), api_name="/check_video")

    alone = [client.predict(handle_file(path), api_name="/check_video") for path in paths]
    with ThreadPoolExecutor(len(paths)) as pool:
        together = list(pool.map(visit, paths))
    assert [report["video"] for report in together] == [path.name for path in paths]
    scores = [[report["fake_probability"] for report in reports] for reports in (alone, together)]
    assert scores[1] == pytest.approx(scores[0], rel=1e-3)
    assert len(set(scores[0])) == len(paths)


def test_the_endpoint_takes_a_sensitivity(client, examples):
    about = client.predict(api_name="/describe_model")
    assert about["trained"] is False
    assert list(about["sensitivities"]) == ["", "above 0.9", "above 0.5"]
    report = client.predict(
        video=handle_file(examples["genuine_picture"]),
        sensitivity="above 0.9",
        api_name="/check_video",
    )
    assert report["thresholds"]["fake_above"] == 0.9


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"sensitivity": "often"}, "This model has no sensitivity 'often'; it has"),
        ({"model": "/etc"}, "This page checks with its own model; its operator can allow"),
    ],
)
def test_the_endpoint_refuses_what_may_not_be_chosen(client, examples, choice, sentence):
    with pytest.raises(AppError) as caught:
        client.predict(
            video=handle_file(examples["genuine_picture"]), **choice, api_name="/check_video"
        )
    assert str(caught.value).startswith(sentence)


def test_the_endpoint_makes_evidence(client, examples, tmp_path):
    path = client.predict(
        video=handle_file(examples["swapped_clip"]), frames=8, api_name="/make_evidence"
    )
    assert Path(path).name == "evidence-swapped_clip.zip"
    report = read_report(path)
    assert (report.video, report.frames_sampled) == ("swapped_clip.mp4", 8)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["report.html", "report.json"]


def test_the_endpoint_annotates_a_video_and_no_picture(client, examples):
    path = client.predict(
        video=handle_file(examples["swapped_clip"]), frames=8, api_name="/annotate_video"
    )
    assert probe_media(Path(path)).duration_s == pytest.approx(2.0, abs=0.2)
    with pytest.raises(AppError, match="A picture has no annotated video"):
        client.predict(video=handle_file(examples["genuine_picture"]), api_name="/annotate_video")


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
    data = [video, 8, "Everybody", "", ""]
    event = httpx.post(endpoint, json={"data": data}).json()["event_id"]
    answer = httpx.get(f"{endpoint}/{event}").text
    assert answer.startswith("event: error")
    assert "format" not in answer  # what the detector says of such a file


def test_only_the_endpoints_are_public_and_they_are_described(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert sorted(endpoints) == [
        "/annotate_video",
        "/check_video",
        "/describe_model",
        "/make_evidence",
    ]
    parameters = endpoints["/check_video"]["parameters"]
    assert [part["parameter_name"] for part in parameters] == [
        "video",
        "frames",
        "faces",
        "sensitivity",
        "model",
    ]
    assert [part["parameter_has_default"] for part in parameters] == [False, *[True] * 4]
    assert endpoints["/check_video"]["description"].startswith("Judge whether the faces")


def test_the_endpoints_are_tools_for_language_models(examples):
    mcp = pytest.importorskip("mcp")
    from mcp.client.streamable_http import streamable_http_client

    async def ask(url: str):
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            return tools, await session.call_tool("describe_model", {"model": ""})

    page = made_page(None, examples)
    _, url, _ = page.queue().launch(
        prevent_thread_lock=True,
        quiet=True,
        server_name="127.0.0.1",
        ssr_mode=False,
        mcp_server=True,
    )
    try:
        tools, answer = asyncio.run(ask(url))
    finally:
        page.close(verbose=False)
    named = {tool.name: tool for tool in tools}
    assert sorted(named) == ["annotate_video", "check_video", "describe_model", "make_evidence"]
    for tool in tools:
        assert all(part["description"] for part in tool.inputSchema["properties"].values())
    assert "some/model" in str(answer.content)
