"""The local test Hub against the real `huggingface_hub` client, which is given its endpoint."""

import io
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx2
import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from support.fake_hub.server import LocalHub, local_hub

ALICE, BOB = "tok-alice", "tok-bob"
REPO = "alice/model"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with local_hub(users={ALICE: "alice", BOB: "bob"}) as hub:
        yield hub


@pytest.fixture
def api(hub: LocalHub) -> HfApi:
    """Alice's client, with an empty model repository."""
    api = HfApi(endpoint=hub.endpoint, token=ALICE)
    api.create_repo(REPO)
    return api


def as_user(hub: LocalHub, token: str | bool) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=token)


def upload(api: HfApi, path: str, content: str, **options: str) -> str:
    """Upload a small text file to alice's model; returns the commit's sha."""
    return api.upload_file(
        path_or_fileobj=content.encode(), path_in_repo=path, repo_id=REPO, **options
    ).oid


def download(api: HfApi, path: str, cache: Path, **options: str | float) -> str:
    return Path(api.hf_hub_download(REPO, path, cache_dir=cache, **options)).read_text()


# -- repositories and who may use them ---------------------------------------------------------


def test_repositories_are_created_once_and_deleted(hub: LocalHub) -> None:
    api = as_user(hub, ALICE)
    assert api.whoami()["name"] == "alice"
    for repo_type in ("model", "dataset", "space"):
        options = {"repo_type": repo_type, "space_sdk": "gradio" if repo_type == "space" else None}
        url = api.create_repo("alice/thing", private=True, **options)
        assert (url.repo_id, url.repo_type) == ("alice/thing", repo_type)
        assert api.repo_info("alice/thing", repo_type=repo_type).private
        assert api.create_repo("alice/thing", exist_ok=True, **options) == url
        with pytest.raises(HfHubHTTPError, match="already created"):
            api.create_repo("alice/thing", **options)
    assert "sdk: gradio" in hub.repo("alice/thing", "space").files()["README.md"].decode()
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("bob/thing")
    api.delete_repo("alice/thing")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("alice/thing")
    api.delete_repo("alice/thing", missing_ok=True)
    assert set(hub.repos) == {("dataset", "alice/thing"), ("space", "alice/thing")}


def test_private_repository_is_only_there_for_its_owner(
    hub: LocalHub, api: HfApi, tmp_path: Path
) -> None:
    upload(api, "notes.txt", "secret")
    api.update_repo_settings(REPO, private=True)
    for stranger, status in ((as_user(hub, False), 401), (as_user(hub, BOB), 404)):
        with pytest.raises(RepositoryNotFoundError) as refusal:
            stranger.model_info(REPO)
        assert refusal.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            download(stranger, "notes.txt", tmp_path)
    with pytest.raises(HfHubHTTPError, match="401"):
        as_user(hub, "tok-of-nobody").model_info(REPO)
    assert download(api, "notes.txt", tmp_path) == "secret"
    assert {r.authorized for r in hub.requests_to("^GET .*/resolve/")} == {True}


def test_public_repository_is_written_by_its_owner_only(
    hub: LocalHub, api: HfApi, tmp_path: Path
) -> None:
    upload(api, "notes.txt", "public")
    assert download(as_user(hub, False), "notes.txt", tmp_path) == "public"
    with pytest.raises(HfHubHTTPError, match="403"):
        upload(as_user(hub, BOB), "notes.txt", "bob was here")
    with pytest.raises(HfHubHTTPError, match="401"):
        upload(as_user(hub, False), "notes.txt", "somebody was here")
    assert hub.repo(REPO).files()["notes.txt"] == b"public"
    api.auth_check(REPO, write=True)
    with pytest.raises(HfHubHTTPError, match="403"):
        as_user(hub, BOB).auth_check(REPO, write=True)


