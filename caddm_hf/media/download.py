"""Downloads http and https URLs to local files.

The page downloads URLs that visitors choose, who could choose hosts that only the page's machine
can reach. Each host name (of the URL and of every redirect) is therefore resolved once, all its
addresses must be public, and the connection uses one of the addresses that were checked; TLS still
verifies the host name. A name that resolves differently a second time (DNS rebinding) gains
nothing. Not covered: services that a public address forwards to a private network. Proxies are
ignored, and `NO_PROXY` with them.
"""

import ipaddress
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore2

from ..core.liveness import checkpoint
from .limits import MediaError, MediaLimits, check_bytes
from .names import address_file_name, shown_address

MAX_REDIRECTS = 5
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
REDIRECT_STATUSES = (301, 302, 303, 307, 308)
# RFC 6052: the last 32 bits of an address in this network are an IPv4 address.
NAT64 = ipaddress.ip_network("64:ff9b::/96")


@contextmanager
def local_media(
    source: str | os.PathLike,
    limits: MediaLimits = MediaLimits(),
    *,
    allow_private_addresses: bool = False,
    download_timeout_s: float = 600.0,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[Path]:
    """Provide a media source as a local file within a `with` block.

    Args:
        source: a path, yielded unchecked (`probe_media` checks it), or an http or https URL,
            downloaded into a private folder that is deleted when the block ends.
        limits: `max_file_bytes` bounds the download.
        allow_private_addresses: whether to download from this machine and its own network.
        download_timeout_s: wall-clock seconds for the whole download, redirects included. Only
            the system's resolver bounds the look-up of a name.
        progress: called as `progress(bytes_done, bytes_total)`; the total is None if the server
            does not state it.

    Yields:
        the local file.

    Raises:
        MediaError: the URL is not allowed or cannot be reached, or its server responds with an
            error, too many bytes or too slowly. The message names host and file, never the
            query or credentials of the URL.
    """
    address = os.fspath(source).strip()
    if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", address):
        yield Path(source)
        return
    url = _split(address)
    with tempfile.TemporaryDirectory(prefix="caddm-media-") as folder:
        path = Path(folder) / address_file_name(url.path)
        backend = _CheckedBackend(allow_private_addresses, download_timeout_s)
        with path.open("wb") as file:
            _download(address, file, backend, limits, progress)
        yield path


def _split(address: str) -> SplitResult:
    try:
        url = urlsplit(address)
        url.port  # noqa: B018 (raises ValueError if it is not a number)
    except ValueError:
        raise MediaError("The address is not valid: check it for typing errors.") from None
    if url.scheme not in ("http", "https"):
        raise MediaError(
            f"Addresses of the kind '{url.scheme}' are not read: give an http or https address, "
            "or a file."
        )
    if not url.hostname:
        raise MediaError("The address names no host: check it for typing errors.")
    if url.username is not None or url.password is not None:
        raise MediaError(
            f"The address at '{url.hostname}' carries a user name or password, which is not "
            "supported: download the file yourself."
        )
    return url


def _download(
    address: str,
    file: BinaryIO,
    backend: "_CheckedBackend",
    limits: MediaLimits,
    progress: Callable[[int, int | None], None] | None,
) -> None:
    for _ in range(MAX_REDIRECTS + 1):
        url = _split(address)
        try:
            location = _fetch(url, file, backend, limits, progress)
        except httpcore2.TimeoutException:
            raise MediaError(
                f"{shown_address(url)} took too long to answer: try again later."
            ) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, UnicodeError):
            raise MediaError(
                f"{shown_address(url)} could not be downloaded: the connection failed."
            ) from None
        if location is None:
            return
        address = urljoin(address, location)
    raise MediaError(f"{shown_address(url)} redirects more than {MAX_REDIRECTS} times.")


