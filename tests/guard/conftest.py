"""Fixtures of the tests of workers."""

from pathlib import Path

import pytest


@pytest.fixture
def temporary_root(tmp_path, monkeypatch) -> Path:
    """The folder in which pools make theirs."""
    root = tmp_path / "temporary"
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    return root
