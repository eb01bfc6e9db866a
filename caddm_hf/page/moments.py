"""The moments of a report as data for the page's script: the faces of each sampled frame.

With these data the browser draws boxes and heatmaps over its player at any strength, without
further requests to the server.
"""

import base64

import cv2
import numpy as np

from ..core.formats import show_percent, show_time
from ..report.figures import COLOUR_MAP, MOST_COVER, data_uri
from ..report.video_report import FaceScore, VideoReport

# Pictures are sent for this many of the most suspicious faces; each is about 12 kB.
MOST_PICTURES = 240
LAYER_SIDE_PX = 56  # side of the heatmap layer; browsers enlarge it smoothly
MOST_MARKS = 5  # artifact boxes drawn on a face, the most confident first


def heat_layer(heatmap: np.ndarray) -> np.ndarray:
    """Turn a heatmap into a separate layer; over its crop it looks like `overlay_heatmap`.

    Args:
        heatmap: (S, S) floating point in [0, 1].

    Returns:
        (LAYER_SIDE_PX, LAYER_SIDE_PX, 4) uint8, RGBA.
    """
    size = (LAYER_SIDE_PX, LAYER_SIDE_PX)
    values = cv2.resize(heatmap.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    values = np.clip(values, 0, 1)
    colours_bgr = cv2.applyColorMap((values * 255).round().astype(np.uint8), COLOUR_MAP)
    alpha = (values * (255 * MOST_COVER)).round().astype(np.uint8)
    return np.dstack([colours_bgr[..., ::-1], alpha])


def layer_uri(layer_rgba: np.ndarray) -> str:
    """(H, W, 4) uint8 as a `data:image/webp` address."""
    channels = cv2.cvtColor(layer_rgba, cv2.COLOR_RGBA2BGRA)
    encoded, data = cv2.imencode(".webp", channels, [cv2.IMWRITE_WEBP_QUALITY, 85])
    if not encoded:
        raise ValueError(f"a layer of shape {layer_rgba.shape} cannot be encoded as WebP")
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")


def moments_of(report: VideoReport) -> dict:
    """Return the script's data on each sampled frame with a face.

    Returns:
        `first`: the moment to show first; `moments`: in order of time, each with `time_s`,
        `shown_time` and `faces`. A face has `person`, `percent` (None if it is not judged),
        `box_xyxy` (pixels of the upright frame), `crop` and `heat` (addresses of pictures, or
        None), `side` (side of the crop in pixels), `matrix` (crop to frame, in the order of CSS:
        a b c d e f) and `marks` (artifact boxes in [0, 1] of the crop).
    """
    everything = [(person, face) for person in report.people for face in person.faces]
    pictured = [face for _, face in everything if face.has_pictures]
    pictured.sort(key=lambda face: -(face.fake_probability or 0.0))
    shown = {id(face) for face in pictured[:MOST_PICTURES]}
    frames: dict[int, dict] = {}
    for person, face in everything:
        moment = frames.setdefault(
            face.frame_index,
            {
                "time_s": round(face.time_s, 3),
                "shown_time": show_time(face.time_s),
                "faces": [],
            },
        )
        moment["faces"].append(_face(person.id, face, id(face) in shown))
    moments = [frames[index] for index in sorted(frames)]
    return {"first": _first(report, sorted(frames)), "moments": moments}


def _first(report: VideoReport, frame_indices: list[int]) -> int:
    """The most suspicious moment of the most suspicious person."""
    if not report.people:
        return 0
    return frame_indices.index(report.people[0].most_suspicious.frame_index)


def _face(person_id: int, face: FaceScore, pictured: bool) -> dict:
    values = {
        "person": person_id,
        "percent": None if face.fake_probability is None else show_percent(face.fake_probability),
        "box_xyxy": [round(value, 1) for value in face.box_xyxy],
        "marks": [
            [round(value, 4) for value in box.box_xyxy] for box in face.artifact_boxes[:MOST_MARKS]
        ],
        "crop": None,
        "heat": None,
        "side": 0,
        "matrix": None,
    }
    if pictured and face.alignment is not None:
        to_frame = cv2.invertAffineTransform(face.alignment.astype(np.float64))
        values |= {
            "crop": data_uri(face.crop_rgb, quality=80),
            "heat": layer_uri(heat_layer(face.heatmap)),
            "side": face.crop_rgb.shape[0],
            # Column by column, the order of CSS.
            "matrix": [round(float(value), 5) for value in to_frame.T.ravel()],
        }
    return values
