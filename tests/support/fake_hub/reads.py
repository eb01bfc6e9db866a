"""Endpoints of the local test Hub that only look: users, infos, listings, downloads.

Paths and JSON are those that `huggingface_hub` 2.4 expects (hf_api.py, file_download.py).
"""

import re
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from support.fake_hub.protocol import HubState, Request, Response, json_response, route
from support.fake_hub.storage import Commit, HubError, Repository, StoredFile, card_metadata


@route("GET", "/api/whoami-v2")
def whoami(hub: HubState, request: Request) -> Response:
    name = hub.signed_in_user(request)
    token = {"type": "access_token", "accessToken": {"displayName": "test", "role": "write"}}
    return json_response({"type": "user", "name": name, "orgs": [], "auth": token})


@route("GET", "{api_repo}")
@route("GET", "{api_repo}/revision/{revision}")
def repo_info(
    hub: HubState, request: Request, repo: Repository, revision: str = "main"
) -> Response:
    commit = repo.resolve(revision)
    siblings = []
    for path, file in sorted(commit.files.items()):
        sibling: dict[str, Any] = {"rfilename": path}
        if "blobs" in request.query:
            sibling |= {"size": len(file.content), "blobId": file.blob_id}
            sibling |= {"lfs": file.lfs_info("sha256")} if file.is_lfs else {}
        siblings.append(sibling)
    readme = commit.files.get("README.md", StoredFile(b"")).content.decode()
    card = card_metadata(readme) or {}
    known = {key: card[key] for key in ("library_name", "pipeline_tag") if key in card}
    info = {
        "id": repo.repo_id,
        "author": repo.owner,
        "sha": commit.sha,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "createdAt": repo.created_at,
        "lastModified": commit.date,
        "cardData": card,
        "tags": [*(card.get("tags") or []), *known.values()],
        "downloads": 0,
        "likes": 0,
        "siblings": siblings,
        **known,
    }
    return json_response(info | ({"sdk": repo.sdk} if repo.sdk else {}))


@route("GET", "{api_repo}/auth-check", "files")
@route("GET", "{api_repo}/auth-check/write", "write")
def auth_check(hub: HubState, request: Request, repo: Repository) -> Response:
    return json_response({"id": repo.repo_id})


@route("POST", "/api/validate-yaml")
def validate_card(hub: HubState, request: Request) -> Response:
    warnings = []
    if card_metadata(request.json().get("content", "")) is None:
        warnings.append({"message": "empty or missing yaml metadata in repo card"})
    return json_response({"errors": [], "warnings": warnings})


@route("GET", "{api_repo}/refs")
def refs(hub: HubState, request: Request, repo: Repository) -> Response:
    def listed(shas: dict[str, str], folder: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": sha}
            for name, sha in shas.items()
        ]

    branches, tags = listed(repo.branches, "heads"), listed(repo.tags, "tags")
    return json_response({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


@route("GET", "{api_repo}/commits/{revision}")
def commits(hub: HubState, request: Request, repo: Repository, revision: str) -> Response:
    history = [
        {
            "id": commit.sha,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in repo.history(repo.resolve(revision))
    ]
    return _page(hub, request, history)


@route("GET", "{api_repo}/tree/{revision}")
@route("GET", "{api_repo}/tree/{revision}/{path}")
def tree(
    hub: HubState, request: Request, repo: Repository, revision: str, path: str = ""
) -> Response:
    def flag(name: str) -> bool:
        return request.query.get(name, ["false"])[0].lower() in ("1", "true")

    commit = repo.resolve(revision)
    entries = commit.tree(path.strip("/"), recursive=flag("recursive"))
    listing = [_entry(repo, commit, p, file, expand=flag("expand")) for p, file in entries]
    return _page(hub, request, listing)


@route("POST", "{api_repo}/paths-info/{revision}")
def paths_info(hub: HubState, request: Request, repo: Repository, revision: str) -> Response:
    commit = repo.resolve(revision)
    wanted = parse_qs(request.body.decode())
    everything = dict(commit.tree("", recursive=True))
    expand = wanted.get("expand", ["false"])[0].lower() == "true"
    paths = [path.strip("/") for path in wanted.get("paths", [])]
    known = [path for path in paths if path in everything]
    return json_response(
        [_entry(repo, commit, path, everything[path], expand=expand) for path in known]
    )


def _entry(
    repo: Repository, commit: Commit, path: str, file: StoredFile | None, *, expand: bool
) -> dict[str, Any]:
    info = commit.entry_info(path, file)
    if expand:
        last = repo.last_commit(commit, path)
        info["lastCommit"] = {"id": last.sha, "title": last.title, "date": last.date}
    return info


def _page(hub: HubState, request: Request, entries: list[dict[str, Any]]) -> Response:
    """One page of a listing; the client finds the next one in the `Link` header."""
    start = int(request.query.get("cursor", ["0"])[0])
    end = start + hub.page_size
    if end >= len(entries):
        return json_response(entries[start:])
    query = urlencode({**request.query, "cursor": end}, doseq=True)
    link = f'<{hub.endpoint}{request.path}?{query}>; rel="next"'
    return json_response(entries[start:end], headers={"Link": link})


@route("GET", "{repo}/raw/{revision}/{path}", "files")
def raw(hub: HubState, request: Request, repo: Repository, revision: str, path: str) -> Response:
    commit, file = repo.find(revision, path)
    headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{file.blob_id}"'}
    return Response(file.pointer if file.is_lfs else file.content, headers=headers)


@route("GET", "{repo}/resolve/{revision}/{path}", "files")
def resolve(
    hub: HubState, request: Request, repo: Repository, revision: str, path: str
) -> Response:
    commit, file = repo.find(revision, path)
    headers = {
        "X-Repo-Commit": commit.sha,
        "ETag": f'"{file.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(path.rsplit('/', 1)[-1])}",
    }
    if not file.is_lfs:
        return _ranged(request, file.content, headers)
    headers["Location"] = f"{hub.storage_endpoint}/lfs/{file.sha256}?signature={hub.secret}"
    headers["X-Linked-ETag"] = f'"{file.sha256}"'
    headers["X-Linked-Size"] = str(len(file.content))
    return Response(b"", 302, headers)


@route("GET", "/lfs/{hash}")
def lfs_download(hub: HubState, request: Request, hash: str) -> Response:
    hub.check_signature(request)
    if hash not in hub.lfs_objects:
        raise HubError(404, f"No large file {hash} was uploaded.")
    headers = {"ETag": f'"{hash}"', "Accept-Ranges": "bytes"}
    return _ranged(request, hub.lfs_objects[hash], headers)


def _ranged(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    """The content, or the one part of it that the `Range` header asks for."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range") or "")
    if match is None or match[0] == "bytes=-":
        return Response(content, headers=headers)
    size = len(content)
    if match[1]:
        start, end = int(match[1]), min(int(match[2] or size) + 1, size)
    else:
        start, end = max(size - int(match[2]), 0), size
    if start >= end:
        raise HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    part = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return Response(content[start:end], 206, part)
