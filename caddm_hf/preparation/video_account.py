"""The account of each video, and its rows."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

PICTURES = ("image", "source_image")


@dataclass
class VideoAccount:
    """The account of one video. `frames_wanted` is the sum of `frames_kept` and all `dropped`.

    Attributes:
        video_id, path, split, method, compression: as in the record.
        frames_wanted: number of frames requested.
        frames_kept: number of rows made.
        dropped: reason -> frames. "short_video": the video has fewer; "damaged_frame": they
            cannot be decoded; "no_face"; "other_person": only another person's face;
            "damaged_video".
        twins_kept: rows with a genuine twin.
        twins_dropped: reason -> rows of a fake. "no_source": the genuine video is unknown or
            missing; "damaged_source": the video cannot be decoded; "past_end": the video is too
            short; "no_frame": the frame is damaged or missing; "other_size"; "other_moment".
        failure: a sentence on why no row could be made.
        digest: SHA-256 of the rows.
    """

    video_id: str
    path: str
    split: str
    method: str | None
    compression: str | None
    frames_wanted: int
    frames_kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    twins_kept: int = 0
    twins_dropped: dict[str, int] = field(default_factory=dict)
    failure: str | None = None
    digest: str = hashlib.sha256().hexdigest()

    def to_dict(self) -> dict:
        """Return JSON values."""
        return asdict(self)


@dataclass
class VideoRows:
    """The rows of one video, `FRAME_FEATURES` of `dataset.frame_table` with undecoded pictures."""

    account: VideoAccount
    rows: list[dict]


def rows_digest(rows: Sequence[dict]) -> str:
    """SHA-256 of everything in rows, pictures undecoded; equal rows give equal digests."""
    digest = hashlib.sha256()
    for row in rows:
        rest = {name: value for name, value in row.items() if name not in PICTURES}
        digest.update(json.dumps(rest, sort_keys=True).encode())
        for name in PICTURES:
            digest.update(hashlib.sha256(row[name]["bytes"]).digest() if row[name] else b"-")
    return digest.hexdigest()
