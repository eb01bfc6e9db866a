"""The people of a report drawn on a frame: boxes with labels, heatmaps on the faces.

A report has the faces of the sampled frames only. Between two faces that are near in time and
place, box and heatmap are interpolated: the box moves evenly, the heatmap fades from one to the
other. Elsewhere the nearest sampled face is shown for a moment, then nothing is drawn. So boxes
between sampled frames are estimates, not measurements.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..core.formats import show_percent, show_time
from .figures import overlay_heatmap
from .verdicts import Verdict
from .video_report import FaceScore, PersonReport, VideoReport
from .words import VERDICT_WORDS

# Interpolate between faces that are at most this many seconds apart. In clips of up to 50 seconds
# all 32 frames are.
LONGEST_GAP_S = 1.6
LEAST_OVERLAP = 0.2  # of two boxes; less means a cut or a jump
HOLD_S = 0.4
COLOURS_RGB = {
    Verdict.FAKE: (255, 122, 80),
    Verdict.REAL: (72, 214, 190),
    Verdict.CANNOT_TELL: (205, 212, 222),
}
CAPTION_RGB = (235, 238, 243)
LABEL_FILL_RGB = (14, 18, 24)


@dataclass(frozen=True)
class PlacedFace:
    """A face at any moment, sampled or not.

    Attributes:
        box_xyxy: (4,) float64, pixels of the upright frame.
        nearest: the sampled face nearest in time.
        heatmap: (S, S) float32 in [0, 1], or None if the report has none.
        to_frame: (2, 3) matrix from crop to frame pixels; None without a heatmap.
    """

    box_xyxy: np.ndarray
    nearest: FaceScore
    heatmap: np.ndarray | None
    to_frame: np.ndarray | None


def place_face(person: PersonReport, time_s: float) -> PlacedFace | None:
    """Return a person's face at a moment, by the rules above; `None` if it is not known."""
    faces = person.faces
    after = bisect_right([face.time_s for face in faces], time_s)
    before, later = faces[max(after - 1, 0)], faces[min(after, len(faces) - 1)]
    nearest = min(before, later, key=lambda face: abs(face.time_s - time_s))
    gap_s = later.time_s - before.time_s
    if 0 < gap_s <= LONGEST_GAP_S and _overlap(before, later) >= LEAST_OVERLAP:
        share = (time_s - before.time_s) / gap_s
        if 0 <= share <= 1:
            return _between(before, later, share, nearest)
    if abs(nearest.time_s - time_s) > HOLD_S:
        return None
    return _between(nearest, nearest, 0.0, nearest)


def _between(one: FaceScore, other: FaceScore, share: float, nearest: FaceScore) -> PlacedFace:
    box = (1 - share) * np.array(one.box_xyxy) + share * np.array(other.box_xyxy)
    ways = [_way_to_frame(face) for face in (one, other)]
    if any(way is None for way in ways) or one.heatmap.shape != other.heatmap.shape:
        return PlacedFace(box, nearest, None, None)
    heatmaps = [face.heatmap.astype(np.float32) for face in (one, other)]
    return PlacedFace(
        box,
        nearest,
        (1 - share) * heatmaps[0] + share * heatmaps[1],
        (1 - share) * ways[0] + share * ways[1],
    )


def _way_to_frame(face: FaceScore) -> np.ndarray | None:
    """(2, 3) matrix from crop to frame; `None` without a heatmap or an invertible alignment."""
    if face.heatmap is None or face.alignment is None:
        return None
    if abs(np.linalg.det(face.alignment[:, :2])) < 1e-9:
        return None
    return cv2.invertAffineTransform(face.alignment)


def _overlap(one: FaceScore, other: FaceScore) -> float:
    """Intersection over union of two faces' boxes."""
    a, b = np.array(one.box_xyxy), np.array(other.box_xyxy)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    whole = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / whole if whole > 0 else 0.0


