"""caddm_hf.media.pictures: every kind of picture, through probe_media and the iterator."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caddm_hf.media.frames import iterate_sampled_frames, probe_media
from caddm_hf.media.limits import MediaError, MediaInfo, MediaLimits
from caddm_hf.media.pictures import is_decodable
from support.made_media import is_upright, numbered_frame, numbered_frames, read_number, write_video
from support.media_checks import assert_numbered, error_of, sampled


def save_picture(path: Path, picture: Image.Image, **options) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif", "gif", "avif"])
def test_pictures(tmp_path, suffix):
    path = save_picture(tmp_path / f"a.{suffix}", Image.fromarray(numbered_frame(77)))
    info = probe_media(path)
    assert (info.kind, info.frame_count, info.width, info.height) == ("image", 1, 96, 64)
    assert (info.duration_s, info.frame_rate, info.has_audio) == (0, None, False)
    (frame,) = sampled(path)
    assert (frame.index, frame.time_s) == (0, 0)
    assert read_number(frame.image_rgb) == 77
    assert is_upright(frame.image_rgb)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    ("orientation", "rotation", "store"),
    [
        (2, 0, np.fliplr),
        (3, 180, lambda image: np.rot90(image, 2)),
        (4, 180, np.flipud),
        (5, 270, lambda image: image.transpose(1, 0, 2)),
        (6, 90, np.rot90),
        (7, 90, lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
        (8, 270, lambda image: np.rot90(image, -1)),
    ],
)
def test_exif_orientation(tmp_path, suffix, orientation, rotation, store):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(store(numbered_frame(77, (64, 112)))))
    path = save_picture(tmp_path / f"a.{suffix}", stored, exif=exif)
    info = probe_media(path)
    assert (info.width, info.height, info.rotation_degrees) == (112, 64, rotation)
    image_rgb = sampled(path)[0].image_rgb
    assert read_number(image_rgb) == 77
    assert is_upright(image_rgb)


def test_grey_and_16_bit_pictures(tmp_path):
    ramp = np.tile(np.linspace(0, 65_535, 128).astype(np.uint16), (16, 1))
    for suffix in ("png", "tif"):
        path = save_picture(tmp_path / f"a.{suffix}", Image.fromarray(ramp))
        image_rgb = sampled(path)[0].image_rgb
        assert np.array_equal(image_rgb, np.repeat((ramp >> 8)[..., None], 3, axis=2))
    grey = (ramp >> 8).astype(np.uint8)
    path = save_picture(tmp_path / "b.png", Image.fromarray(grey))
    assert np.array_equal(sampled(path)[0].image_rgb[..., 1], grey)


def test_floating_point_picture_is_refused(tmp_path):
    path = save_picture(tmp_path / "a.tif", Image.fromarray(np.ones((9, 9), np.float32)))
    assert "32-bit pixels" in error_of(path)


def test_cmyk_picture(tmp_path):
    path = save_picture(
        tmp_path / "a.jpg", Image.fromarray(numbered_frame(77)).convert("CMYK"), quality=95
    )
    assert probe_media(path).pixel_format == "CMYK"
    assert read_number(sampled(path)[0].image_rgb) == 77
    assert is_upright(sampled(path)[0].image_rgb)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_picture_is_shown_on_white(tmp_path, mode):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, :4] = (60, 60, 60, 255)
    path = save_picture(tmp_path / "a.png", Image.fromarray(rgba).convert(mode))
    image_rgb = sampled(path)[0].image_rgb
    assert image_rgb[2, 1].tolist() == [60, 60, 60]
    assert image_rgb[2, 6].tolist() == [255, 255, 255]


def test_pages_of_a_scan_are_one_picture(tmp_path):
    pages = [Image.fromarray(frame) for frame in numbered_frames(3)]
    path = save_picture(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    assert probe_media(path).kind == "image"
    assert_numbered(sampled(path), [0])


@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_animation_that_cannot_be_read(tmp_path, suffix):
    pages = [Image.fromarray(frame) for frame in numbered_frames(3)]
    path = save_picture(tmp_path / f"a.{suffix}", pages[0], save_all=True, append_images=pages[1:])
    assert f"an animated {suffix.upper()} picture" in error_of(path)


def test_heic_picture_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    assert "is a HEIC picture" in error_of(path)


@pytest.mark.parametrize("suffix", ["ppm", "eps", "ico", "tga", "pdf"])
def test_other_kinds_are_not_even_tried(tmp_path, suffix):
    """Pillow knows dozens of kinds, some of them through other programs."""
    path = save_picture(tmp_path / f"a.{suffix}", Image.fromarray(numbered_frame(1)))
    assert "not a video or picture in a format that is read here" in error_of(path)


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0"))


@pytest.mark.parametrize(
    ("size", "says"),
    [((60_000, 60_000), "far more pixels"), ((9000, 10), "9000 x 10"), ((8100, 8100), "8100 x")],
)
def test_decompression_bomb_is_refused_undecoded(tmp_path, size, says, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png_of_size(*size))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    assert says in error_of(path)


def test_picture_file_that_is_too_large(tmp_path):
    path = save_picture(tmp_path / "a.png", Image.fromarray(numbered_frame(1)))
    assert "is too large" in error_of(path, MediaLimits(max_image_bytes=100))


@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_picture_file_that_is_too_large_is_not_read_into_memory(tmp_path, suffix, monkeypatch):
    """Pillow reads files of these kinds whole as soon as it opens them."""
    path = save_picture(tmp_path / f"a.{suffix}", Image.fromarray(numbered_frame(1)))
    monkeypatch.setattr("PIL.Image.open", lambda *args, **kwargs: pytest.fail("opened"))
    assert "is too large" in error_of(path, MediaLimits(max_image_bytes=100))


@pytest.mark.parametrize("where", ["PIL.Image.open", "PIL.ImageFile.ImageFile.load"])
def test_want_of_memory_is_not_taken_for_damage(tmp_path, where, monkeypatch):
    path = save_picture(tmp_path / "a.png", Image.fromarray(numbered_frame(1)))

    def no_memory(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(where, no_memory)
    with pytest.raises(MemoryError):
        sampled(path)


def test_what_is_decodable(tmp_path):
    path = save_picture(tmp_path / "a.png", Image.fromarray(numbered_frame(1)))
    data = path.read_bytes()
    assert is_decodable(data, MediaLimits())
    assert not is_decodable(data, MediaLimits(max_image_bytes=len(data) - 1))
    assert not is_decodable(data, MediaLimits(max_side_px=95))
    assert not is_decodable(png_of_size(60_000, 60_000), MediaLimits())
    assert not is_decodable(b"no picture" * 9, MediaLimits())


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_cut_off_picture(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save_picture(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "damaged or incomplete picture" in error_of(path)


def test_picture_that_is_replaced_after_probing(tmp_path):
    path = save_picture(tmp_path / "a.png", Image.fromarray(numbered_frame(1)))
    info = probe_media(path)
    assert isinstance(info, MediaInfo)
    write_video(tmp_path / "b.mp4", numbered_frames(3)).rename(path)
    with pytest.raises(MediaError, match="was changed"):
        list(iterate_sampled_frames(path, info, 1))
