"""Write report files with the most relevant pictures; read them as untrusted input.

A report file shows the result again without the video: all numbers, and the pictures of the faces
that are shown first, without loss. docs/report.md describes the format.
"""

import io
import json
import os
import zipfile
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..core.errors import UserError
from ..media.files import open_media_file
from ..media.limits import MediaError
from ..media.names import shown_name
from .face_pictures import MAX_PICTURE_SIDE, FacePictures, picture_count
from .gallery import most_suspicious_faces
from .schema import FileFields, ReportHead
from .video_report import (
    REPORT_SCHEMA,
    REPORT_SCHEMA_VERSION,
    FaceScore,
    VideoReport,
    report_adapter,
    without_unjudged_numbers,
)
from .words import LIMITS

MAX_REPORT_BYTES = 24 * 2**20
# JSON is parsed completely before it is checked. Numbers and lists are many times larger in memory
# than in the file; a full report has no more of them than this.
MAX_VALUES = 1_500_000
PEOPLE_WITH_PICTURES = 24
FACES_WITH_PICTURES = 12
MAX_PICTURE_BYTES = 12 * 2**20  # in Base64, of all pictures of a report
REPORT_NAME = "report.json"  # in an evidence file
ZIP_START = b"PK\x03\x04"


class ReportError(UserError):
    """A report that cannot be read or written; the message is one sentence for a person."""


# --- writing ------------------------------------------------------------------------------------


def report_bytes(report: VideoReport) -> bytes:
    """A report file: UTF-8 JSON of `VideoReport.to_dict()`, pictures and limits.

    Pictures are included for the most suspicious face of each of the first
    `PEOPLE_WITH_PICTURES` people, and for the `FACES_WITH_PICTURES` most suspicious faces.

    Raises:
        ReportError: the report is too large for a file, or damaged.
    """
    whole = report.to_dict()
    frames = {
        (person.id, face.frame_index): frame
        for person, part in zip(report.people, whole["people"], strict=True)
        for face, frame in zip(person.faces, part["frames"], strict=True)
    }
    left = MAX_PICTURE_BYTES
    for person_id, face in _faces_with_pictures(report):
        pictures = _pictures_adapter().dump_python(face.pictures, mode="json", by_alias=True)
        left -= sum(len(picture) for picture in pictures.values())
        if left < 0:
            break
        frames[person_id, face.frame_index]["pictures"] = pictures
    people = whole.pop("people")  # last, so that the summary comes before the long part
    whole |= {"limits": list(LIMITS), "people": people}
    try:
        text = json.dumps(whole, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ReportError(f"This result cannot be written as a report: {error}.") from error
    # File names can contain lone surrogates, which UTF-8 cannot encode.
    data = text.encode("utf-8", "replace")
    if len(data) > MAX_REPORT_BYTES or data.count(b",") > MAX_VALUES:
        raise ReportError(
            "This result has too many faces for a report file: check the video with fewer frames."
        )
    checked_report(data)  # so that every written report can be read
    return data


def _faces_with_pictures(report: VideoReport) -> list[tuple[int, FaceScore]]:
    """The faces to store with pictures, without repetition, in the order of display."""
    wanted = [(person.id, person.most_suspicious) for person in report.people]
    wanted = wanted[:PEOPLE_WITH_PICTURES]
    wanted += [
        (found.person_id, found.face)
        for found in most_suspicious_faces(report, FACES_WITH_PICTURES)
    ]
    once = {(person_id, face.frame_index): face for person_id, face in wanted}
    return [
        (person_id, face)
        for (person_id, _), face in once.items()
        if face.pictures and max(face.pictures.crop_rgb.shape) <= MAX_PICTURE_SIDE
    ]


@cache
def _pictures_adapter() -> TypeAdapter:
    return TypeAdapter(FacePictures)


# --- reading ------------------------------------------------------------------------------------


def read_report(path: str | os.PathLike) -> VideoReport:
    """Read a report file, or the report in an evidence file.

    A report proves nothing: anybody can write one. Its values are checked to be within bounds
    and consistent.

    Args:
        path: JSON, or a zip with `report.json`; of schema version 1 or 2.

    Raises:
        ReportError: the file cannot be used; the message is one sentence.
    """
    path = Path(path)
    try:
        with open_media_file(path, MAX_REPORT_BYTES) as file:
            data = file.read()
    except MediaError as error:
        raise ReportError(str(error)) from None
    except OSError as error:
        raise ReportError(f"{shown_name(path)} cannot be read: {error.strerror}.") from None
    if data.startswith(ZIP_START):
        data = _unpacked(data, shown_name(path))
    if data.count(b",") > MAX_VALUES:
        raise ReportError(f"{shown_name(path)} holds more values than any report has.")
    return checked_report(data, shown_name(path))


def _unpacked(data: bytes, name: str) -> bytes:
    """Read the report in an evidence file, up to the size limit of reports."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(REPORT_NAME) as file:
            report = file.read(MAX_REPORT_BYTES + 1)
    except KeyError:
        raise ReportError(f"{name} is no evidence file: it holds no {REPORT_NAME}.") from None
    except Exception as error:  # zipfile raises many types for damaged archives
        raise ReportError(f"{name} is damaged: it cannot be unpacked.") from error
    if len(report) > MAX_REPORT_BYTES:
        raise ReportError(f"The report in {name} is larger than any report is.")
    return report


def checked_report(data: bytes, name: str = "This result") -> VideoReport:
    """Parse and check the JSON of a report file.

    Args:
        data: UTF-8 JSON.
        name: name of the report in messages.

    Raises:
        ReportError: the report cannot be used; the message is one sentence.
    """
    try:
        head = ReportHead.model_validate_json(data)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise ReportError(f"{name} is not a JSON file, or a damaged one.") from None
        raise ReportError(f"{name} is not a report of this program.") from None
    if head.error is not None:
        raise ReportError(f"{name} is no report: the file it is about could not be read.")
    # Reports of version 1 do not name their schema.
    if head.schema_name != REPORT_SCHEMA and not (head.schema_name is None and b'"people"' in data):
        raise ReportError(f"{name} is not a report of this program.")
    if head.schema_version > REPORT_SCHEMA_VERSION:
        raise ReportError(
            f"{name} is a report of version {head.schema_version}, and this program reads versions "
            f"up to {REPORT_SCHEMA_VERSION}: open it with a newer one."
        )
    try:
        FileFields.model_validate_json(data)
        report = report_adapter().validate_json(data, context=picture_count())
    except ValidationError as error:
        raise ReportError(f"{name} is a damaged report: {_first_fault(error)}.") from None
    return without_unjudged_numbers(report)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in fault["loc"])[:100]
    said = fault["msg"].removeprefix("Value error, ").rstrip(".")[:150]
    return f"{place}: {said}" if place else said
