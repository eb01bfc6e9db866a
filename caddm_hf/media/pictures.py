"""Reads still pictures (JPEG, PNG, WebP, BMP, TIFF, AVIF, single-frame GIF) as upright RGB.

Transparent parts are shown on white, 16-bit grey is scaled to 8 bits, CMYK and palettes are
converted, and the EXIF orientation is applied. Only the first page of a TIFF is read.
"""

import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .limits import MediaError, MediaInfo, MediaLimits, check_bytes, check_pixels
from .names import shown_name

PICTURE_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
# Formats whose further pictures make an animation. In other formats they are ignored (phones
# append a second picture to a JPEG, scanners write many pages into a TIFF).
ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")
ANIMATIONS_FFMPEG_READS = ("GIF", "PNG")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
EXIF_ORIENTATION = 0x0112
CLOCKWISE_BY_ORIENTATION = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}


def open_picture(file: BinaryIO, path: Path, limits: MediaLimits) -> Image.Image | None:
    """Recognise a picture by its content and check its size, without decoding it.

    Args:
        file: open at its start; must stay open until the picture is decoded.
        path: the file's name in messages.
        limits: what the picture may cost.

    Returns:
        the picture; None if the file is no picture, or an animation that FFmpeg can read.

    Raises:
        MediaError: the file is a picture that cannot be used.
    """
    file_bytes = os.fstat(file.fileno()).st_size
    try:
        head = file.read(12)
        file.seek(0)
    except OSError as error:
        raise MediaError(f"{shown_name(path)} cannot be read: {error.strerror}.") from None
    if head[4:] in {b"ftyp" + brand for brand in HEIF_BRANDS}:
        # FFmpeg would read it as a video of the tiles that the picture consists of.
        raise MediaError(f"{shown_name(path)} is a HEIC picture: save it as JPEG or PNG.")
    if head[8:] == b"WEBP" or head[4:] in {b"ftyp" + brand for brand in AVIF_BRANDS}:
        # Pillow reads such a file into memory when it opens it.
        check_bytes(shown_name(path), file_bytes, limits.max_image_bytes)
    try:
        picture = Image.open(file, formats=PICTURE_FORMATS)
        animated = picture.format in ANIMATED_FORMATS and getattr(picture, "is_animated", False)
    except UnidentifiedImageError:
        return None
    except Image.DecompressionBombError:
        raise MediaError(f"{shown_name(path)} has far more pixels than can be read.") from None
    except MemoryError:  # handled by the caller: the file need not be damaged
        raise
    except Exception as error:  # Pillow's readers raise many types for damaged files
        raise _damaged(path) from error
    if animated and picture.format in ANIMATIONS_FFMPEG_READS:
        return None
    if animated:
        raise MediaError(
            f"{shown_name(path)} is an animated {picture.format} picture: save it as MP4 or GIF."
        )
    check_bytes(shown_name(path), file_bytes, limits.max_image_bytes)
    check_pixels(path, *picture.size, limits.max_side_px, limits.max_image_pixels)
    return picture


def is_decodable(data: bytes, limits: MediaLimits) -> bool:
    """Whether bytes begin like a picture within the limits on size, without decoding it."""
    if len(data) > limits.max_image_bytes:
        return False
    try:
        with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
            check_pixels(Path(), *picture.size, limits.max_side_px, limits.max_image_pixels)
    except MemoryError:
        raise
    except Exception:  # Pillow's readers raise many types; `check_pixels` raises MediaError
        return False
    return True


def picture_rgb(picture: Image.Image, path: Path) -> np.ndarray:
    """Decode a picture.

    Returns:
        (H, W, 3) uint8, upright.

    Raises:
        MediaError: the picture is damaged, cut off, or has 32-bit pixels of an unknown range.
    """
    try:
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I;16"):  # convert() would cut at 255 instead of scaling
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        if picture.has_transparency_data:
            rgba = picture.convert("RGBA")
            picture = Image.new("RGB", rgba.size, "white")
            picture.paste(rgba, mask=rgba.getchannel("A"))
        image_rgb = np.asarray(picture.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise _damaged(path) from error
    if picture.mode in ("I", "F"):
        raise MediaError(f"{shown_name(path)} has 32-bit pixels: save it as 8-bit PNG or JPEG.")
    return image_rgb


def describe_picture(picture: Image.Image, path: Path) -> MediaInfo:
    """Decode a picture, and return facts about it.

    Raises:
        MediaError: as `picture_rgb`.
    """
    container, pixel_format = picture.format, picture.mode
    try:
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise _damaged(path) from error
    height, width = picture_rgb(picture, path).shape[:2]
    return MediaInfo(
        kind="image",
        container=container,
        codec=container.lower(),
        pixel_format=pixel_format,
        width=width,
        height=height,
        rotation_degrees=CLOCKWISE_BY_ORIENTATION.get(orientation, 0),
        frame_count=1,
        frame_rate=None,
        duration_s=0.0,
        start_s=0.0,
        has_audio=False,
        missing_frames=0,
        file_bytes=path.stat().st_size,
    )


def _damaged(path: Path) -> MediaError:
    return MediaError(f"{shown_name(path)} is a damaged or incomplete picture.")
