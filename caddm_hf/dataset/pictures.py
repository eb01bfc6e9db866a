"""Pictures stored in rows: untrusted bytes, checked before they are decoded.

A file of a few kilobytes can declare gigabytes of pixels, and a row can contain a path to any file
of this machine instead of a picture.
"""

import io
from pathlib import Path

import cv2
import datasets
import numpy as np
from huggingface_hub.constants import HF_HUB_CACHE
from PIL import Image

from ..media.limits import MediaLimits
from ..media.pictures import PICTURE_FORMATS
from .schema import FrameDataError

LIMITS = MediaLimits()


def picture_bytes(picture: dict | None, name: str | None = None) -> bytes:
    """Return the encoded bytes of a picture.

    Args:
        picture: bytes and path, as from `datasets.Image(decode=False)`.
        name: of the row, for messages.

    Raises:
        FrameDataError: the row has no picture, a huge one, or a path outside the caches of
            `datasets` and the Hub client, which store the image files of datasets on the Hub.
    """
    if picture is None:
        raise FrameDataError(f"A row of video '{name}' has no picture.")
    data, path = picture.get("bytes"), picture.get("path")
    if data is None and isinstance(path, str) and _is_cached(path):
        file = Path(path)
        if file.is_file() and file.stat().st_size <= LIMITS.max_image_bytes:
            data = file.read_bytes()
    if not isinstance(data, bytes):
        raise FrameDataError(f"A picture of video '{name}' is not in the collection itself.")
    if len(data) > LIMITS.max_image_bytes:
        raise FrameDataError(f"A picture of video '{name}' is a file of {len(data):,} bytes.")
    return data


def _is_cached(path: str) -> bool:
    try:
        place = Path(path).resolve()
    except (OSError, ValueError):
        return False
    caches = (HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE)
    return any(place.is_relative_to(Path(cache).resolve()) for cache in caches)


def decode_picture(picture, name: str | None = None) -> np.ndarray:
    """Decode a picture of a row to (H, W, 3) uint8 RGB.

    Args:
        picture: a PIL image, or bytes and path, as from `Image(decode=False)`.
        name: of the row, for messages.

    Raises:
        FrameDataError: the picture cannot be decoded, or has too many pixels.
    """
    if picture is not None and not isinstance(picture, dict):
        return np.asarray(picture.convert("RGB"))
    data = picture_bytes(picture, name)
    try:
        # `open` reads only the header.
        width, height = Image.open(io.BytesIO(data), formats=PICTURE_FORMATS).size
    except Image.DecompressionBombError:
        width = height = LIMITS.max_side_px + 1
    except Exception as error:  # damaged files make Pillow raise many types
        raise FrameDataError(f"A picture of video '{name}' cannot be decoded.") from error
    if max(width, height) > LIMITS.max_side_px or width * height > LIMITS.max_image_pixels:
        raise FrameDataError(f"A picture of video '{name}' has far more pixels than can be read.")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise FrameDataError(f"A picture of video '{name}' cannot be decoded.")
    return image
