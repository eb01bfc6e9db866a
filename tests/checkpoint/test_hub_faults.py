"""A Hub that is slow, gone, or answers with errors: a sentence, tries, and a usable cache."""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.utils import logging

from caddm_hf.checkpoint import files as model_files
from caddm_hf.checkpoint.loading import load_model
from caddm_hf.core.errors import ModelError
from support.fake_hub.server import LocalHub
from support.made_scores import write_tiny_model

REPO = "alice/caddm"
ALICE = "tok-alice"
PATIENCE_S = 2
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = write_tiny_model(tmp_path_factory.mktemp("model") / "model")
    for path in folder.iterdir():
        if path.name not in FILES:
            path.unlink()
    return folder


@pytest.fixture
def hub_model(hub: LocalHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    api = HfApi(endpoint=hub.endpoint, token=ALICE)
    api.create_repo(REPO, private=True)
    for name in FILES:  # open files go by plain LFS
        with (folder / name).open("rb") as file:
            api.upload_file(path_or_fileobj=file, path_in_repo=name, repo_id=REPO)
    return hub


def load(
    hub: LocalHub,
    home: Path,
    token: str | None = ALICE,
    revisions: Sequence[str | None] = (None,),
) -> list[str]:
    """What comes of loading revisions of the model, one after the other, into a cache of its own.

    Like the client with `HF_ENDPOINT` set, but for patience: it would wait 10 s for an answer.
    """
    logging.set_verbosity(logging.CRITICAL)
    fetch = partial(hf_hub_download, endpoint=hub.endpoint, cache_dir=home, etag_timeout=PATIENCE_S)
    answers = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_files, "hf_hub_download", fetch)
        patch.setattr("huggingface_hub.file_download._ETAG_RETRY_TIMEOUT", PATIENCE_S)
        patch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", PATIENCE_S)
        for revision in revisions:
            try:
                # False is nobody: None would be whoever is logged in on this machine.
                found = load_model(REPO, revision=revision, token=token or False)
                answers.append(f"revision {found.revision}")
            except ModelError as error:
                answers.append(str(error))
    return answers


def cached_weights(home: Path) -> list[Path]:
    return [p for p in home.rglob("model.safetensors") if p.exists()]


def test_faults_that_pass_are_waited_for(hub_model: LocalHub, tmp_path: Path):
    head = hub_model.repo(REPO).head.sha
    faults = [
        hub_model.fail_next("^HEAD .*config.json$", status=503),
        hub_model.fail_next("^HEAD .*config.json$", status=500),
        hub_model.fail_next("^HEAD .*model.safetensors$", status=429, retry_after=0),
        hub_model.fail_next("^GET .*preprocessor_config.json$", status=429, retry_after=0),
        hub_model.fail_next("^GET /lfs/", cut_body_at=5000),
        hub_model.fail_next("^GET .*/config.json$", delay_s=0.5),
    ]
    assert load(hub_model, tmp_path) == [f"revision {head}"]
    assert [fault.remaining for fault in faults] == [0] * len(faults)


def test_a_file_that_is_cut_off_is_not_taken_and_fetched_again(
    hub_model: LocalHub, folder: Path, tmp_path: Path
):
    hub_model.fail_next("^GET /lfs/", truncate_to=5000)
    first, second = load(hub_model, tmp_path, ALICE, [None, None])
    assert first.startswith("Model 'alice/caddm' could not be fetched from the Hub: ")
    assert second == f"revision {hub_model.repo(REPO).head.sha}"
    (weights,) = cached_weights(tmp_path)
    assert weights.read_bytes() == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "was not found on the Hub, or is private"),
        (403, "was not found on the Hub, or is private"),
        (404, "was not found on the Hub, or is private"),
        (418, "The Hub answered 418 when asked for model"),
    ],
)
def test_a_refusal_is_one_sentence_and_not_asked_again(
    hub_model: LocalHub, tmp_path: Path, status: int, sentence: str
):
    hub_model.fail_next("/resolve/", status=status, times=1)
    (answer,) = load(hub_model, tmp_path)
    assert sentence in answer
    assert "\n" not in answer
    assert len(hub_model.requests_to("/resolve/")) <= 2
    assert load(hub_model, tmp_path)[0].startswith("revision ")


def test_who_may_not_see_it_is_told_so(hub_model: LocalHub, tmp_path: Path):
    for token in (None, "tok-bob", "tok-nobody"):
        (answer,) = load(hub_model, tmp_path / str(token), token)
        assert "was not found on the Hub, or is private" in answer
        assert "tok-" not in answer
    head = hub_model.repo(REPO).head.sha
    missing, whole = load(hub_model, tmp_path / "home", ALICE, ["v9", head])
    assert missing == "Model 'alice/caddm' has no revision 'v9'."
    assert whole == f"revision {head}"


