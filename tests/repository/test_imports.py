"""Imports run downwards, packages stay small, and each says what it holds and what tests it."""

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent for path in (ROOT / "caddm_hf").glob("*/**/__init__.py"))
OWN_DOCSTRING = ROOT / "caddm_hf" / "metrics" / "video_metrics"  # copied by `evaluate`
MOST_MODULES = 20
MOST_LINES = 400


def modules(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def docstring(folder: Path) -> str:
    return ast.get_docstring(ast.parse((folder / "__init__.py").read_text()), clean=False)


def test_import_rule():
    command = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run(
        [command, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_packages_are_small(folder):
    assert len(modules(folder)) <= MOST_MODULES
    assert {
        name: length
        for name in modules(folder)
        if (length := len((folder / f"{name}.py").read_text().splitlines())) > MOST_LINES
    } == {}


@pytest.mark.parametrize(
    "folder", [path for path in PACKAGES if path != OWN_DOCSTRING], ids=lambda folder: folder.name
)
def test_packages_list_their_files_and_tests(folder):
    words = docstring(folder)
    assert [name for name in modules(folder) if f"\n    {name} " not in words] == []
    tests = ROOT / "tests" / folder.relative_to(ROOT / "caddm_hf")
    untold = [
        name
        for name in modules(folder)
        if not (tests / f"test_{name}.py").exists() and name not in words.partition("Tests")[2]
    ]
    assert untold == [] or "All of them:" in words
    for place in words.partition("Tests")[2].replace(",", " ").split():
        if "test_" in place:
            name = place.strip(".:").removesuffix(".py") + ".py"
            below = "tests" if "/" in name else f"tests/{folder.relative_to(ROOT / 'caddm_hf')}"
            assert (ROOT / below / name).is_file(), place


def test_only_names_are_needed_to_import_the_package():
    heavy = "torch", "transformers", "cv2", "datasets"
    code = (
        f"import sys, caddm_hf, caddm_hf.cli.main; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_public_names_are_there():
    import caddm_hf

    for name in caddm_hf.__all__:
        assert getattr(caddm_hf, name).__name__ == name
