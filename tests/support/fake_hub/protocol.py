"""Requests, answers and access rights of the local test Hub; its endpoints register here."""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from support.fake_hub.storage import HubError, Repository
from support.fake_hub.xet import XetStore


@dataclass(frozen=True)
class Request:
    """A request: `path` is still percent-encoded, `headers` is case-insensitive."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def token(self) -> str | None:
        """The bearer token, if one was sent."""
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            HubError: 400 if it is none.
        """
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise HubError(400, f"The body is not JSON: {error}") from error


@dataclass
class Response:
    """An answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def json_response(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer in JSON."""
    all_headers = {"Content-Type": "application/json", **(headers or {})}
    return Response(json.dumps(content).encode(), status, all_headers)


Endpoint = Callable[..., Response]
_PLACEHOLDERS = {
    "{api_repo}": r"/api/(?P<repo_type>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)",
    "{repo}": r"/(?:(?P<repo_type>dataset|space)s/)?(?P<repo_id>[^/]+/[^/]+?)",
    "{revision}": "(?P<revision>[^/]+)",
    "{name}": "(?P<name>[^/]+)",
    "{path}": "(?P<path>.+)",
    "{hash}": "(?P<hash>[0-9a-f]{64})",
}
_ROUTES: list[tuple[str, re.Pattern[str], str, Endpoint]] = []


def route(method: str, pattern: str, access: str = "read") -> Callable[[Endpoint], Endpoint]:
    """Register a function as the endpoint of a method and a path.

    It is called with the `HubState`, the `Request` and, by name, what the placeholders of the path
    stand for; a repository is looked up first and comes as `repo`.

    Args:
        method: "GET" (which includes HEAD), "POST", ...
        pattern: Path, with the placeholders above; otherwise a regular expression.
        access: For which the user must have the right: "read" the repository's description,
            its "files" (which a gated repository keeps back), or "write".
    """
    for placeholder, regex in _PLACEHOLDERS.items():
        pattern = pattern.replace(placeholder, regex)

    def register(endpoint: Endpoint) -> Endpoint:
        _ROUTES.append((method, re.compile(pattern), access, endpoint))
        return endpoint

    return register


class HubState:
    """Everything that the Hub remembers.

    Attributes:
        users: Token -> user name. Each user owns the namespace of that name.
        repos: (repo type, "owner/name") -> repository.
        lfs_objects: SHA-256 -> content of every large file that was uploaded.
        lfs_parts: (SHA-256, part number) -> content, of multipart uploads under way.
        xet: What was uploaded over Xet; its files are in `lfs_objects`.
        endpoint: Where clients reach the Hub.
        storage_endpoint: Where the large files lie: another origin, so that the client does not
            send its token there, as with the Hub's own storage.
        secret: Stands in for signatures: who knows it was sent on by the Hub.
        page_size: Entries in one page of a tree or of a history.
        multipart_chunk_bytes: Plain LFS uploads larger than this are asked for in parts.
    """

    def __init__(self, users: Mapping[str, str], endpoint: str, storage_endpoint: str) -> None:
        self.users = dict(users)
        self.repos: dict[tuple[str, str], Repository] = {}
        self.lfs_objects: dict[str, bytes] = {}
        self.lfs_parts: dict[tuple[str, int], bytes] = {}
        self.xet = XetStore(self.lfs_objects)
        self.endpoint = endpoint
        self.storage_endpoint = storage_endpoint
        self.secret = secrets.token_hex(16)
        self.page_size = 1000
        self.multipart_chunk_bytes = 16 * 1024 * 1024

    def answer(self, request: Request) -> Response:
        """The answer to a request; HEAD is answered like GET.

        Raises:
            HubError: If the request is refused.
        """
        method = "GET" if request.method == "HEAD" else request.method
        for route_method, pattern, access, endpoint in _ROUTES:
            match = pattern.fullmatch(request.path) if route_method == method else None
            if match is None:
                continue
            found = {name: unquote(value) for name, value in match.groupdict().items() if value}
            if "repo_id" not in found:
                return endpoint(self, request, **found)
            repo_type, repo_id = found.pop("repo_type", "model"), found.pop("repo_id")
            repo = self.accessible(request, repo_type, repo_id, access)
            return endpoint(self, request, repo=repo, **found)
        raise HubError(404, f"The test Hub does not know {request.method} {request.path}")

    def user(self, request: Request) -> str | None:
        """Who sends the request; None is nobody.

        Raises:
            HubError: 401 for a token that is nobody's.
        """
        if request.token is None:
            return None
        if request.token not in self.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.users[request.token]

    def signed_in_user(self, request: Request) -> str:
        """Who sends the request.

        Raises:
            HubError: 401 without a valid token.
        """
        user = self.user(request)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        return user

    def accessible(self, request: Request, repo_type: str, repo_id: str, access: str) -> Repository:
        """The repository, if the user has that access to it, see `route`.

        Raises:
            HubError: 401, 403 or 404 as the Hub answers them.
        """
        user = self.user(request)
        repo = self.repos.get((repo_type, repo_id))
        if repo is None or (repo.private and repo.owner != user):
            # To others a private repository does not exist; to nobody, no missing one does either.
            if user is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")
        if access == "write" and self.signed_in_user(request) != repo.owner:
            raise HubError(403, f"You don't have the rights to write to {repo_id}")
        if access == "files" and repo.gated and user != repo.owner:
            message = f"Access to {repo_type} {repo_id} is restricted."
            raise HubError(401 if user is None else 403, message, "GatedRepo")
        return repo

    def check_signature(self, request: Request) -> None:
        """Let only addresses into the storage that the Hub has handed out.

        Raises:
            HubError: 403.
        """
        if request.query.get("signature") != [self.secret]:
            raise HubError(403, "The signature of this storage address is missing or wrong.")
