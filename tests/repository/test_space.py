"""The block at the top of README.md makes the repository a Hugging Face Space.

What its keys may hold is taken from the Hub's Spaces configuration reference; the versions of
Python that ZeroGPU has from its ZeroGPU page.
"""

from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
KNOWN = {
    "title",
    "emoji",
    "colorFrom",
    "colorTo",
    "sdk",
    "sdk_version",
    "python_version",
    "app_file",
    "license",
    "short_description",
    "pinned",
}
LONGEST_DESCRIPTION = 60
ZERO_GPU_PYTHONS = ("3.10.13", "3.12.12")


@pytest.fixture
def space() -> dict:
    _, block, _ = (ROOT / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(block)


def requirements() -> dict[str, Requirement]:
    lines = [line.strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {requirement.name: requirement for requirement in found}


def test_every_key_is_known_and_holds_what_it_may(space):
    assert set(space) == KNOWN
    assert {space["colorFrom"], space["colorTo"]} <= COLOURS
    assert len(space["short_description"]) <= LONGEST_DESCRIPTION
    assert (space["sdk"], space["pinned"]) == ("gradio", False)
    assert (ROOT / space["app_file"]).is_file()


def test_its_versions_are_those_the_page_runs_with(space):
    assert requirements()["gradio"].specifier.contains(space["sdk_version"])
    # As text: YAML would take 3.10 for 3.1.
    assert space["python_version"] in ZERO_GPU_PYTHONS
    assert Version(space["python_version"]) >= Version("3.11")  # what README.md asks for


def test_what_a_space_installs_beside_goes_with_the_requirements():
    """A Space installs `gradio[oauth,mcp]`, whose tools for language models hold pydantic back."""
    assert requirements()["pydantic"].specifier.contains("2.12.5")