def draw_people(
    frame_rgb: np.ndarray,
    report: VideoReport,
    time_s: float,
    strength: float = 1.0,
    scale: float = 1.0,
) -> np.ndarray:
    """Draw all people known to be in a frame on a copy of the frame.

    Args:
        frame_rgb: (H, W, 3) uint8, upright.
        report: report on the video.
        time_s: time of the frame.
        strength: strength of the heatmaps, in [0, 1]; at 0 none is drawn.
        scale: size of `frame_rgb` relative to the frame in the video.

    Returns:
        (H, W, 3) uint8.
    """
    image_rgb = frame_rgb.copy()
    placed = [(person, place_face(person, time_s)) for person in report.people]
    placed = [(person, face) for person, face in placed if face is not None]
    if strength > 0:
        for _, face in placed:
            if face.heatmap is not None:
                _lay_heatmap(image_rgb, face.heatmap, _scaled(face.to_frame, scale), strength)
    for person, face in reversed(placed):  # the most suspicious last, on top
        _draw_box(image_rgb, face, person, report, scale)
    return image_rgb


def _scaled(to_frame: np.ndarray, scale: float) -> np.ndarray:
    """Scale the target of a matrix to a frame of another size; pixel centres stay centres."""
    matrix = scale * to_frame
    matrix[:, 2] += (scale - 1) / 2
    return matrix


def _lay_heatmap(
    image_rgb: np.ndarray, heatmap: np.ndarray, to_frame: np.ndarray, strength: float
) -> None:
    """Blend a crop's heatmap into the frame at the crop's place, in place."""
    side = heatmap.shape[0]
    corners = np.array([(0, 0), (side, 0), (0, side), (side, side)]) @ to_frame[:, :2].T
    corners += to_frame[:, 2]
    height, width = image_rgb.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(axis=0)), 0, (width, height)).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, (width, height)).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    local = to_frame.copy()
    local[:, 2] -= (x0, y0)
    warped = cv2.warpAffine(heatmap, local, (int(x1 - x0), int(y1 - y0)))
    region = image_rgb[y0:y1, x0:x1]
    region[:] = overlay_heatmap(region, warped, strength)


def _draw_box(
    image_rgb: np.ndarray,
    face: PlacedFace,
    person: PersonReport,
    report: VideoReport,
    scale: float,
) -> None:
    height, width = image_rgb.shape[:2]
    colour = COLOURS_RGB[person.judgement.verdict]
    thickness = max(1, round(min(height, width) / 240))
    # OpenCV would draw for ever if corners were far outside.
    x0, y0, x1, y1 = (
        np.clip(face.box_xyxy * scale, (-10, -10) * 2, (width + 10, height + 10) * 2)
        .round()
        .astype(int)
        .tolist()
    )
    cv2.rectangle(image_rgb, (x0, y0), (x1, y1), (0, 0, 0), thickness + 2)
    cv2.rectangle(image_rgb, (x0, y0), (x1, y1), colour, thickness)
    words = f"Person {person.id}: {VERDICT_WORDS[person.judgement.verdict].lower()}"
    if face.nearest.fake_probability is not None:
        words += f"\nscore here {show_percent(face.nearest.fake_probability)}"
    label = _text(words, _font_size(image_rgb), colour)
    above = y0 - thickness - label.shape[0]
    _paste(image_rgb, label, x0, above if above >= 0 else y1 + thickness + 1)


def draw_caption(image_rgb: np.ndarray, time_s: float, remark: str) -> None:
    """Write the time and a remark into the lower left corner, in place."""
    label = _text(f"{show_time(time_s)}   {remark}", _font_size(image_rgb), CAPTION_RGB)
    _paste(image_rgb, label, 0, image_rgb.shape[0] - label.shape[0])


def _font_size(image_rgb: np.ndarray) -> int:
    return max(11, round(min(image_rgb.shape[:2]) / 34))


@lru_cache(maxsize=256)
def _text(text: str, size: int, colour_rgb: tuple[int, int, int]) -> np.ndarray:
    """(h, w, 3) uint8: light text on a dark ground."""
    font = ImageFont.load_default(size)
    margin = max(2, size // 4)
    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font)
    picture = Image.new("RGB", (int(box[2]) + 2 * margin, int(box[3]) + 2 * margin), LABEL_FILL_RGB)
    ImageDraw.Draw(picture).multiline_text((margin, margin), text, colour_rgb, font)
    return np.asarray(picture)


def _paste(image_rgb: np.ndarray, label: np.ndarray, x: int, y: int) -> None:
    """Paste a label at a place, moved and cropped to stay inside the picture."""
    height, width = image_rgb.shape[:2]
    x = max(0, min(x, width - label.shape[1]))
    y = max(0, min(y, height - label.shape[0]))
    label = label[: height - y, : width - x]
    image_rgb[y : y + label.shape[0], x : x + label.shape[1]] = label
