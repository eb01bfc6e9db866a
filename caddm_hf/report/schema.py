"""The head of a report file, and the JSON Schema of report files: docs/report.schema.json.

The schema is derived from the classes of `video_report`. Regenerate it with

    python -m caddm_hf.report.schema > docs/report.schema.json
"""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from .face_pictures import FacePictures
from .fields import STRICT, Sentences
from .passages import Passage
from .verdicts import Thresholds
from .video_report import (
    REPORT_SCHEMA,
    REPORT_SCHEMA_VERSION,
    FaceScore,
    JudgedFile,
    MarkedBox,
    PersonReport,
    Provenance,
    VideoReport,
    report_adapter,
)

# Names of the parts in the published schema; other programs may refer to them.
PUBLISHED_NAMES = {
    FacePictures: "PicturesPart",
    FaceScore: "FramePart",
    JudgedFile: "FilePart",
    MarkedBox: "ArtifactBoxPart",
    Passage: "PassagePart",
    PersonReport: "PersonPart",
    Provenance: "ProvenancePart",
    Thresholds: "ThresholdsPart",
}


class ReportHead(BaseModel):
    """What shows whether a file is a report, and one that can be read."""

    model_config = STRICT

    schema_name: str | None = Field(None, alias="schema", max_length=100)
    schema_version: Annotated[int, Field(ge=1, le=2**31)] = 1
    error: str | None = None


class FileFields(BaseModel):
    """What a report file has beside the fields of a `VideoReport`."""

    model_config = STRICT

    schema_name: Literal[REPORT_SCHEMA] = Field(REPORT_SCHEMA, alias="schema")
    schema_version: Annotated[int, Field(ge=1, le=REPORT_SCHEMA_VERSION)] = 1
    limits: Sentences = Field(
        [], description="what such a result cannot say; for people, since version 2"
    )


def report_json_schema() -> dict:
    """The JSON Schema (2020-12) of a report file."""
    text = json.dumps(report_adapter().json_schema(by_alias=True))
    for part, name in PUBLISHED_NAMES.items():
        text = text.replace(f'"#/$defs/{part.__name__}"', f'"#/$defs/{name}"')
    schema = json.loads(text)
    parts = {part.__name__: part for part in PUBLISHED_NAMES}
    definitions = {}
    for name, definition in schema.pop("$defs").items():
        if part := parts.get(name):
            name = PUBLISHED_NAMES[part]
            definition |= {"title": name, "description": part.__doc__}
        definitions[name] = definition
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": definitions,
        **schema,
        "description": VideoReport.__doc__,
        "properties": schema["properties"]
        | FileFields.model_json_schema(by_alias=True)["properties"],
    }


if __name__ == "__main__":
    print(json.dumps(report_json_schema(), indent=2))
