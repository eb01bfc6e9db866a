"""Downloads of `media.download` in tests."""

import pytest

from caddm_hf.media.download import local_media
from caddm_hf.media.limits import MediaError, MediaLimits


def download_error(address: str, *, private: bool = True, limits=MediaLimits(), **options) -> str:
    """Why nothing is downloaded, in one sentence."""
    with (
        pytest.raises(MediaError) as caught,
        local_media(address, limits, allow_private_addresses=private, **options),
    ):
        pytest.fail("was downloaded")
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def fetch(address: str, **options) -> bytes:
    """What is downloaded."""
    with local_media(address, allow_private_addresses=True, **options) as path:
        return path.read_bytes()
