"""Endpoints of the local test Hub that change something: repositories, refs, commits, uploads.

Paths and JSON are those that `huggingface_hub` 2.4 sends (hf_api.py, _commit_api.py, lfs.py).
"""

import base64
import json
import re
import time
from typing import Any

from support.fake_hub.protocol import HubState, Request, Response, json_response, route
from support.fake_hub.storage import REPO_TYPES, HubError, Repository, StoredFile, card_metadata

XET_PREFIX = "/xet-[0-9a-f]+"


@route("POST", "/api/repos/create")
def create_repo(hub: HubState, request: Request) -> Response:
    user = hub.signed_in_user(request)
    wanted = request.json()
    repo_type = wanted.get("type") or "model"
    owner, name = wanted.get("organization") or user, str(wanted.get("name"))
    if repo_type not in REPO_TYPES or not re.fullmatch(r"[\w.-]{1,96}", name):
        raise HubError(400, f"Cannot create a {repo_type} named {name!r}")
    if owner != user:
        raise HubError(403, f"You don't have the rights to create a {repo_type} under {owner}")
    private = _wants_private(wanted)
    repo = Repository(repo_type, f"{owner}/{name}", private=private, sdk=wanted.get("sdk"))
    location = {"url": f"{hub.endpoint}/{repo.url_path}", "name": repo.repo_id}
    if (repo_type, repo.repo_id) in hub.repos:
        # With `exist_ok` the client takes the URL from this refusal.
        raise HubError(409, f"You already created this {repo_type} repo", details=location)
    hub.repos[repo_type, repo.repo_id] = repo
    return json_response(location)


def _wants_private(wanted: dict[str, Any]) -> bool:
    return wanted.get("visibility") == "private" or bool(wanted.get("private"))


@route("DELETE", "/api/repos/delete")
def delete_repo(hub: HubState, request: Request) -> Response:
    wanted = request.json()
    owner = wanted.get("organization") or hub.signed_in_user(request)
    repo_type, repo_id = wanted.get("type") or "model", f"{owner}/{wanted.get('name')}"
    hub.accessible(request, repo_type, repo_id, "write")
    del hub.repos[repo_type, repo_id]
    return Response()


@route("PUT", "{api_repo}/settings", "write")
def change_settings(hub: HubState, request: Request, repo: Repository) -> Response:
    wanted = request.json()
    if "private" in wanted or "visibility" in wanted:
        repo.private = _wants_private(wanted)
    repo.gated = wanted.get("gated", repo.gated)
    return json_response({"private": repo.private, "gated": repo.gated})


@route("POST", "{api_repo}/branch/{name}", "write")
def create_branch(hub: HubState, request: Request, repo: Repository, name: str) -> Response:
    if name.startswith("refs/"):
        raise HubError(400, f"Invalid reference for a branch: {name}")
    if name in repo.branches:
        raise HubError(409, f"Reference already exists: {name}")
    repo.branches[name] = repo.resolve(request.json().get("startingPoint") or "main").sha
    return Response()


@route("DELETE", "{api_repo}/branch/{name}", "write")
def delete_branch(hub: HubState, request: Request, repo: Repository, name: str) -> Response:
    if name == "main":
        raise HubError(403, "Branch main cannot be deleted")
    if repo.branches.pop(name, None) is None:
        raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return Response()


@route("POST", "{api_repo}/tag/{revision}", "write")
def create_tag(hub: HubState, request: Request, repo: Repository, revision: str) -> Response:
    tag = str(request.json().get("tag"))
    commit = repo.resolve(revision)
    if tag in repo.tags:
        raise HubError(409, f"Tag reference exists already: {tag}")
    repo.tags[tag] = commit.sha
    return Response()


@route("DELETE", "{api_repo}/tag/{name}", "write")
def delete_tag(hub: HubState, request: Request, repo: Repository, name: str) -> Response:
    if repo.tags.pop(name, None) is None:
        raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return Response()


@route("POST", "{api_repo}/preupload/{revision}", "write")
def preupload(hub: HubState, request: Request, repo: Repository, revision: str) -> Response:
    """Say of each file whether it goes into the commit itself or into the large file storage."""
    commit = repo.resolve(revision)
    files = []
    for file in request.json()["files"]:
        path, sample = file["path"], base64.b64decode(file.get("sample", ""))
        is_lfs = repo.must_be_lfs(commit, path, file["size"], sample)
        known = commit.files.get(path)
        # From the known file's name the client sees that nothing needs to be sent.
        oid = {"oid": known.etag} if known is not None and known.is_lfs == is_lfs else {}
        mode = "lfs" if is_lfs else "regular"
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **oid})
    return json_response({"files": files})


@route("POST", "{api_repo}/commit/{revision}", "write")
def commit(hub: HubState, request: Request, repo: Repository, revision: str) -> Response:
    if "create_pr" in request.query:
        raise HubError(400, "The test Hub has no pull requests")
    files = dict(repo.resolve(revision).files)
    header: dict[str, Any] = {}
    for line in filter(None, request.body.split(b"\n")):
        operation = json.loads(line)
        if operation["key"] == "header":
            header = operation["value"]
        else:
            _apply(hub, files, operation["key"], operation["value"])
    if "README.md" in files:
        card_metadata(files["README.md"].content.decode())
    title, message = header.get("summary", ""), header.get("description", "")
    author, parent = hub.signed_in_user(request), header.get("parentCommit")
    made = repo.commit(revision, title, message, author, files, parent)
    url = f"{hub.endpoint}/{repo.url_path}/commit/{made.sha}"
    return json_response({"success": True, "commitOid": made.sha, "commitUrl": url})


