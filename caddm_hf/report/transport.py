"""Convert reports to the JSON values and arrays that workers send, and back with checks.

A report file holds few pictures, as PNG; here every face keeps its crop and heatmap, bit for bit.
A malicious file may have taken over the worker that read it, so its messages are checked as
strictly as an untrusted report file.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from .face_pictures import MAX_PICTURE_SIDE, FacePictures
from .files import ReportError, checked_report
from .video_report import FaceScore, VideoReport

DAMAGED = "The worker returned pictures that are not those of the report's faces."


def report_to_data(report: VideoReport) -> dict[str, Any]:
    """Convert a report to JSON values and arrays.

    Returns:
        "report": as `VideoReport.to_dict`; "pictures": for each face with pictures, the
        positions of its person and of the face, the crop and the heatmap.
    """
    pictures = [
        [position, number, face.pictures.crop_rgb, face.pictures.heatmap]
        for position, person in enumerate(report.people)
        for number, face in enumerate(person.faces)
        if face.pictures is not None
    ]
    return {"report": report.to_dict(), "pictures": pictures}


def report_from_data(data: Any) -> VideoReport:
    """Return the report that `report_to_data` was called with.

    Raises:
        ReportError: `data` is not a report, or contradicts itself.
    """
    try:
        report = checked_report(json.dumps(data["report"]).encode())
        faces = [list(person.faces) for person in report.people]
        for position, number, crop_rgb, heatmap in data["pictures"]:
            faces[position][number] = _with_pictures(faces[position][number], crop_rgb, heatmap)
    except (TypeError, ValueError, LookupError) as error:
        raise error if isinstance(error, ReportError) else ReportError(DAMAGED) from error
    people = [replace(person, faces=own) for person, own in zip(report.people, faces, strict=True)]
    return replace(report, people=people)


def _with_pictures(face: FaceScore, crop_rgb: np.ndarray, heatmap: np.ndarray) -> FaceScore:
    side = len(crop_rgb)
    kinds = ((crop_rgb, (side, side, 3), np.uint8), (heatmap, (side, side), np.float16))
    for array, shape, dtype in kinds:
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
            raise ReportError(DAMAGED)
    if not 0 < side <= MAX_PICTURE_SIDE or not ((heatmap >= 0) & (heatmap <= 1)).all():
        raise ReportError(DAMAGED)
    return replace(face, pictures=FacePictures(crop_rgb, heatmap))
