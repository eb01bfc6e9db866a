import io
import struct

import pytest

from caddm_hf.media.mp4_header import claimed_duration_s
from support.made_media import claim_mp4_duration, numbered_frames, write_video


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def movie_header(version: int, scale: int, duration: int) -> bytes:
    layout = ">BxxxQQIQ" if version else ">BxxxIIII"
    return box(b"mvhd", struct.pack(layout, version, 0, 0, scale, duration) + bytes(80))


@pytest.mark.parametrize("version", [0, 1])
def test_both_versions_of_the_header(version):
    file = io.BytesIO(
        box(b"ftyp", b"isom")
        + box(b"mdat", bytes(100))
        + box(b"moov", box(b"udta", b"") + movie_header(version, 600, 600 * 14_400))
    )
    file.seek(5)
    assert claimed_duration_s(file) == 14_400
    assert file.tell() == 5


def test_real_files(tmp_path):
    for suffix in ("mp4", "mov"):
        path = write_video(tmp_path / f"a.{suffix}", numbered_frames(10))
        with path.open("rb") as file:
            assert claimed_duration_s(file) == pytest.approx(0.4, abs=0.01)
    claim_mp4_duration(path, 4 * 3600)
    with path.open("rb") as file:
        assert claimed_duration_s(file) == 4 * 3600


LARGE_SIZE = struct.pack(">I4sQ", 1, b"mdat", 2**63)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        bytes(64),
        LARGE_SIZE,
        LARGE_SIZE[:12],
        struct.pack(">I4s", 4, b"free") * 50,
        struct.pack(">I", 4) + box(b"moov", movie_header(0, 1, 9)),
        box(b"moov", b""),
        box(b"moov", box(b"mvhd", b"\0")),
        box(b"moov", movie_header(0, 0, 5)),
        box(b"moov", movie_header(0, 1, 2**32 - 1)),
        box(b"free", b"") * 5000 + box(b"moov", movie_header(0, 1, 9)),
    ],
)
def test_nothing_to_believe(content):
    assert claimed_duration_s(io.BytesIO(content)) == 0


class BrokenFile(io.BytesIO):
    def read(self, size=-1):
        raise OSError(5, "Input/output error")


def test_a_disk_that_cannot_be_read():
    """What reads the frames will say so."""
    assert claimed_duration_s(BrokenFile(bytes(100))) == 0
