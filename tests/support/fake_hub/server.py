"""A Hugging Face Hub for tests, on this machine: push to it and load from it, with faults on call.

The unmodified `huggingface_hub` client, and `transformers` and `datasets` through it, work with it
when `HF_ENDPOINT` is its address:

    with local_hub(users={"tok-alice": "alice"}) as hub:
        api = HfApi(endpoint=hub.endpoint, token="tok-alice")
        api.create_repo("alice/model", private=True)

`HF_ENDPOINT` is read when the libraries are imported, so code that cannot be given an endpoint
(`from_pretrained`, `load_dataset`) runs in a process of its own:

        hub.run_client(push_model, tmp_path / "home", token="tok-alice")

Everything is kept in memory and is gone with the Hub.

What it does not do: pull requests, organizations, discussions, the dataset viewer, downloads over
Xet (the client uses HTTP instead), `.gitignore` on the server.
"""

import http.server
import os
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.fake_hub import reads as hub_reads  # noqa: F401  (registers its endpoints)
from support.fake_hub import writes as hub_writes  # noqa: F401
from support.fake_hub.clients import call_in_client
from support.fake_hub.protocol import HubState, Request, Response, json_response
from support.fake_hub.storage import HubError, Repository


@dataclass(frozen=True)
class LoggedRequest:
    """One line of the request log.

    Attributes:
        method: "GET", "HEAD", ...
        path: Percent-encoded path without the query.
        status: What was answered; None if the connection was closed without an answer.
        authorized: Whether an `Authorization` header was sent.
        byte_range: The `Range` header, if any.
    """

    method: str
    path: str
    status: int | None
    authorized: bool
    byte_range: str | None = None


@dataclass
class Fault:
    """What is to go wrong, see `LocalHub.fail_next`; `remaining` counts down to 0."""

    pattern: re.Pattern[str]
    remaining: int
    status: int | None
    retry_after: int | None
    cut_body_at: int | None
    truncate_to: int | None
    delay_s: float
    disconnect: bool


