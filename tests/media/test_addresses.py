"""caddm_hf.media.download: what an address may lead to; the checked one is connected to."""

import socket
from collections.abc import Callable

import pytest

from caddm_hf.media import download as media_source
from caddm_hf.media.download import is_public, local_media
from support.made_server import CONTENT
from support.media_downloads import download_error, fetch

pytestmark = pytest.mark.usefixtures("temporary_root")


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
    message = download_error(server.url(host=host), private=False)
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
    message = download_error(server.url(host="media.example"), private=False)
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
    message = download_error(server.url("/a", host="media.example"), private=False)
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
    assert "'nowhere.example' is not known" in download_error("http://nowhere.example/a.mp4")


def test_https_does_not_fall_back(server):
    """The server speaks plain HTTP, so no secure connection comes about."""
    address = server.url().replace("http://", "https://")
    assert "the connection failed" in download_error(address)
    assert server.requests == []