def _fetch(
    url: SplitResult,
    file: BinaryIO,
    backend: "_CheckedBackend",
    limits: MediaLimits,
    progress: Callable[[int, int | None], None] | None,
) -> str | None:
    """Write the content of a URL into `file`, or return the target of a redirect."""
    target = httpcore2.URL(
        scheme=url.scheme,
        host=url.hostname.encode("idna"),
        port=url.port,
        target=_escaped(url.path or "/") + (b"?" + _escaped(url.query) if url.query else b""),
    )
    host_header = url.netloc.encode("idna")
    timeouts = {"connect": CONNECT_TIMEOUT_S, "read": READ_TIMEOUT_S, "write": READ_TIMEOUT_S}
    with (
        httpcore2.ConnectionPool(network_backend=backend, max_connections=1) as pool,
        pool.stream(
            "GET",
            target,
            headers=[
                (b"Host", host_header),
                (b"User-Agent", b"caddm-hf"),
                (b"Accept-Encoding", b"identity"),
            ],
            extensions={"timeout": timeouts},
        ) as response,
    ):
        headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in REDIRECT_STATUSES and b"location" in headers:
            return headers[b"location"]
        if response.status != 200:
            raise MediaError(
                f"{shown_address(url)} could not be downloaded: HTTP {response.status}."
            )
        if headers.get(b"content-type", "").lower().startswith("text/html"):
            raise MediaError(
                f"{shown_address(url)} is a web page: give the address of the video or picture "
                "itself."
            )
        length = headers.get(b"content-length", "")
        total = int(length) if length.isdecimal() else None
        check_bytes(shown_address(url), total or 0, limits.max_file_bytes)
        done = 0
        for chunk in response.iter_stream():
            checkpoint()
            done += len(chunk)
            check_bytes(shown_address(url), done, limits.max_file_bytes)
            try:
                file.write(chunk)
            except OSError as error:
                raise MediaError(
                    f"{shown_address(url)} could not be stored: {error.strerror}."
                ) from None
            if progress is not None:
                progress(done, total)
    return None


def _escaped(part: str) -> bytes:
    """Percent-encode what a request line must not contain, and nothing else."""
    return re.sub(rb"[^!-~]", lambda byte: b"%%%02X" % byte[0][0], part.encode())


class _CheckedBackend(httpcore2.NetworkBackend):
    """Connects to public addresses only, until the deadline of the whole download."""

    def __init__(self, allow_private_addresses: bool, timeout_s: float):
        self._allow_private_addresses = allow_private_addresses
        self._deadline = time.monotonic() + timeout_s
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Resolve the host once and connect to the first checked address that accepts."""
        addresses = self._checked_addresses(host, port)
        for address in addresses:
            allowed_s = remaining(self._deadline, timeout)
            try:
                stream = self._plain.connect_tcp(address, port, allowed_s, local_address)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if address == addresses[-1]:
                    raise
            else:
                return _BoundedStream(stream, self._deadline)
        raise httpcore2.ConnectError("the host has no address")

    def _checked_addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise MediaError(f"The host '{host}' is not known: check the address.") from None
        addresses = list(dict.fromkeys(entry[4][0] for entry in found))
        if not self._allow_private_addresses and not all(map(is_public, addresses)):
            raise MediaError(
                f"The host '{host}' lies in a private network, from which nothing is downloaded."
            )
        return addresses


class _BoundedStream(httpcore2.NetworkStream):
    """A connection whose every operation ends at the deadline, however slow the server is."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float):
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, remaining(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, remaining(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context, server_hostname=None, timeout=None):
        allowed_s = remaining(self._deadline, timeout)
        secured = self._stream.start_tls(ssl_context, server_hostname, allowed_s)
        return _BoundedStream(secured, self._deadline)

    def get_extra_info(self, info: str):
        return self._stream.get_extra_info(info)


def remaining(deadline: float, timeout: float | None) -> float:
    """The seconds that an operation may take.

    Args:
        deadline: of the whole download, on the monotonic clock.
        timeout: of this operation, in seconds.

    Raises:
        httpcore2.ReadTimeout: the deadline has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the whole download took too long")
    return left if timeout is None else min(left, timeout)


def is_public(address: str) -> bool:
    """Whether an IP address can be reached from everywhere on the internet."""
    ip = ipaddress.ip_address(address)
    if ip.version == 6:
        # An address that embeds an IPv4 address is as public as that address.
        embedded = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            ip = embedded
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
