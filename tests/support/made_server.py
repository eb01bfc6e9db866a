"""A web server that gives what a test tells it to."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CONTENT = bytes(range(256)) * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each path as the server's `answers` say, and notes what was asked for."""

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        answer = self.server.answers.get(self.path.split("?")[0])
        if answer is None:
            self.send_error(404)
        else:
            answer(self)

    def log_message(self, *args):
        pass

    def give(self, content: bytes = CONTENT, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Callable[[Handler], None]] = {"/clip.mp4": Handler.give}
        self.requests: list[tuple[str, dict[str, str]]] = []

    def handle_error(self, *args):
        pass  # a client that hangs up is what some tests are about

    def url(self, path: str = "/clip.mp4", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"


@contextmanager
def running_server() -> Iterator[Server]:
    """One that answers meanwhile."""
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
