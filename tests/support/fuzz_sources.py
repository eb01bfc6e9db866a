"""Whole files that the fuzzer damages, and files made to be hostile, each a function of a seed."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from skimage.transform import resize

from support.made_media import (
    claim_mkv_duration,
    claim_mp4_duration,
    claim_mp4_frame_length,
    write_audio,
    write_video,
)

CLIP_HW = (120, 160)
EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# One thread, so that the same bytes come out every time.
X264 = {"threads": "1", "preset": "ultrafast", "g": "6"}


def portrait(side: int = 160) -> np.ndarray:
    """(side, side, 3) uint8: a face that fills about half of it."""
    face = data.astronaut()[0:240, 110:350]
    return (resize(face, (side, side), anti_aliasing=True) * 255).astype(np.uint8)


def clip_frames(count: int = 12) -> list[np.ndarray]:
    """Frames of a face that moves."""
    height, width = CLIP_HW
    picture = portrait(200)
    return [picture[n : n + height, n * 2 : n * 2 + width] for n in range(count)]


def write_sources(folder: Path) -> dict[str, Path]:
    """A small whole file of each kind that is read, by the name of its kind."""
    frames = clip_frames()
    videos = {
        "mp4": {"options": X264},
        "mov-turned": {"options": X264, "rotation_degrees": 90, "container_format": "mov"},
        "mp4-fragments": {
            "options": X264,
            "container_format": "mp4",
            "container_options": {"movflags": "frag_keyframe+empty_moov"},
        },
        "mp4-sound": {"options": X264, "audio": "aac", "container_format": "mp4"},
        "mkv": {"codec": "mpeg4"},
        "mkv-lossless": {"codec": "ffv1", "container_format": "matroska"},
        "webm": {"codec": "libvpx", "options": {"threads": "1", "deadline": "realtime"}},
        "avi": {"codec": "mpeg4"},
        "avi-jpeg": {"codec": "mjpeg", "pixel_format": "yuvj420p", "container_format": "avi"},
        "ts": {"options": X264, "container_format": "mpegts"},
        "flv": {"options": X264},
        "mpg": {"codec": "mpeg2video", "container_format": "mpeg"},
        "gif-moving": {"codec": "gif", "pixel_format": "rgb8", "container_format": "gif"},
        "apng": {"codec": "apng", "pixel_format": "rgb24"},
    }
    sources = {}
    for name, options in videos.items():
        path = folder / f"{name}.bin"
        options.setdefault("container_format", {"mkv": "matroska"}.get(name, name))
        sources[name] = write_video(path, frames, **options)
    picture = Image.fromarray(portrait())
    exif = Image.Exif()
    exif[0x0112] = 6
    stills = {
        "jpeg": {"format": "JPEG", "exif": exif},
        "jpeg-progressive": {"format": "JPEG", "progressive": True},
        "png": {"format": "PNG"},
        "webp": {"format": "WEBP"},
        "bmp": {"format": "BMP"},
        "tiff": {"format": "TIFF", "compression": "tiff_lzw"},
        "tiff-jpeg": {"format": "TIFF", "compression": "jpeg"},
        "gif": {"format": "GIF"},
        "avif": {"format": "AVIF", "speed": 10},
    }
    for name, options in stills.items():
        sources[name] = folder / f"{name}.bin"
        picture.save(sources[name], **options)
    return sources


# --- hostile from the start ----------------------------------------------------------------


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def png_of_absurd_size(rng: np.random.Generator, path: Path) -> None:
    """A header that claims what no machine holds."""
    width, height = (int(rng.choice([1, 8193, 65_536, 2**20, 2**31 - 1])) for _ in range(2))
    path.write_bytes(_png(width, height, 8, 6, b"\0" * 100))


def png_bomb(rng: np.random.Generator, path: Path) -> None:
    """Up to 400 megapixels in a few kilobytes, complete and correct."""
    side = int(rng.choice([5_000, 8_000, 8_192, 20_000]))
    row = b"\0" * (1 + side // 8)
    path.write_bytes(_png(side, side, 1, 0, row * side))


def png_text_bomb(rng: np.random.Generator, path: Path) -> None:
    """A small picture with a comment that unpacks to tens of megabytes."""
    whole = io.BytesIO()
    Image.fromarray(portrait(64)).save(whole, "PNG")
    comment = b"Comment\0\0" + zlib.compress(bytes(int(rng.integers(1, 64)) * 2**20), 9)
    checksum = struct.pack(">I", zlib.crc32(b"zTXt" + comment))
    chunk = struct.pack(">I", len(comment)) + b"zTXt" + comment + checksum
    content = whole.getvalue()
    path.write_bytes(content[:33] + chunk + content[33:])


def jpeg_of_absurd_size(rng: np.random.Generator, path: Path) -> None:
    """A small JPEG whose frame header says otherwise."""
    whole = io.BytesIO()
    Image.fromarray(portrait(64)).save(whole, "JPEG")
    content = bytearray(whole.getvalue())
    start = content.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", content, start, *(int(rng.choice([0, 1, 7_900, 65_535])) for _ in "hw"))
    path.write_bytes(content)


def gif_of_many_frames(rng: np.random.Generator, path: Path) -> None:
    """Thousands of frames of next to nothing."""
    count = int(rng.integers(1_000, 4_000))
    pictures = [Image.new("P", (16, 16), number % 250) for number in range(count)]
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], duration=20)


def gif_of_absurd_size(rng: np.random.Generator, path: Path) -> None:
    """A screen of 4,294 megapixels, or less, around one small picture."""
    whole = io.BytesIO()
    frames = [Image.fromarray(portrait(32)), Image.new("RGB", (32, 32))]
    frames[0].save(whole, "GIF", save_all=True, append_images=frames[1:])
    content = bytearray(whole.getvalue())
    struct.pack_into("<HH", content, 6, *(int(rng.choice([0, 8_000, 65_535])) for _ in "wh"))
    path.write_bytes(content)


def video_of_many_frames(rng: np.random.Generator, path: Path) -> None:
    """More frames a second than any camera takes."""
    frames = [np.full((16, 32, 3), n % 256, np.uint8) for n in range(int(rng.integers(2000, 4000)))]
    write_video(path, frames, fps=1000, codec="mpeg4", container_format="matroska")


def video_of_large_frames(rng: np.random.Generator, path: Path) -> None:
    """Frames of up to 33 megapixels, in kilobytes; the largest are beyond the limit."""
    height, width = ((4320, 7680), (8192, 4096), (8200, 100))[int(rng.integers(3))]
    black = np.zeros((height, width, 3), np.uint8)
    write_video(path, [black] * 2, options=X264, container_format="mp4")


def clip_of_absurd_length(rng: np.random.Generator, path: Path) -> None:
    """Headers that claim hours or years."""
    seconds = int(rng.choice([3_000, 7_300, 10**6, 2**31 // 15_360]))
    kind = int(rng.integers(3))
    container = "matroska" if kind == 2 else "mp4"
    write_video(path, clip_frames(4), options=X264, container_format=container)
    if kind == 2:
        claim_mkv_duration(path, float(rng.choice([seconds, np.inf, np.nan, -1.0])))
    elif kind == 1:
        claim_mp4_frame_length(path, min(seconds, 2**31 // 15_360))
    else:
        claim_mp4_duration(path, min(seconds, 2**32 // 15_360 - 1))


def crowd(rng: np.random.Generator, path: Path) -> None:
    """Hundreds to thousands of faces in one picture."""
    side = int(rng.choice([24, 32, 110]))
    count = int(rng.choice([600, 1200])) // side
    Image.fromarray(np.tile(portrait(side), (count, count, 1))).save(path, "JPEG", quality=90)


def crowded_clip(rng: np.random.Generator, path: Path) -> None:
    """Hundreds of faces in each frame, all changing places."""
    picture = np.tile(portrait(32), (15, 20, 1))
    frames = [np.roll(picture, int(rng.integers(640)), axis=1) for _ in range(6)]
    write_video(path, frames, options=X264, container_format="mp4")


def no_face(rng: np.random.Generator, path: Path) -> None:
    """Noise, one colour, or a single pixel."""
    pictures = (
        rng.integers(0, 256, (90, 120, 3), np.uint8),
        np.full((50, 2000, 3), 200, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
    )
    Image.fromarray(pictures[int(rng.integers(3))]).save(path, "PNG")


def noise_named_like_a_file(rng: np.random.Generator, path: Path) -> None:
    """Random bytes after the first bytes of a format."""
    starts = (b"\0\0\0\x20ftypisom", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI LIST", b"\xff\xd8\xff")
    starts += (b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"RIFF\0\0\0\0WEBPVP8X", b"G@\0\x10")
    path.write_bytes(starts[int(rng.integers(len(starts)))] + rng.bytes(int(rng.integers(1, 9999))))


def playlist(rng: np.random.Generator, path: Path) -> None:
    """Text that some players follow to other files."""
    texts = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>',
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "%!PS\n(/etc/passwd) (r) file\n",
    )
    path.write_text(texts[int(rng.integers(len(texts)))])


def sound_only(rng: np.random.Generator, path: Path) -> None:
    """No picture at all."""
    whole = write_audio(path.with_suffix(".m4a"))
    whole.rename(path)


HOSTILE: dict[str, Callable[[np.random.Generator, Path], None]] = {
    maker.__name__: maker
    for maker in (
        png_of_absurd_size,
        png_bomb,
        png_text_bomb,
        jpeg_of_absurd_size,
        gif_of_many_frames,
        gif_of_absurd_size,
        video_of_many_frames,
        video_of_large_frames,
        clip_of_absurd_length,
        crowd,
        crowded_clip,
        no_face,
        noise_named_like_a_file,
        playlist,
        sound_only,
    )
}
