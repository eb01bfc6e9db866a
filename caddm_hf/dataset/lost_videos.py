"""Videos that data preparation lost. They have no row, but figures must count them as failures.

`data_scripts/build_frame_dataset.py` writes `videos.jsonl` beside the rows, one line of JSON for
each video with its outcome. A video of which no frame was kept is lost.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from ..core.hub_ids import HUB_ID
from .schema import FrameDataError

ACCOUNTS_FILE = "videos.jsonl"
MOST_BYTES = 256 * 2**20  # half a million videos
LONGEST_NAME = 1000
LOST = "lost in preparation"  # followed by ": " and the reason


@dataclass(frozen=True)
class LostVideo:
    """A video of the dataset without a row; `method` is None if it is genuine."""

    video_id: str
    method: str | None
    compression: str | None
    reason: str


def lost_videos(name: str, split: str) -> list[LostVideo]:
    """Return the lost videos of a split; none if the collection has no `videos.jsonl`.

    Args:
        name: folder of a collection, or its id on the Hub.
        split: as in `videos.jsonl`, or "all".

    Raises:
        FrameDataError: `videos.jsonl` is damaged.
    """
    path = _accounts_path(name)
    if path is None:
        return []
    lost = []
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError
        for line in path.read_text().splitlines():
            account = json.loads(line)
            if account["frames_kept"] or split not in ("all", account["split"]):
                continue
            dropped = account["dropped"]
            reason = max(dropped, key=dropped.get) if dropped else "unreadable"
            lost.append(
                LostVideo(
                    video_id=_text(account["video_id"]),
                    method=None if account["method"] is None else _text(account["method"]),
                    compression=(
                        None if account["compression"] is None else _text(account["compression"])
                    ),
                    reason=f"{LOST}: {_text(reason)}",
                )
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FrameDataError(f"'{ACCOUNTS_FILE}' of '{name}' is damaged.") from None
    return lost


def _text(value: object) -> str:
    """Return `value` if it is a string of limited length, else raise TypeError."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise TypeError
    return value


def _accounts_path(name: str) -> Path | None:
    if Path(name).exists():
        path = Path(name) / ACCOUNTS_FILE
        return path if path.is_file() else None
    if not HUB_ID.fullmatch(name):
        return None
    try:
        return Path(hf_hub_download(name, ACCOUNTS_FILE, repo_type="dataset"))
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None
    except Exception as error:  # the Hub client raises many types
        raise FrameDataError(f"'{ACCOUNTS_FILE}' of '{name}' cannot be fetched.") from error
