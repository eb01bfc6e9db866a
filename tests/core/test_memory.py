"""Weights that are let go of keep their values, and their memory goes back to the system."""

import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from caddm_hf.core.memory import page_out

COUNT = 4_000_000


def resident_kib(path: Path) -> int:
    """How much of a mapped file is in this process's memory."""
    sections = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    of_file = [section for section in sections if str(path) in section]
    return sum(int(re.search(r"Rss:\s+(\d+)", section)[1]) for section in of_file)


def test_values_stay_as_they_are(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.arange(COUNT).float(), "b": torch.ones(COUNT)}, path)
    mapped = load_file(path)
    mapped["a"][:1000] = -1.0  # changed since it was loaded: not in the file
    own = torch.full((COUNT,), 3.0)
    page_out([*mapped.values(), own, torch.empty(0), torch.empty(5, device="meta")])
    assert mapped["a"][:1000].eq(-1.0).all()
    assert torch.equal(mapped["a"][1000:], torch.arange(1000, COUNT).float())
    assert mapped["b"].eq(1).all()
    assert own.eq(3).all()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is let go of")
def test_a_mapped_file_leaves_memory_and_comes_back(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(COUNT)}, path)
    mapped = load_file(path)
    assert mapped["a"].sum() == COUNT
    before = resident_kib(path)
    page_out(mapped.values())
    assert resident_kib(path) < before / 10
    assert mapped["a"].sum() == COUNT
    assert resident_kib(path) == before
