"""The README's tree must not drift from what is there."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TREE = README[README.index("## What lies where") : README.index("## Licence")]
FLOORS = TREE[TREE.index("    7  cli/") :]
PACKAGE = re.compile(r"caddm_hf/[^/]+/")


def tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return done.stdout.split()


def test_every_package_and_program_is_in_the_tree():
    packages = {f"{path.split('/')[1]}/" for path in tracked() if PACKAGE.match(path)}
    programs = {path for path in tracked() if re.fullmatch(r"[^/]+\.py", path)}
    assert {name for name in packages | programs if f" {name} " not in TREE} == set()


def test_floors_are_those_of_the_import_rule():
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (one["layers"] for one in rules["contracts"] if one["type"] == "layers")
    floors: list[list[str]] = []
    for new, package in re.findall(r"^    (\d|  ?) +([a-z]+)/ ", FLOORS, flags=re.MULTILINE):
        if new.strip():
            floors.append([])
        floors[-1].append(package)
    assert floors == [layer.split(" | ") for layer in layers]


def test_everything_in_the_tree_is_there():
    names = set(re.findall(r"[\w/-]+\.(?:py|md|txt)", TREE))
    places = [ROOT, ROOT / "caddm_hf", ROOT / "data_scripts", ROOT / "docs"]
    gone = [name for name in names if not any((place / name).exists() for place in places)]
    assert gone == []
    for folder in ("data_scripts", "tests", "benchmarks", "docs", "caddm_hf/metrics/video_metrics"):
        assert (ROOT / folder).is_dir()


def test_the_two_commands_stand_as_promised():
    assert "pip install -r requirements.txt && python app.py" in README
    assert "pip install -r requirements-dev.txt && python -m pytest" in README


def test_pictures_exist():
    for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()