def _apply(hub: HubState, files: dict[str, StoredFile], key: str, value: dict[str, Any]) -> None:
    """Apply one operation of a commit to the files."""
    path = value["path"]
    if {"", ".", "..", ".git"} & set(path.removesuffix("/").split("/")):
        raise HubError(400, f"Invalid path in a commit: {path!r}")
    if key == "file":
        content, is_base64 = value["content"], value.get("encoding") == "base64"
        files[path] = StoredFile(base64.b64decode(content) if is_base64 else content.encode())
    elif key == "lfsFile":
        if value["oid"] not in hub.lfs_objects:
            raise HubError(400, f"LFS pointer of {path} points to a file that does not exist")
        files[path] = StoredFile(hub.lfs_objects[value["oid"]], is_lfs=True)
    elif key in ("deletedFile", "deletedFolder"):
        folder = path.removesuffix("/") + "/"
        gone = [p for p in files if p == path or (key == "deletedFolder" and p.startswith(folder))]
        if not gone:
            raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
        for p in gone:
            del files[p]
    else:
        raise HubError(400, f"Unknown operation in a commit: {key}")


@route("POST", r"{repo}\.git/info/lfs/objects/batch", "write")
def lfs_batch(hub: HubState, request: Request, repo: Repository) -> Response:
    """Say where plain LFS uploads go; what is there already need not be sent."""
    wanted = request.json()
    in_parts = "multipart" in wanted.get("transfers", ())
    objects = []
    for item in wanted["objects"]:
        answer: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] not in hub.lfs_objects:
            upload = _upload_action(hub, item["oid"], item["size"], in_parts=in_parts)
            verify = {"href": f"{hub.endpoint}/{repo.url_path}.git/info/lfs/verify"}
            answer["actions"] = {"upload": upload, "verify": verify}
        objects.append(answer)
    return json_response({"transfer": "basic", "objects": objects})


def _upload_action(hub: HubState, oid: str, size: int, *, in_parts: bool) -> dict[str, Any]:
    href = f"{hub.storage_endpoint}/lfs/{oid}?signature={hub.secret}"
    chunk_bytes = hub.multipart_chunk_bytes
    if not in_parts or size <= chunk_bytes:
        return {"href": href}
    count = -(-size // chunk_bytes)
    parts = {str(number): f"{href}&part={number}" for number in range(1, count + 1)}
    complete = f"{hub.endpoint}/api/complete-multipart?signature={hub.secret}"
    return {"href": complete, "header": {"chunk_size": str(chunk_bytes), **parts}}


@route("PUT", "/lfs/{hash}")
def lfs_upload(hub: HubState, request: Request, hash: str) -> Response:
    hub.check_signature(request)
    if "part" not in request.query:
        return _keep(hub, hash, request.body)
    number = int(request.query["part"][0])
    hub.lfs_parts[hash, number] = request.body
    return Response(headers={"ETag": f'"{hash}-{number}"'})


@route("POST", "/api/complete-multipart")
def lfs_complete(hub: HubState, request: Request) -> Response:
    hub.check_signature(request)
    wanted = request.json()
    oid, numbers = wanted["oid"], sorted(part["partNumber"] for part in wanted["parts"])
    return _keep(hub, oid, b"".join(hub.lfs_parts.pop((oid, n), b"") for n in numbers))


def _keep(hub: HubState, oid: str, content: bytes) -> Response:
    if StoredFile(content).sha256 != oid:
        raise HubError(400, f"The content sent for {oid} has another SHA-256.")
    hub.lfs_objects[oid] = content
    return Response()


@route("POST", r"{repo}\.git/info/lfs/verify", "write")
def lfs_verify(hub: HubState, request: Request, repo: Repository) -> Response:
    wanted = request.json()
    if len(hub.lfs_objects.get(wanted["oid"], b"")) != wanted["size"]:
        raise HubError(400, f"Large file {wanted['oid']} is not there in full.")
    return Response()


@route("GET", "{api_repo}/xet-write-token/{revision}", "write")
def xet_token(hub: HubState, request: Request, repo: Repository, revision: str) -> Response:
    # The client keys what it caches about a storage by its address. With the secret in it, a later
    # Hub on the same port is another storage to it.
    address = f"{hub.storage_endpoint}/xet-{hub.secret}"
    expires = int(time.time()) + 3600
    headers = {
        "X-Xet-Cas-Url": address,
        "X-Xet-Access-Token": hub.secret,
        "X-Xet-Token-Expiration": str(expires),
    }
    token = {"casUrl": address, "accessToken": hub.secret, "exp": expires}
    return json_response(token, headers=headers)


@route("POST", XET_PREFIX + "/v1/xorbs/default/{hash}")
def xet_xorb(hub: HubState, request: Request, hash: str) -> Response:
    _check_xet_token(hub, request)
    return json_response({"was_inserted": hub.xet.add_xorb(hash, request.body)})


@route("POST", XET_PREFIX + "/v1/shards")
def xet_shard(hub: HubState, request: Request) -> Response:
    _check_xet_token(hub, request)
    hub.xet.add_shard(request.body)
    return json_response({"result": 1})


def _check_xet_token(hub: HubState, request: Request) -> None:
    if request.token != hub.secret:
        raise HubError(401, "The Xet access token is missing or wrong.")
