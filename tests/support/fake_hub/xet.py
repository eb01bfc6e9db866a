"""Receives what `hf_xet` uploads: the part of the Xet storage protocol that a push needs.

The client uploads large files over Xet whenever `hf_xet` is installed; no answer of a server makes
it take plain LFS instead. So the test Hub speaks it: the client sends xorbs (runs of compressed
chunks) and then shards, which say of which chunks each file is made. Downloads need nothing of
this: without an `X-Xet-Hash` header the client uses HTTP.

Formats: https://huggingface.co/docs/xet/xorb and https://huggingface.co/docs/xet/shard.
"""

import hashlib
import struct
from collections.abc import Iterator

import pyarrow

from support.fake_hub.storage import HubError

ENTRY_BYTES = 48  # every structure of a shard has this size
CHUNK_HEADER_BYTES = 8
END_OF_FILES = b"\xff" * 32
HAS_VERIFICATION = 1 << 31
HAS_SHA256 = 1 << 30
NO_COMPRESSION, LZ4, BYTE_GROUPED_LZ4 = range(3)


class XetStore:
    """Xorbs by their hash, and the files that shards have completed.

    Attributes:
        files: SHA-256 -> content. Shared with the plain LFS storage of the Hub.
        xorbs: Xorb hash, as in the URL -> its chunks, decompressed.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.xorbs: dict[str, list[bytes]] = {}

    def add_xorb(self, xorb_hash: str, body: bytes) -> bool:
        """Take a serialized xorb; returns whether it is new.

        Raises:
            HubError: 400 if the body is not a run of whole chunks.
        """
        is_new = xorb_hash not in self.xorbs
        self.xorbs[xorb_hash] = list(_chunks(body))
        return is_new

    def add_shard(self, body: bytes) -> list[str]:
        """Put together every file that a shard describes; returns their SHA-256.

        Raises:
            HubError: 400 if the shard names an unknown xorb, or if a file comes out other than
                its SHA-256 says.
        """
        added = []
        for terms, sha256 in _shard_files(body):
            content = b"".join(self._segment(*term) for term in terms)
            digest = hashlib.sha256(content).hexdigest()
            if sha256 not in (None, digest):
                raise HubError(400, f"The chunks of file {sha256} make up file {digest}.")
            self.files[digest] = content
            added.append(digest)
        return added

    def _segment(self, xorb_hash: str, start: int, end: int) -> bytes:
        chunks = self.xorbs.get(xorb_hash, [])
        if not start < end <= len(chunks):
            raise HubError(400, f"Xorb {xorb_hash} with chunks {start} to {end} was not uploaded.")
        return b"".join(chunks[start:end])


def _chunks(body: bytes) -> Iterator[bytes]:
    position = 0
    # A xorb may end with a footer, which starts with this mark; uploads leave it out.
    while position < len(body) and not body.startswith(b"XETBLOB", position):
        header = body[position : position + CHUNK_HEADER_BYTES]
        position += CHUNK_HEADER_BYTES + int.from_bytes(header[1:4], "little")
        if len(header) < CHUNK_HEADER_BYTES or header[0] != 0 or position > len(body):
            raise HubError(400, "The xorb is not a run of whole chunks of version 0.")
        packed = body[position - int.from_bytes(header[1:4], "little") : position]
        yield _decompress(packed, header[4], int.from_bytes(header[5:8], "little"))


def _decompress(packed: bytes, scheme: int, size: int) -> bytes:
    if scheme == NO_COMPRESSION:
        return packed
    if scheme not in (LZ4, BYTE_GROUPED_LZ4):
        raise HubError(400, f"Unknown compression scheme {scheme} in a xorb.")
    data = pyarrow.decompress(packed, decompressed_size=size, codec="lz4", asbytes=True)
    if scheme == LZ4:
        return data
    # Byte grouping: first every byte at a position divisible by 4, then those one further, ...
    grouped, start = bytearray(size), 0
    for offset in range(4):
        count = len(range(offset, size, 4))
        grouped[offset::4] = data[start : start + count]
        start += count
    return bytes(grouped)


def _hash_text(raw: bytes) -> str:
    """A hash as URLs spell it: four little-endian 64-bit numbers in hexadecimal."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def _shard_files(body: bytes) -> Iterator[tuple[list[tuple[str, int, int]], str | None]]:
    """For each file of a shard its terms (xorb, first chunk, end chunk), and its SHA-256."""
    position = ENTRY_BYTES  # after the shard's header

    def next_entry() -> bytes:
        nonlocal position
        position += ENTRY_BYTES
        if position > len(body):
            raise HubError(400, "The shard ends before its list of files does.")
        return body[position - ENTRY_BYTES : position]

    while (header := next_entry())[:32] != END_OF_FILES:
        flags, count = struct.unpack_from("<II", header, 32)
        entries = [next_entry() for _ in range(count)]
        terms = [(_hash_text(e[:32]), *struct.unpack_from("<II", e, 40)) for e in entries]
        if flags & HAS_VERIFICATION:
            position += count * ENTRY_BYTES
        yield terms, _hash_text(next_entry()[:32]) if flags & HAS_SHA256 else None