def test_a_cache_serves_when_the_hub_is_gone(hub_model: LocalHub, tmp_path: Path):
    head = hub_model.repo(REPO).head.sha
    assert load(hub_model, tmp_path) == [f"revision {head}"]
    shutil.copytree(tmp_path, tmp_path.with_name("emptied"), symlinks=True)
    hub_model.fail_next(".", status=500, times=1000)
    assert load(hub_model, tmp_path) == [f"revision {head}"]
    hub_model.stop()
    assert load(hub_model, tmp_path, ALICE, [None, head]) == [f"revision {head}"] * 2
    with pytest.MonkeyPatch.context() as patch:  # not even asked for
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert load(hub_model, tmp_path, ALICE, [None, head]) == [f"revision {head}"] * 2
    (answer,) = load(hub_model, tmp_path.with_name("new"))
    assert "is not in the cache and the Hub cannot be reached" in answer


def test_a_silent_hub_is_not_waited_for_long(hub_model: LocalHub, tmp_path: Path):
    head = hub_model.repo(REPO).head.sha
    assert load(hub_model, tmp_path) == [f"revision {head}"]
    hub_model.fail_next("^HEAD ", delay_s=30, times=1000)
    assert load(hub_model, tmp_path) == [f"revision {head}"]


def test_a_repository_that_is_something_else(hub_model: LocalHub, tmp_path: Path):
    api = HfApi(endpoint=hub_model.endpoint, token=ALICE)
    api.delete_file("preprocessor_config.json", REPO)
    assert load(hub_model, tmp_path) == [
        "Model 'alice/caddm' is not a CADDM model: it has no file preprocessor_config.json."
    ]
    config = json.dumps({"model_type": "bert", "padding": "x" * 2**20}).encode()
    api.upload_file(path_or_fileobj=config, path_in_repo="config.json", repo_id=REPO)
    assert "'config.json' of model 'alice/caddm' is too large" in load(hub_model, tmp_path)[0]


@pytest.mark.parametrize(("limit", "file"), [("JSON", "config.json"), ("WEIGHTS", FILES[2])])
def test_a_model_with_a_file_beyond_the_limit_is_not_fetched_at_all(
    hub_model: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, file: str
):
    monkeypatch.setattr(model_files, f"MAX_{limit}_BYTES", 100)
    (answer,) = load(hub_model, tmp_path)
    assert answer == f"'{file}' of model 'alice/caddm' is too large to be fetched."
    assert "\n" not in answer
    assert hub_model.requests_to("^HEAD .*/config.json$")
    assert not hub_model.requests_to("^GET ")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_no_file_is_fetched_but_the_three(hub_model: LocalHub, folder: Path, tmp_path: Path):
    api = HfApi(endpoint=hub_model.endpoint, token=ALICE)
    for name in ("pytorch_model.bin", "onnx/model.safetensors", "evil.py", "README.md"):
        api.upload_file(path_or_fileobj=b"x" * 1000, path_in_repo=name, repo_id=REPO)
    begun = len(hub_model.requests)
    assert load(hub_model, tmp_path) == [f"revision {hub_model.repo(REPO).head.sha}"]
    asked = {request.path for request in hub_model.requests[begun:] if "/resolve/" in request.path}
    assert {path.partition("/resolve/")[2].partition("/")[2] for path in asked} == set(FILES)
    assert sorted(path.name for path in tmp_path.rglob("snapshots/*/*")) == sorted(FILES)


def test_a_model_that_changes_while_it_is_fetched_is_not_mixed(
    hub_model: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Files whose sizes nobody asked for must not come in their place."""
    api = HfApi(endpoint=hub_model.endpoint, token=ALICE)
    pushed = []

    def fetch(name: str, file: str, dry_run: bool = False, **options):
        if file == "config.json" and not dry_run and not pushed:
            pushed.append(api.upload_file(path_or_fileobj=b"x", path_in_repo="new", repo_id=REPO))
        return hf_hub_download(
            name, file, dry_run=dry_run, endpoint=hub_model.endpoint, cache_dir=tmp_path, **options
        )

    monkeypatch.setattr(model_files, "hf_hub_download", fetch)
    with pytest.raises(ModelError, match="'alice/caddm' was changed while it was fetched"):
        load_model(REPO, token=ALICE)
    assert cached_weights(tmp_path) == []
    assert load_model(REPO, token=ALICE).revision == hub_model.repo(REPO).head.sha
