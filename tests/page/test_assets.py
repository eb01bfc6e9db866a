"""caddm_hf.page.assets: HTML, CSS and JavaScript are files, and an installed package has them."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from caddm_hf.page.assets import new_file_script, page_css, show_verdict_script, static

ROOT = Path(__file__).resolve().parents[2]
WEB_PACKAGES = [ROOT / "caddm_hf" / name for name in ("page", "report")]
ASSETS = [
    path
    for package in WEB_PACKAGES
    for folder in ("static", "templates")
    for path in (package / folder).glob("*")
]


def test_a_wheel_has_every_asset(tmp_path):
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    nothing_built = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "caddm_hf", tmp_path / "caddm_hf", ignore=nothing_built)
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert len(ASSETS) > 10
    assert {path.relative_to(ROOT).as_posix() for path in ASSETS} - packed == set()


@pytest.mark.parametrize("package", WEB_PACKAGES, ids=lambda path: path.name)
def test_python_holds_no_markup_style_or_script(package):
    """Beyond one line, and beyond the plot, whose markup is computed."""
    found = []
    for path in package.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            long = isinstance(text, str) and "\n" in text.strip()
            if long and re.search(r"</\w|=> |\{[^}]*:[^}]*;", text):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


def test_scripts_are_single_expressions():
    for script in (new_file_script("<p>none</p>"), show_verdict_script("video-result")):
        assert not script.lstrip().startswith("//")
        assert not script.rstrip().endswith(";")
    assert '"<p>none</p>"' in new_file_script("<p>none</p>")
    assert '"#video-result"' in show_verdict_script("video-result")


def test_page_and_evidence_have_one_palette():
    assert ":root.dark" in page_css()
    assert "--verdict-fake: #" in page_css()
    assert "--verdict-fake: #" not in static("page.css")
