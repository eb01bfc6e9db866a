"""Types and bounds of a report's fields.

A report file is untrusted, so every text, number and list has a bound.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

# JSON types without conversion, finite numbers only; unknown fields are ignored.
STRICT = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")

Probability = Annotated[float, Field(ge=0, le=1)]
Coordinate = Annotated[float, Field(ge=-1e7, le=1e7)]
Seconds = Annotated[float, Field(ge=0, le=1e6)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Name = Annotated[str, Field(max_length=8192)]
Sentence = Annotated[str, Field(max_length=2000)]
Sentences = Annotated[list[Sentence], Field(max_length=100)]
Key = Annotated[str, Field(max_length=100)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Plain = bool | Whole | float | Annotated[str, Field(max_length=1000)] | None
PlainMap = Annotated[dict[Key, Plain], Field(max_length=100)]
Corners = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
CropCorners = tuple[Probability, Probability, Probability, Probability]
MatrixRow = tuple[Coordinate, Coordinate, Coordinate]
