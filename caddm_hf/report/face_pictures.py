"""The pictures of one face, and their lossless form in a report file: PNG in Base64."""

import base64
import io
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field, GetPydanticSchema, ValidationInfo, model_validator
from pydantic_core import core_schema

MAX_PICTURES = 64
MAX_PICTURE_SIDE = 512
# 512 x 512 pixels of noise as PNG take 1 MiB in Base64.
MAX_PICTURE_CHARACTERS = 2**20 + 2**17
HALF_PRECISION_ONE = np.float16(1).view(np.uint16)


def picture_count() -> dict[str, int]:
    """A new context for validation that allows `MAX_PICTURES` faces with pictures."""
    return {"pictures": 0}


def png_base64(pixels: np.ndarray) -> str:
    """Encode (H, W, 3) uint8 RGB or (H, W) uint16 grey pixels as PNG in Base64."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")


def _pixels(encoded: str, mode: str) -> np.ndarray:
    """Decode a PNG of the given Pillow mode.

    Raises:
        ValueError: the PNG is damaged, of another mode or too large.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded)), formats=("PNG",)) as picture:
            fits = picture.mode == mode and max(picture.size) <= MAX_PICTURE_SIDE
            pixels = np.array(picture) if fits else None  # nothing is decoded before this
    except Exception as error:  # Pillow's readers raise many types for damaged files
        raise ValueError("a picture in the report is damaged") from error
    if pixels is None:
        raise ValueError(f"a picture in the report is not one of {mode} and of a face's size")
    return pixels


def _read_crop(encoded: str, info: ValidationInfo) -> np.ndarray:
    # Counted before decoding: thousands of small PNGs would fill the memory.
    info.context["pictures"] += 1
    if info.context["pictures"] > MAX_PICTURES:
        raise ValueError(f"the report holds pictures of more than {MAX_PICTURES} faces")
    return _pixels(encoded, "RGB")


def _read_heatmap(encoded: str, info: ValidationInfo) -> np.ndarray:
    if info.context["pictures"] > MAX_PICTURES:
        raise ValueError("the report holds too many pictures")
    bits = _pixels(encoded, "I;16").astype(np.uint16)
    if bits.max() > HALF_PRECISION_ONE:
        raise ValueError("a heatmap in the report has values outside [0, 1]")
    return bits.view(np.float16)


def _write_heatmap(heatmap: np.ndarray) -> str:
    return png_base64(np.clip(heatmap, 0, 1).astype(np.float16).view(np.uint16))


def _as_png(read, write) -> GetPydanticSchema:
    text = core_schema.str_schema(
        max_length=MAX_PICTURE_CHARACTERS, pattern=r"^[A-Za-z0-9+/]*={0,2}$"
    )
    written = core_schema.plain_serializer_function_ser_schema(write)
    return GetPydanticSchema(
        lambda _source, _handler: core_schema.with_info_after_validator_function(
            read, text, serialization=written
        )
    )


@dataclass(frozen=True)
class FacePictures:
    """The pictures of one face, as PNG in Base64."""

    # (S, S, 3) uint8, as the network saw it.
    crop_rgb: Annotated[
        np.ndarray,
        _as_png(_read_crop, png_base64),
        Field(
            alias="crop_png",
            description="the aligned face, 8-bit RGB, square, at most 512 a side",
        ),
    ]
    # (S, S) float16 in [0, 1], where the anchors see artifacts.
    heatmap: Annotated[
        np.ndarray,
        _as_png(_read_heatmap, _write_heatmap),
        Field(
            alias="heatmap_png",
            description="the heatmap on the crop, of its size, 16-bit grey: the bits of IEEE 754 "
            "half precision numbers in [0, 1]",
        ),
    ]

    @model_validator(mode="after")
    def _one_square(self):
        height, width = self.heatmap.shape
        if height != width or self.crop_rgb.shape[:2] != self.heatmap.shape:
            raise ValueError("a picture in the report is not that of a face and its heatmap")
        return self