class LocalHub:
    """A running Hub; made by `local_hub`.

    Attributes:
        endpoint: Its address, for `HF_ENDPOINT`.
        storage_endpoint: The address of its large files, another origin.
        ports: The ports of the two.
        requests: Every request so far to either, oldest first.
        state: What it remembers: users, uploaded large files, page size.
    """

    def __init__(self, users: Mapping[str, str], ports: tuple[int, int]) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.requests: list[LoggedRequest] = []
        self._servers = [_HubServer(self, port) for port in ports]
        self.ports = tuple(server.server_address[1] for server in self._servers)
        self.endpoint, self.storage_endpoint = (f"http://127.0.0.1:{port}" for port in self.ports)
        self.state = HubState(users, self.endpoint, self.storage_endpoint)
        for server in self._servers:
            # A short poll interval lets the Hub stop at once.
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def repos(self) -> dict[tuple[str, str], Repository]:
        """(repo type, "owner/name") -> repository."""
        return self.state.repos

    def repo(self, repo_id: str, repo_type: str = "model") -> Repository:
        """The repository of that name; `KeyError` if there is none."""
        return self.repos[repo_type, repo_id]

    def requests_to(self, pattern: str) -> list[LoggedRequest]:
        """The logged requests whose "METHOD path" the regular expression is found in."""
        return [r for r in self.requests if re.search(pattern, f"{r.method} {r.path}")]

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """Environment of a client process: this Hub, a cache of its own, nothing else of HF.

        Args:
            home: Folder for the client's caches and token file (`HF_HOME`).
            token: Whom the process acts as; None is nobody.
        """
        foreign = re.compile("HF_|HUGGING|TRANSFORMERS_|.*_PROXY$", re.IGNORECASE)
        kept = {key: value for key, value in os.environ.items() if not foreign.match(key)}
        settings = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home)}
        return kept | settings | ({"HF_TOKEN": token} if token is not None else {})

    def run_client(
        self,
        function: Callable[..., Any],
        home: Path,
        token: str | None = None,
        args: Sequence[Any] = (),
    ) -> Any:
        """Call a function of a test module in a new process that knows only this Hub.

        Args:
            function: Defined at the top of its module, which the new process imports from where
                this one did.
            home: See `environment`. Also the working folder.
            token: See `environment`.
            args: Arguments, such as JSON can hold.

        Returns:
            What the function returns, by way of JSON.

        Raises:
            RuntimeError: If the process fails; with what it printed.
        """
        home.mkdir(parents=True, exist_ok=True)
        environment = self.environment(home, token)
        environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        return call_in_client(function, args, environment, home)

    def fail_next(
        self,
        path_regex: str,
        *,
        status: int | None = None,
        times: int = 1,
        retry_after: int | None = None,
        cut_body_at: int | None = None,
        truncate_to: int | None = None,
        delay_s: float = 0.0,
        disconnect: bool = False,
    ) -> Fault:
        """Let the next requests to some paths go wrong. The oldest fault that fits is used first.

        Args:
            path_regex: Searched for in "METHOD path", the path percent-encoded without the query:
                `"/resolve/"`, `"^GET .*/config.json$"`.
            status: Answer with this status in place of the real answer; nothing is done.
            times: How many requests it hits.
            retry_after: Seconds, for the `Retry-After` header beside `status`. The client waits
                one second longer.
            cut_body_at: Close the connection after this many bytes of the real answer's body: the
                client sees that bytes are missing, and may ask for the rest.
            truncate_to: Send only so many bytes of the body as if they were all: a damaged file.
            delay_s: Seconds to wait first; alone: a slow Hub.
            disconnect: Close the connection without any answer; nothing is done.

        Returns:
            The fault; its `remaining` is 0 once it has been used up.
        """
        changes_nothing = status is cut_body_at is truncate_to is None
        if changes_nothing and not disconnect and delay_s <= 0:
            raise ValueError("A fault needs a status, a cut, a delay or a disconnect.")
        fault = Fault(
            pattern=re.compile(path_regex),
            remaining=times,
            status=status,
            retry_after=retry_after,
            cut_body_at=cut_body_at,
            truncate_to=truncate_to,
            delay_s=delay_s,
            disconnect=disconnect,
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def stop(self) -> None:
        """Close the ports and every connection: from now on there is no Hub at `endpoint`."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
            server.close_connections()

    def _respond(self, request: Request) -> tuple[Response | None, Fault | None]:
        """The answer, None for a disconnect, and the fault to send it with."""
        line = f"{request.method} {request.path}"
        with self._lock:
            fitting = (f for f in self._faults if f.remaining > 0 and f.pattern.search(line))
            fault = next(fitting, None)
            if fault is not None:
                fault.remaining -= 1
        if fault is not None:
            time.sleep(fault.delay_s)
        response = None
        if fault is None or not fault.disconnect:
            response = self._answer(request, fault)
        authorized, byte_range = request.token is not None, request.headers.get("Range")
        status = response.status if response is not None else None
        with self._lock:
            self.requests.append(
                LoggedRequest(request.method, request.path, status, authorized, byte_range)
            )
        return response, fault

    def _answer(self, request: Request, fault: Fault | None) -> Response:
        try:
            if fault is not None and fault.status is not None:
                wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                raise HubError(fault.status, "Fault injected by the test", headers=wait)
            with self._lock:
                return self.state.answer(request)
        except Exception as error:
            if not isinstance(error, HubError):
                # A fault of the test Hub itself: seen by the client, and in the test's output.
                traceback.print_exc()
                error = HubError(500, f"The test Hub failed: {error!r}")
            code = {"X-Error-Code": error.code} if error.code else {}
            response = json_response({"error": error.message} | error.details, error.status)
            message = " ".join(error.message.encode("ascii", "replace").decode().split())
            response.headers |= {"X-Error-Message": message} | code | error.headers
            return response


class _HubServer(http.server.ThreadingHTTPServer):
    """One listening port, which knows its connections, so that none outlives it."""

    daemon_threads = True

    def __init__(self, hub: LocalHub, port: int) -> None:
        self.hub = hub
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Print errors of the Hub itself; a client that went away is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Reads requests and writes answers, over connections that stay open."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one piece
    disable_nagle_algorithm = True
    server: _HubServer

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean: `LocalHub.requests` is the log."""

    def handle_any_method(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        request = Request(self.command, url.path, query, self.headers, self._read_body())
        response, fault = self.server.hub._respond(request)
        if response is None:
            self.close_connection = True
            return
        body = response.body if fault is None else response.body[: fault.truncate_to]
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.cut_body_at is not None:
            body = body[: fault.cut_body_at]
            self.close_connection = True
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any_method  # noqa: N815

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


@contextmanager
def local_hub(users: Mapping[str, str], ports: tuple[int, int] = (0, 0)) -> Iterator[LocalHub]:
    """Run an empty Hub on two ports of 127.0.0.1 until the end of the `with` block.

    Args:
        users: Token -> user name. Each user owns the namespace of that name.
        ports: 0 is any free port. With the `ports` of a stopped Hub another one takes its address.
    """
    hub = LocalHub(users, ports)
    try:
        yield hub
    finally:
        hub.stop()
