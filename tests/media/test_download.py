"""caddm_hf.media.download: downloads from a server of the test's own, and what is refused."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from caddm_hf.media.download import _CheckedBackend, local_media
from caddm_hf.media.limits import MediaLimits
from support.made_server import CONTENT, Handler
from support.media_downloads import download_error, fetch

pytestmark = pytest.mark.usefixtures("temporary_root")


# --- what works -------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["clips/a.mp4", Path("/no/such/file.mp4"), "http_a.mp4"])
def test_path_is_passed_through(source):
    with local_media(source) as path:
        assert path == Path(source)


def test_download(server, temporary_root):
    with local_media(server.url(), allow_private_addresses=True) as path:
        assert path.read_bytes() == CONTENT
        assert path.name == "clip.mp4"
        assert path.parent.parent == temporary_root
        if os.name == "posix":
            assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.exists()
    _, headers = server.requests[0]
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"
    assert headers["Accept-Encoding"] == "identity"  # nothing is to be unpacked


def test_file_is_removed_after_an_error_in_the_block(server):
    with (
        pytest.raises(RuntimeError),
        local_media(server.url(), allow_private_addresses=True) as path,
    ):
        raise RuntimeError
    assert not path.exists()


def test_query_and_spaces_reach_the_server(server):
    server.answers["/a%20b.mp4"] = Handler.give
    assert fetch(server.url("/a b.mp4?sig=x%2By z")) == CONTENT
    assert server.requests[0][0] == "/a%20b.mp4?sig=x%2By%20z"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/..%2f..%2fetc%2fpasswd", "_.._etc_passwd"),
        ("/", "download"),
        ("/%2e%2e", "download"),
        ("/" + "n" * 200 + ".mp4", "n" * 76 + ".mp4"),
    ],
)
def test_file_name_is_harmless(server, path, name):
    server.answers[path] = Handler.give
    with local_media(server.url(path), allow_private_addresses=True) as local:
        assert local.name == name


@pytest.mark.parametrize("total", [len(CONTENT), None])
def test_progress(server, total):
    if total is None:
        server.answers["/clip.mp4"] = lambda handler: handler.give(Content_Length="")
    calls = []
    assert fetch(server.url(), progress=lambda *call: calls.append(call)) == CONTENT
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1] == (len(CONTENT), total)
    assert {call[1] for call in calls} == {total}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(server, status):
    server.answers["/old"] = lambda handler: handler.give(
        b"moved", status=status, Location="clip.mp4"
    )
    assert fetch(server.url("/old")) == CONTENT


def test_five_redirects_and_no_more(server):
    for step in range(7):
        server.answers[f"/{step}"] = lambda handler, to=step + 1: handler.give(
            b"", status=302, Location=f"/{to}"
        )
    server.answers["/5"] = Handler.give
    assert fetch(server.url("/0")) == CONTENT
    server.answers["/6"] = Handler.give
    server.answers["/5"] = lambda handler: handler.give(b"", status=302, Location="/6")
    assert "redirects more than 5 times" in download_error(server.url("/0"))


# --- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize("address", ["ftp://host/a.mp4", "file:///etc/passwd", "data://x,y"])
def test_other_schemes(address):
    message = download_error(address)
    assert f"of the kind '{address.split(':')[0]}' are not read" in message


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://", "names no host"),
        ("http:///a.mp4", "names no host"),
        ("http://host:port/a.mp4", "not valid"),
        ("http://[::1/a.mp4", "not valid"),
        ("http://" + "a" * 70 + ".example/a.mp4", "connection failed"),
    ],
)
def test_malformed_addresses(address, says):
    assert says in download_error(address)


@pytest.mark.parametrize("status", [403, 404, 410, 500, 204])
def test_http_errors(server, status):
    server.answers["/a.mp4"] = lambda handler: handler.give(b"", status=status)
    message = download_error(server.url("/a.mp4?token=hush"))
    assert f"HTTP {status}" in message
    assert "'127.0.0.1/.../a.mp4'" in message
    assert "hush" not in message


def test_credentials_are_refused_and_not_repeated(server):
    address = server.url().replace("127.0.0.1", "anna:hush@127.0.0.1")
    message = download_error(address)
    assert "user name or password" in message
    assert "hush" not in message
    assert "anna" not in message
    assert server.requests == []


def test_web_page(server):
    server.answers["/watch"] = lambda handler: handler.give(
        b"<html>", Content_Type="text/html; charset=utf-8"
    )
    assert "is a web page" in download_error(server.url("/watch"))


def test_stated_size_beyond_the_limit(server):
    server.answers["/clip.mp4"] = lambda handler: handler.give(b"", Content_Length="5000000000")
    calls = []
    message = download_error(server.url(), progress=lambda *call: calls.append(call))
    assert "is too large: 5,000 MB, and the limit is 4,295 MB" in message
    assert calls == []


def test_unstated_size_beyond_the_limit(server):
    server.answers["/clip.mp4"] = lambda handler: handler.give(Content_Length="")
    limits = MediaLimits(max_file_bytes=len(CONTENT) - 1)
    assert "is too large" in download_error(server.url(), limits=limits)


def test_connection_that_breaks_off(server):
    server.answers["/clip.mp4"] = lambda handler: handler.give(
        CONTENT[:1000], Content_Length=str(len(CONTENT))
    )
    assert "the connection failed" in download_error(server.url())


@pytest.mark.parametrize("length", ["1e3", "-5", "9" * 5000, "5, 6"])
def test_nonsense_length(server, length):
    server.answers["/clip.mp4"] = lambda handler: handler.give(Content_Length=length)
    assert "127.0.0.1" in download_error(server.url())


def test_nothing_listens():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        assert "the connection failed" in download_error(f"http://127.0.0.1:{port}/a.mp4")


def test_answer_that_is_not_http():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example ESMTP\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        assert "the connection failed" in download_error(f"http://127.0.0.1:{port}/a.mp4")


def test_redirect_to_another_scheme(server):
    server.answers["/a"] = lambda handler: handler.give(
        b"", status=302, Location="file:///etc/passwd"
    )
    assert "of the kind 'file' are not read" in download_error(server.url("/a"))


@pytest.mark.parametrize("where", ["nowhere", "head", "body"])
def test_slow_server(server, where):
    """Nothing comes, or each byte comes soon enough but the whole never does."""

    def drip(handler: Handler) -> None:
        if where == "nowhere":
            time.sleep(5)
            return
        head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n"
        handler.wfile.write(head if where == "head" else head + b"\r\n")
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    server.answers["/clip.mp4"] = drip
    start = time.monotonic()
    assert "took too long" in download_error(server.url(), download_timeout_s=0.3)
    assert time.monotonic() - start < 4  # the server drips for 5 s


def test_silent_server_that_is_to_speak_tls():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start = time.monotonic()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}/a.mp4"
        assert "took too long" in download_error(address, download_timeout_s=0.3)
    assert time.monotonic() - start < 4  # a connection alone may take 10 s


def test_every_step_ends_at_the_deadline():
    allowed = []

    class Stream:
        def read(self, max_bytes, timeout):
            allowed.append(timeout)

        def write(self, buffer, timeout):
            allowed.append(timeout)

        def start_tls(self, ssl_context, server_hostname, timeout):
            allowed.append(timeout)
            return self

    class Network:
        def connect_tcp(self, host, port, timeout, local_address):
            allowed.append(timeout)
            return Stream()

    backend = _CheckedBackend(True, 5)
    backend._plain = Network()
    stream = backend.connect_tcp("127.0.0.1", 80, 30)
    stream.read(1, 30)
    stream.write(b"x", 30)
    secured = stream.start_tls(None, "host", 30)
    secured.read(1, 30)
    secured.write(b"x", 0.5)
    assert len(allowed) == 6
    assert all(0 < timeout <= 5 for timeout in allowed)
    assert allowed[-1] == 0.5


def test_full_disk(server, monkeypatch):
    class FullFile:
        def __enter__(self):
            return self

        def __exit__(self, *args):
            pass

        def write(self, chunk):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *args, **kwargs: FullFile())
    assert "could not be stored: No space left on device" in download_error(server.url())
