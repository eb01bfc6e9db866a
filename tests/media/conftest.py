"""Fixtures of the tests of downloads."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.made_server import Server, running_server


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def temporary_root(tmp_path, monkeypatch) -> Iterator[Path]:
    """Downloads go below this folder, and nothing may stay in it."""
    root = tmp_path / "temporary"
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    yield root
    assert list(root.iterdir()) == []
