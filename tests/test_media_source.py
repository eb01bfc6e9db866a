"""caddm_hf.media_source: downloads from a server of the test's own, and what is refused."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_server import CONTENT, Handler, Server

from caddm_hf import media_source
from caddm_hf.media_files import MediaError, MediaLimits
from caddm_hf.media_source import _CheckedBackend, is_public, local_media


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def temporary_root(tmp_path, monkeypatch) -> Iterator[Path]:
    """Downloads go below this folder, and nothing may stay in it."""
    root = tmp_path / "temporary"
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    yield root
    assert list(root.iterdir()) == []


def error_of(address: str, *, private: bool = True, limits=MediaLimits(), **options) -> str:
    with (
        pytest.raises(MediaError) as caught,
        local_media(address, limits, allow_private_addresses=private, **options),
    ):
        pytest.fail("was downloaded")
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def fetch(address: str, **options) -> bytes:
    with local_media(address, allow_private_addresses=True, **options) as path:
        return path.read_bytes()


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
    assert "redirects more than 5 times" in error_of(server.url("/0"))


# --- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize("address", ["ftp://host/a.mp4", "file:///etc/passwd", "data://x,y"])
def test_other_schemes(address):
    message = error_of(address)
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
    assert says in error_of(address)


@pytest.mark.parametrize("status", [403, 404, 410, 500, 204])
def test_http_errors(server, status):
    server.answers["/a.mp4"] = lambda handler: handler.give(b"", status=status)
    message = error_of(server.url("/a.mp4?token=hush"))
    assert f"HTTP {status}" in message
    assert "'127.0.0.1/.../a.mp4'" in message
    assert "hush" not in message


def test_credentials_are_refused_and_not_repeated(server):
    address = server.url().replace("127.0.0.1", "anna:hush@127.0.0.1")
    message = error_of(address)
    assert "user name or password" in message
    assert "hush" not in message
    assert "anna" not in message
    assert server.requests == []


def test_web_page(server):
    server.answers["/watch"] = lambda handler: handler.give(
        b"<html>", Content_Type="text/html; charset=utf-8"
    )
    assert "is a web page" in error_of(server.url("/watch"))


def test_stated_size_beyond_the_limit(server):
    server.answers["/clip.mp4"] = lambda handler: handler.give(b"", Content_Length="5000000000")
    calls = []
    message = error_of(server.url(), progress=lambda *call: calls.append(call))
    assert "is too large: 5,000 MB, and the limit is 4,295 MB" in message
    assert calls == []


def test_unstated_size_beyond_the_limit(server):
    server.answers["/clip.mp4"] = lambda handler: handler.give(Content_Length="")
    limits = MediaLimits(max_file_bytes=len(CONTENT) - 1)
    assert "is too large" in error_of(server.url(), limits=limits)


def test_connection_that_breaks_off(server):
    server.answers["/clip.mp4"] = lambda handler: handler.give(
        CONTENT[:1000], Content_Length=str(len(CONTENT))
    )
    assert "the connection failed" in error_of(server.url())


@pytest.mark.parametrize("length", ["1e3", "-5", "9" * 5000, "5, 6"])
def test_nonsense_length(server, length):
    server.answers["/clip.mp4"] = lambda handler: handler.give(Content_Length=length)
    assert "127.0.0.1" in error_of(server.url())


def test_nothing_listens():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        assert "the connection failed" in error_of(f"http://127.0.0.1:{port}/a.mp4")


def test_answer_that_is_not_http():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example ESMTP\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        assert "the connection failed" in error_of(f"http://127.0.0.1:{port}/a.mp4")


def test_redirect_to_another_scheme(server):
    server.answers["/a"] = lambda handler: handler.give(
        b"", status=302, Location="file:///etc/passwd"
    )
    assert "of the kind 'file' are not read" in error_of(server.url("/a"))


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
    assert "took too long" in error_of(server.url(), download_timeout_s=0.3)
    assert time.monotonic() - start < 4  # the server drips for 5 s


def test_silent_server_that_is_to_speak_tls():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start = time.monotonic()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}/a.mp4"
        assert "took too long" in error_of(address, download_timeout_s=0.3)
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
    assert "could not be stored: No space left on device" in error_of(server.url())


# --- private networks -------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2001:db8::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"],
)
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433"])
def test_this_machine_is_refused_by_default(server, host):
    message = error_of(server.url(host=host), private=False)
    assert "private network" in message
    assert server.requests == []


@pytest.fixture
def resolver(monkeypatch) -> "FakeResolver":
    resolver = FakeResolver(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return resolver


class FakeResolver:
    """Answers each look-up of a name with the next of its lists of addresses."""

    def __init__(self, real: Callable):
        self.real = real
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def __call__(self, host, port, *args, **kwargs):
        if host not in self.answers:  # a numeric address, which needs no look-up
            assert host.replace(".", "").isdigit()
            return self.real(host, port, *args, **kwargs)
        self.asked.append(host)
        addresses = self.answers[host].pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]


def test_name_with_a_private_address_among_its_addresses(server, resolver):
    resolver.answers["media.example"] = [["93.184.216.34", "127.0.0.1"]]
    message = error_of(server.url(host="media.example"), private=False)
    assert "'media.example' lies in a private network" in message
    assert server.requests == []


@pytest.fixture
def one_public_address(monkeypatch) -> None:
    """The test's own server counts as public, nothing else does."""
    monkeypatch.setattr(media_source, "is_public", lambda address: address == "127.0.0.1")


@pytest.mark.usefixtures("one_public_address")
def test_redirect_into_the_private_network(server, resolver):
    server.answers["/a"] = lambda handler: handler.give(
        b"", status=302, Location=server.url(host="inside.example")
    )
    resolver.answers = {"media.example": [["127.0.0.1"]], "inside.example": [["127.0.0.2"]]}
    message = error_of(server.url("/a", host="media.example"), private=False)
    assert "'inside.example' lies in a private network" in message
    assert [path for path, _ in server.requests] == ["/a"]
    assert resolver.asked == ["media.example", "inside.example"]


@pytest.mark.usefixtures("one_public_address")
def test_name_is_resolved_once_and_the_checked_address_is_used(server, resolver, monkeypatch):
    """DNS rebinding: the second answer, a private one, is never asked for."""
    resolver.answers["media.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    connected = []
    connect = socket.create_connection
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda address, *rest, **named: (
            connected.append(address[0]) or connect(address, *rest, **named)
        ),
    )
    with local_media(server.url(host="media.example")) as path:
        assert path.read_bytes() == CONTENT
    assert resolver.asked == ["media.example"]
    assert connected == ["127.0.0.1"]
    assert server.requests[0][1]["Host"] == f"media.example:{server.server_port}"


def test_next_address_is_tried_where_one_does_not_answer(server, resolver, monkeypatch):
    resolver.answers["media.example"] = [["127.0.0.2", "127.0.0.1"]]
    connect = socket.create_connection

    def refusing_connect(address, *args, **kwargs):
        if address[0] == "127.0.0.2":
            raise ConnectionRefusedError
        return connect(address, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", refusing_connect)
    assert fetch(server.url(host="media.example")) == CONTENT


def test_unknown_host(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "'nowhere.example' is not known" in error_of("http://nowhere.example/a.mp4")


def test_https_does_not_fall_back(server):
    """The server speaks plain HTTP, so no secure connection comes about."""
    address = server.url().replace("http://", "https://")
    assert "the connection failed" in error_of(address)
    assert server.requests == []
