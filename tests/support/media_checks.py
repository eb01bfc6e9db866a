"""What the tests of media reading check over and over."""

from pathlib import Path

import pytest

from caddm_hf.media.frames import SampledFrame, iterate_sampled_frames, probe_media
from caddm_hf.media.limits import MediaError, MediaLimits
from support.made_media import read_number


def sampled(
    path: Path, wanted: int = 1000, limits: MediaLimits = MediaLimits()
) -> list[SampledFrame]:
    """Probes and reads a file."""
    return list(iterate_sampled_frames(path, probe_media(path, limits), wanted, limits))


def assert_numbered(frames: list[SampledFrame], indices: list[int]) -> None:
    """Each frame has the index it should have, and is the one with that number in it."""
    assert [frame.index for frame in frames] == indices
    assert [read_number(frame.image_rgb) for frame in frames] == indices


def error_of(path: Path, limits: MediaLimits = MediaLimits()) -> str:
    """The message a file is refused with, which is one sentence and names no folder."""
    with pytest.raises(MediaError) as caught:
        sampled(path, limits=limits)
    message = str(caught.value)
    assert path.name in message
    assert str(path.parent) not in message
    assert message.endswith(".")
    assert "\n" not in message
    return message