def test_gated_repository_keeps_its_files_back(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    upload(api, "notes.txt", "on request")
    api.update_repo_settings(REPO, gated="manual")
    bob = as_user(hub, BOB)
    assert bob.model_info(REPO).gated == "manual"
    with pytest.raises(GatedRepoError):
        download(bob, "notes.txt", tmp_path)
    assert download(api, "notes.txt", tmp_path) == "on request"


# -- commits, revisions, listings --------------------------------------------------------------


def test_every_commit_stays_reachable(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    first = upload(api, "config.json", "1")
    api.create_tag(REPO, tag="v1")
    api.create_branch(REPO, branch="side/track")
    second = upload(api, "config.json", "2")
    third = upload(api, "config.json", "3", revision="side/track")
    for revision, content in (
        *((first, "1"), (second, "2"), (third, "3"), (first[:8], "1")),
        *(("v1", "1"), ("main", "2"), ("side/track", "3")),
    ):
        assert download(api, "config.json", tmp_path, revision=revision) == content
    assert [c.commit_id for c in api.list_repo_commits(REPO)][:2] == [second, first]
    refs = api.list_repo_refs(REPO)
    assert {b.name: b.target_commit for b in refs.branches} == {"main": second, "side/track": third}
    assert {t.name: t.target_commit for t in refs.tags} == {"v1": first}

    api.delete_file("config.json", REPO)
    with pytest.raises(EntryNotFoundError):
        download(api, "config.json", tmp_path)
    assert download(api, "config.json", tmp_path / "fresh", revision=second) == "2"
    api.delete_tag(REPO, tag="v1")
    api.delete_branch(REPO, branch="side/track")
    for revision in ("v1", "side/track", "0" * 40):
        with pytest.raises(RevisionNotFoundError):
            download(api, "config.json", tmp_path / "fresh", revision=revision)


def test_commit_needs_its_parent_and_a_change(hub: LocalHub, api: HfApi) -> None:
    first = upload(api, "a.txt", "1")
    second = upload(api, "a.txt", "2", parent_commit=first)
    with pytest.raises(HfHubHTTPError, match="412"):
        upload(api, "a.txt", "3", parent_commit=first)
    assert upload(api, "a.txt", "2") == second
    assert hub.repo(REPO).head.sha == second
    with pytest.raises(RevisionNotFoundError):
        upload(api, "a.txt", "3", revision="no-such-branch")


def test_downloads_come_from_the_cache_the_second_time(
    hub: LocalHub, api: HfApi, tmp_path: Path
) -> None:
    upload(api, "sub/a.txt", "1")
    for _ in range(2):
        folder = Path(api.snapshot_download(REPO, cache_dir=tmp_path))
    assert (folder / "sub" / "a.txt").read_text() == "1"
    assert download(api, "sub/a.txt", tmp_path) == "1"
    assert len(hub.requests_to("^GET .*/resolve/.*a.txt$")) == 1


def test_listings_in_pages(hub: LocalHub, api: HfApi) -> None:
    upload(api, "b/c/d.txt", "12345")
    commit = upload(api, "b/e.txt", "1")
    hub.state.page_size = 2
    everything = ["b", "b/c", "b/c/d.txt", "b/e.txt"]
    listed = [e.path for e in api.list_repo_tree(REPO, recursive=True)]
    assert listed == [".gitattributes", *everything]
    assert [e.path for e in api.list_repo_tree(REPO, "b")] == ["b/c", "b/e.txt"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(REPO, "nowhere"))
    assert len(list(api.list_repo_commits(REPO))) == 3

    folder, file = api.get_paths_info(REPO, ["b", "b/c/d.txt", "nowhere"], expand=True)
    assert folder.last_commit.oid == commit
    assert file.size == 5
    assert file.last_commit.title == "Upload b/c/d.txt with huggingface_hub"

    files = HfFileSystem(endpoint=hub.endpoint, token=ALICE, skip_instance_cache=True)
    assert files.glob(f"{REPO}/**/*.txt") == [f"{REPO}/b/c/d.txt", f"{REPO}/b/e.txt"]
    with files.open(f"{REPO}/b/c/d.txt") as stream:
        stream.seek(3)
        assert stream.read() == b"45"
    api.delete_folder("b/c", REPO)
    assert set(hub.repo(REPO).files()) == {".gitattributes", "b/e.txt"}


def test_card_metadata_are_checked_and_reported(hub: LocalHub, api: HfApi) -> None:
    upload(api, "README.md", "---\nlibrary_name: transformers\ntags: [video]\n---\n# A model\n")
    info = api.model_info(REPO)
    assert info.library_name == "transformers"
    assert info.tags == ["video", "transformers"]
    assert info.card_data.tags == ["video"]
    for metadata, problem in (
        ("tags: [1]", '"tags" must be'),
        ("license: [", "flow node"),
        ("model-index: [{name: a, results: [{task: {type: b}}]}]", "dataset.type"),
    ):
        with pytest.raises(ValueError, match=problem):
            upload(api, "README.md", f"---\n{metadata}\n---\n")
    # Not only when the client asks beforehand, which not every way of uploading does.
    hub.fail_next("/validate-yaml", status=200)
    with pytest.raises(BadRequestError, match="Invalid metadata"):
        upload(api, "README.md", "---\ntags: [1]\n---\n")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        upload(api, "README.md", "# A model without metadata")


# -- large files -------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_bytes", [10**6, 1000], ids=["one piece", "multipart"])
def test_large_file_over_plain_lfs(
    hub: LocalHub, api: HfApi, tmp_path: Path, chunk_bytes: int
) -> None:
    hub.state.multipart_chunk_bytes = chunk_bytes
    content = np.random.default_rng(0).bytes(2500)
    # The client uploads open files by plain LFS.
    stream = io.BytesIO(content)
    api.upload_file(path_or_fileobj=stream, path_in_repo="a.safetensors", repo_id=REPO)
    assert len(hub.requests_to("^PUT /lfs/")) == (1 if chunk_bytes > 2500 else 3)
    (file,) = api.get_paths_info(REPO, "a.safetensors")
    assert (file.size, file.lfs.size) == (2500, 2500)
    sibling = api.model_info(REPO, files_metadata=True).siblings[1]
    assert (sibling.rfilename, sibling.size, sibling.lfs) == ("a.safetensors", 2500, file.lfs)
    with urllib.request.urlopen(f"{hub.endpoint}/{REPO}/raw/main/a.safetensors") as response:
        assert f"oid sha256:{file.lfs.sha256}\nsize 2500\n" in response.read().decode()
    cached = api.hf_hub_download(REPO, "a.safetensors", cache_dir=tmp_path)
    assert Path(cached).resolve().name == file.lfs.sha256
    assert Path(cached).read_bytes() == content
    # The token stays with the Hub; the storage lets in by its signature only.
    (fetched,) = hub.requests_to("^GET /lfs/")
    assert not fetched.authorized
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{hub.storage_endpoint}{fetched.path}")


def test_ranges(hub: LocalHub, api: HfApi) -> None:
    upload(api, "digits.txt", "0123456789")
    url = f"{hub.endpoint}/{REPO}/resolve/main/digits.txt"

    def fetch(byte_range: str) -> bytes:
        request = urllib.request.Request(url, headers={"Range": f"bytes={byte_range}"})
        with urllib.request.urlopen(request) as response:
            assert response.status == 206
            return response.read()

    assert [fetch("2-4"), fetch("7-"), fetch("-2"), fetch("8-99")] == [b"234", b"789", b"89", b"89"]
    with pytest.raises(urllib.error.HTTPError, match="416"):
        fetch("10-")


def test_upload_mode_follows_name_size_and_content(hub: LocalHub, api: HfApi) -> None:
    repo = hub.repo(REPO)
    modes = {
        (path, size, sample): repo.must_be_lfs(repo.head, path, size, sample)
        for path, size, sample in (
            ("model.safetensors", 10, b"text"),
            ("sub/weights.bin", 10, b"text"),
            ("saved_model/a/b", 10, b"text"),
            ("long.txt", 11 * 2**20, b"text"),
            ("icon", 10, b"\x89PNG\0"),
            ("config.json", 10, b"{}"),
            ("modeling.py", 10**6, b"import torch"),
        )
    }
    assert list(modes.values()) == [True] * 5 + [False] * 2


# -- faults ------------------------------------------------------------------------------------


def test_error_answers(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    upload(api, "a.txt", "1")
    # Listings are tried again, after a second.
    fault = hub.fail_next("/tree/", status=503)
    assert [e.path for e in api.list_repo_tree(REPO)] == [".gitattributes", "a.txt"]
    assert fault.remaining == 0
    assert [r.status for r in hub.requests_to("/tree/")] == [503, 200]
    limited = hub.fail_next("^GET .*/resolve/", status=429, retry_after=0)
    assert download(api, "a.txt", tmp_path / "limited") == "1"
    assert limited.remaining == 0
    # When the look at a file's head is refused, the client takes what it has.
    upload(api, "a.txt", "2")
    hub.fail_next("^HEAD .*/a.txt$", status=403, times=2)
    assert download(api, "a.txt", tmp_path / "limited") == "1"
    with pytest.raises(LocalEntryNotFoundError):
        download(api, "a.txt", tmp_path / "empty")
    assert download(api, "a.txt", tmp_path / "limited") == "2"
    hub.fail_next("/commit/", status=500)
    with pytest.raises(HfHubHTTPError, match="500"):
        upload(api, "a.txt", "3")
    assert hub.repo(REPO).files()["a.txt"] == b"2"


def test_broken_bodies(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    upload(api, "a.txt", "0123456789")
    # The client notices that the connection broke and fetches the file again, after a second.
    hub.fail_next("^GET .*/a.txt$", cut_body_at=4)
    assert download(api, "a.txt", tmp_path / "cut") == "0123456789"
    assert len(hub.requests_to("^GET .*/a.txt$")) == 2
    hub.fail_next("^GET .*/a.txt$", truncate_to=4)
    with pytest.raises(OSError, match="Consistency check failed"):
        download(api, "a.txt", tmp_path / "truncated")
    assert not [p for p in (tmp_path / "truncated").rglob("a.txt") if p.exists()]


def test_slow_and_silent_hub(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    upload(api, "a.txt", "1")
    assert download(api, "a.txt", tmp_path) == "1"
    upload(api, "a.txt", "2")
    # The client does not wait for the Hub longer than it was told to, and takes what it has.
    hub.fail_next("^HEAD ", delay_s=0.5)
    assert download(api, "a.txt", tmp_path, etag_timeout=0.1) == "1"
    assert download(api, "a.txt", tmp_path, etag_timeout=5) == "2"
    hub.fail_next("/revision/", disconnect=True)
    with pytest.raises(httpx2.RemoteProtocolError):
        api.model_info(REPO, revision="main")
    assert [r.status for r in hub.requests_to("/revision/")] == [None]
    with pytest.raises(ValueError, match="needs a status"):
        hub.fail_next("/revision/")


def test_hub_that_is_gone(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    upload(api, "a.txt", "1")
    assert download(api, "a.txt", tmp_path) == "1"
    hub.stop()
    assert download(api, "a.txt", tmp_path) == "1"
    with pytest.raises(httpx2.ConnectError):
        api.model_info(REPO)


def test_unknown_requests_are_answered_and_logged(hub: LocalHub) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{hub.endpoint}/api/no-such-thing?x=1")
    assert refusal.value.code == 404
    assert re.search("does not know GET /api/no-such-thing", refusal.value.read().decode())
    (logged,) = hub.requests
    assert (logged.path, logged.status, logged.authorized) == ("/api/no-such-thing", 404, False)
