"""Converts decoded frames to upright 8-bit RGB with square pixels.

Colours are converted with the matrix and range that the frame is tagged with. Untagged frames
count as BT.601, limited range, as in FFmpeg and OpenCV. HDR video (PQ, HLG) is mapped to BT.709.
Transparent parts are shown on white.
"""

import math

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

HDR_CURVES = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
# A larger aspect ratio of a pixel means a damaged or hostile header, and is ignored.
LARGEST_PIXEL_ASPECT = 4


def displayed_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height as displayed: turned, and with square pixels by scaling one side up."""
    aspect = stream.sample_aspect_ratio or 1
    if not 1 / LARGEST_PIXEL_ASPECT <= aspect <= LARGEST_PIXEL_ASPECT:
        aspect = 1
    width = round(frame.width * max(aspect, 1))
    height = round(frame.height / min(aspect, 1))
    return (height, width) if display_matrix(frame)[0, 0] == 0 else (width, height)


def clockwise_degrees(frame: VideoFrame) -> int:
    """The clockwise turn from the stored to the displayed picture: 0, 90, 180 or 270.

    A mirrored picture counts as mirrored left to right first, then turned.
    """
    matrix = display_matrix(frame)
    # The direction of the stored downward axis, which mirroring left to right does not change.
    return round(math.degrees(math.atan2(-matrix[1, 0], matrix[1, 1]))) % 360


def display_matrix(frame: VideoFrame) -> np.ndarray:
    """The matrix from stored to displayed coordinates, without its shift.

    Returns:
        (2, 2) of -1, 0, 1: a stored point (x, y) is shown at (x, y) @ matrix, up to a shift.
        Other angles, which no camera writes, are rounded to quarter turns.
    """
    side_data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if side_data is None:
        return np.eye(2, dtype=int)
    # Nine 32-bit integers in the machine's byte order: a b u, c d v, x y w.
    a, b, _, c, d = np.frombuffer(bytes(side_data), dtype=np.int32)[:5].astype(float)
    if a * d - b * c == 0:
        return np.eye(2, dtype=int)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return np.diag([1 if a > 0 else -1, 1 if d > 0 else -1])
    return np.array([[0, 1 if b > 0 else -1], [1 if c > 0 else -1, 0]])


class UprightConverter:
    """Converts the frames of one video, and caches what is costly to set up."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        # Keyed by the rotation. Reading the side data of every frame would create a reference
        # cycle, and large frames would stay in memory until the garbage collector runs.
        self._matrices: dict[int, np.ndarray] = {}

    def upright_rgb(self, frame: VideoFrame, width: int, height: int) -> np.ndarray:
        """Convert one frame.

        Args:
            frame: as decoded.
            width: displayed width in pixels, the same for all frames of a video. A frame of
                another size (some recorders change it) is scaled, as players do.
            height: displayed height, likewise.

        Returns:
            (height, width, 3) uint8.

        Raises:
            av.FFmpegError: the frame's pixel format cannot be converted.
        """
        if frame.rotation not in self._matrices:
            self._matrices[frame.rotation] = display_matrix(frame)
        return _upright_rgb(frame, width, height, self._matrices[frame.rotation], self._reformatter)


def _upright_rgb(
    frame: VideoFrame,
    width: int,
    height: int,
    matrix: np.ndarray,
    reformatter: VideoReformatter,
) -> np.ndarray:
    turned = matrix[0, 0] == 0
    has_alpha = any(component.is_alpha for component in frame.format.components)
    to_sdr = {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
    image = reformatter.reformat(
        frame,
        width=height if turned else width,
        height=width if turned else height,
        format="rgba" if has_alpha else "rgb24",
        **(to_sdr if frame.color_trc in HDR_CURVES else {}),
    ).to_ndarray()
    if has_alpha:
        alpha = image[..., 3:].astype(np.uint16)
        image = ((image[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if turned:
        image = image.transpose(1, 0, 2)
    across, down = matrix.sum(axis=0)  # 1 or -1, the direction along each displayed axis
    return np.ascontiguousarray(image[::down, ::across])
