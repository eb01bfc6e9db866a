"""Pictures stored in rows: bytes from outside, checked before they are decoded.

A few kilobytes can claim gigabytes of pixels, and a path instead of a picture can name any file
of this machine.
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
    """The file of a picture.

    Args:
        picture: what `datasets.Image(decode=False)` gives: bytes and path.
        name: names the row in messages.

    Raises:
        FrameDataError: the row has no picture, a huge one, or a path outside the caches of the
            Hub's libraries, where image files of a dataset on the Hub are kept.
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
    """A picture as `datasets` gives it -> (H, W, 3) uint8 RGB.

    Args:
        picture: a PIL image, or what `Image(decode=False)` gives: bytes and path.
        name: names the row in messages.

    Raises:
        FrameDataError: it cannot be decoded, or has more pixels than a picture may have.
    """
    if picture is not None and not isinstance(picture, dict):
        return np.asarray(picture.convert("RGB"))
    data = picture_bytes(picture, name)
    try:
        # Opening reads the header only.
        width, height = Image.open(io.BytesIO(data), formats=PICTURE_FORMATS).size
    except Image.DecompressionBombError:
        width = height = LIMITS.max_side_px + 1
    except Exception as error:  # Pillow's readers raise whatever a damaged file provokes
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
