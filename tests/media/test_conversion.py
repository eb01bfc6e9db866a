"""caddm_hf.media.conversion: layout and colours, through whole files."""

import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from PIL import Image

from caddm_hf.media.frames import probe_media
from support.made_media import is_upright, numbered_frame, numbered_frames, write_video
from support.media_checks import assert_numbered, sampled


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation(tmp_path, rotation, mirrored):
    path = write_video(
        tmp_path / "a.mp4",
        numbered_frames(4, (64, 112)),
        rotation_degrees=rotation,
        mirrored=mirrored,
    )
    info = probe_media(path)
    assert (info.width, info.height, info.rotation_degrees) == (112, 64, rotation)
    frames = sampled(path)
    assert_numbered(frames, [0, 1, 2, 3])
    assert all(is_upright(frame.image_rgb) for frame in frames)
    assert {frame.image_rgb.shape for frame in frames} == {(64, 112, 3)}


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        # a, b, c, d of x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, 8.3.2)
        ((1, 0, 0, 1), lambda stored: stored),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((-1, 0, 0, -1), lambda stored: np.rot90(stored, 2)),
        ((0, 1, -1, 0), lambda stored: np.rot90(stored, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((0, 1, 1, 0), lambda stored: stored.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda stored: np.rot90(stored, 2).transpose(1, 0, 2)),
        ((0, 0, 0, 0), lambda stored: stored),  # not a layout at all
    ],
)
def test_display_matrix(tmp_path, matrix, shown):
    stored = numbered_frame(5, (64, 112))
    path = write_video(tmp_path / "a.mp4", [stored], rotation_degrees=90, pixel_format="yuv444p")
    data = bytearray(path.read_bytes())
    a, b, c, d = (value * 0x10000 for value in matrix)
    matrix_at = data.index(b"tkhd") + 44
    struct.pack_into(">9i", data, matrix_at, a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)

    expected = shown(np.rot90(stored))  # write_video stores the frame turned back
    image_rgb = sampled(path)[0].image_rgb
    assert image_rgb.shape == expected.shape
    assert np.abs(image_rgb.astype(int) - expected).mean() < 4


def test_pixels_that_are_not_square(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(3), pixel_aspect=Fraction(3, 2))
    info = probe_media(path)
    assert (info.width, info.height) == (144, 64)
    assert_numbered(sampled(path), [0, 1, 2])
    assert sampled(path)[0].image_rgb.shape == (64, 144, 3)


PATCHES_RGB = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (250, 250, 250)]


def patches() -> np.ndarray:
    return np.repeat(np.repeat([PATCHES_RGB], 64, axis=0), 32, axis=1).astype(np.uint8)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("colorspace", [Colorspace.ITU601, Colorspace.ITU709, Colorspace.BT2020])
def test_tagged_colours(tmp_path, colorspace, full_range):
    path = write_video(
        tmp_path / "a.mp4",
        [patches()],
        pixel_format="yuv444p",
        colorspace=colorspace,
        full_range=full_range,
        options={"qp": "0"},
    )
    image_rgb = sampled(path)[0].image_rgb
    assert np.abs(image_rgb.astype(int) - patches()).max() <= 3


def test_untagged_colours_are_those_of_opencv(tmp_path):
    path = write_video(tmp_path / "a.mp4", [patches()], options={"qp": "10"})
    read, image_bgr = cv2.VideoCapture(str(path)).read()
    assert read
    image_rgb = sampled(path)[0].image_rgb
    assert np.abs(image_rgb.astype(int) - image_bgr[..., ::-1]).max() <= 2


def test_hdr_is_mapped_to_sdr(tmp_path):
    """In PQ (SMPTE 2084) the code value 0.5 is 92 cd/m2: mid-grey code, but a bright picture."""
    path = write_video(
        tmp_path / "a.mp4",
        [np.full((64, 64, 3), 128, np.uint8)],
        pixel_format="yuv420p10le",
        colorspace=Colorspace.BT2020,
        options={"x264-params": "transfer=smpte2084:colorprim=bt2020"},
    )
    image_rgb = sampled(path)[0].image_rgb
    assert image_rgb.dtype == np.uint8
    assert 165 < image_rgb.mean() < 215
    assert np.ptp(image_rgb.mean(axis=(0, 1))) < 3


def test_transparent_video_is_shown_on_white(tmp_path):
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, :32] = (200, 30, 30, 255)
    rgba[:, 32:] = (0, 0, 0, 0)
    Image.fromarray(rgba).save(
        tmp_path / "a.png", save_all=True, append_images=[Image.fromarray(rgba[::-1] // 2)]
    )
    info = probe_media(tmp_path / "a.png")
    assert (info.kind, info.frame_count) == ("video", 2)
    image_rgb = sampled(tmp_path / "a.png")[0].image_rgb
    assert image_rgb[10, 10].tolist() == [200, 30, 30]
    assert image_rgb[10, 50].tolist() == [255, 255, 255]
