"""Makes the page's examples: a clip and a picture, each genuine and with a swapped region.

Everything comes from one portrait, `skimage.data.astronaut()`: Eileen Collins in a photograph
by NASA, released into the public domain, with no known copyright restrictions; scikit-image
ships it. The swap is deliberately harmless and crude: mouth and chin are mirrored, softened and
tinted, which leaves the kind of traces that the detector looks for.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image
from skimage.data import astronaut

CLIP_SIDE_PX = 480
CLIP_FPS = 25
CLIP_FRAMES = 50
# Place of the face on the portrait, in pixels: its axis, and the centre and half-axes of the
# swapped region, from the tip of the nose to the chin.
FACE_AXIS_X = 225.0
SWAPPED_MIDDLE_XY = (225, 138)
SWAPPED_HALF_AXES_XY = (26, 20)
SWAPPED_TILT_DEGREES = 3
# The camera's path over the portrait: centre and magnification at start and end. The face is 165
# to 195 pixels high.
START = (218.0, 162.0, 1.5)
END = (240.0, 138.0, 1.75)


def swapped_portrait(portrait_rgb: np.ndarray) -> np.ndarray:
    """The portrait with its lower face mirrored and tinted, behind a soft mask.

    Args:
        portrait_rgb: (512, 512, 3) uint8, the astronaut.
    """
    height, width = portrait_rgb.shape[:2]
    # x becomes 2 * axis - x: the reflection about the face's own axis.
    mirror = np.array([[-1, 0, 2 * FACE_AXIS_X], [0, 1, 0]], np.float32)
    mirrored = cv2.warpAffine(portrait_rgb, mirror, (width, height), flags=cv2.INTER_LINEAR)
    mirrored = cv2.GaussianBlur(mirrored, (0, 0), 1.5).astype(np.float32)
    tinted = mirrored * np.array([1.06, 0.94, 0.86], np.float32) + 4
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(
        mask,
        SWAPPED_MIDDLE_XY,
        SWAPPED_HALF_AXES_XY,
        SWAPPED_TILT_DEGREES,
        0,
        360,
        1.0,
        -1,
    )
    mask = cv2.GaussianBlur(mask, (0, 0), 2.5)[..., None]
    blended = mask * tinted + (1 - mask) * portrait_rgb
    return blended.clip(0, 255).round().astype(np.uint8)


def _camera_frames(portrait_rgb: np.ndarray) -> Iterator[np.ndarray]:
    """(CLIP_SIDE_PX, CLIP_SIDE_PX, 3) uint8 frames of a slow pan and zoom."""
    half = CLIP_SIDE_PX / 2
    for step in np.linspace(0, 1, CLIP_FRAMES):
        eased = step * step * (3 - 2 * step)
        x, y, zoom = (1 - eased) * np.array(START) + eased * np.array(END)
        matrix = np.array([[zoom, 0, half - zoom * x], [0, zoom, half - zoom * y]])
        yield cv2.warpAffine(
            portrait_rgb,
            matrix,
            (CLIP_SIDE_PX, CLIP_SIDE_PX),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )


def _write_clip(path: Path, portrait_rgb: np.ndarray) -> None:
    # Without "cpu-independent" x264's fast code gives slightly different files on the same input.
    options = {"crf": "20", "preset": "veryfast", "x264-params": "cpu-independent=1"}
    with av.open(path, "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS, options=options)
        stream.width = stream.height = CLIP_SIDE_PX
        stream.pix_fmt = "yuv420p"
        for frame_rgb in _camera_frames(portrait_rgb):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame_rgb, format="rgb24")))
        container.mux(stream.encode())


def _write_picture(path: Path, portrait_rgb: np.ndarray) -> None:
    Image.fromarray(portrait_rgb).save(path, quality=92)


def make_examples(folder: Path) -> dict[str, Path]:
    """Write the four examples; the same input gives the same pictures every time.

    Args:
        folder: created if missing; files in it are overwritten.

    Returns:
        paths by name: `genuine_clip`, `swapped_clip` (2 s of H.264), `genuine_picture` and
        `swapped_picture` (JPEG).
    """
    folder.mkdir(parents=True, exist_ok=True)
    genuine = astronaut()
    examples = {}
    for name, portrait_rgb in (("genuine", genuine), ("swapped", swapped_portrait(genuine))):
        examples[f"{name}_clip"] = folder / f"{name}_clip.mp4"
        _write_clip(examples[f"{name}_clip"], portrait_rgb)
        examples[f"{name}_picture"] = folder / f"{name}_picture.jpg"
        _write_picture(examples[f"{name}_picture"], portrait_rgb)
    return examples
