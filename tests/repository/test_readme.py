"""The README's tree must not drift from what is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TREE = README[README.index("## What lies where") : README.index("## Licence")]


def tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return done.stdout.split()


def test_every_module_is_in_the_tree():
    missing = [
        path
        for path in tracked()
        if re.fullmatch(r"(?:caddm_hf|data_scripts)/[^/]+\.py|[^/]+\.py", path)
        and not path.endswith("__init__.py")
        and not re.search(rf"(?<![\w/]){re.escape(Path(path).name)}", TREE)
    ]
    assert missing == []


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
