"""caddm_hf.dataset.lost_videos: the account that a preparation left, which may be a stranger's."""

import json
from pathlib import Path

import pytest

from caddm_hf.dataset import lost_videos as module
from caddm_hf.dataset.lost_videos import LostVideo, lost_videos
from caddm_hf.dataset.schema import FrameDataError

ACCOUNT = {
    "video_id": "a",
    "method": "swapper",
    "compression": "c23",
    "split": "test",
    "frames_kept": 0,
    "dropped": {"no_face": 3, "damaged_frame": 29},
}


def write(folder: Path, *accounts: object) -> str:
    lines = (a if isinstance(a, str) else json.dumps(a) for a in accounts)
    (folder / "videos.jsonl").write_text("\n".join(lines))
    return str(folder)


def test_videos_without_a_row(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        ACCOUNT,
        {**ACCOUNT, "video_id": "kept", "frames_kept": 3},
        {**ACCOUNT, "video_id": "b", "split": "train", "method": None, "dropped": {}},
    )
    lost = LostVideo("a", "swapper", "c23", "lost in preparation: damaged_frame")
    other = LostVideo("b", None, "c23", "lost in preparation: unreadable")
    assert lost_videos(name, "test") == [lost]
    assert lost_videos(name, "all") == [lost, other]


def test_no_account(tmp_path: Path) -> None:
    assert lost_videos(str(tmp_path), "all") == []
    assert lost_videos("not an id/of/the Hub", "all") == []


@pytest.mark.parametrize(
    "account",
    [
        "no JSON",
        "[" * 100_000,
        "7",
        "{}",
        {**ACCOUNT, "video_id": {"a": 1}},
        {**ACCOUNT, "video_id": "x" * 5000},
        {**ACCOUNT, "method": ["swapper"]},
        {**ACCOUNT, "compression": 23},
        {**ACCOUNT, "dropped": {"x" * 5000: 1}},
        {**ACCOUNT, "dropped": ["no_face"]},
        {**ACCOUNT, "dropped": {"a": "1", "b": 2}},
    ],
)
def test_damaged_account(tmp_path: Path, account: object) -> None:
    with pytest.raises(FrameDataError, match=r"'videos\.jsonl' of .* is damaged"):
        lost_videos(write(tmp_path, ACCOUNT, account), "all")


def test_account_beyond_the_limit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    with pytest.raises(FrameDataError, match="is damaged"):
        lost_videos(write(tmp_path, ACCOUNT), "all")
