"""The audit step of CI with a stand-in for pip-audit: findings fail, outages do not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).resolve().parents[2] / ".ci" / "audit.py"
FAULT = {"id": "CVE-1", "fix_versions": ["9.9"]}
CANARY = {"name": "jinja2", "version": "3.1.2", "vulns": [FAULT]}
GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [FAULT]}
UNKNOWN = {"name": "own", "skip_reason": "not found"}


def run(folder: Path, canary: object, installed: object, status: int = 0):
    """Run the step where pip-audit answers so; a text is an answer that is no account."""
    for name, answer in (("canary", canary), ("installed", installed)):
        text = answer if isinstance(answer, str) else json.dumps({"dependencies": answer})
        (folder / name).write_text(text)
    tool = folder / "pip-audit"
    tool.write_text(
        "#!/bin/sh\n"
        f'cd "{folder}"\n'
        'case "$*" in *--requirement*) cat canary;; *) cat installed;; esac\n'
        f"echo trouble >&2\nexit {status}\n"
    )
    tool.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    return subprocess.run([sys.executable, AUDIT], capture_output=True, text=True, env=environment)


def test_nothing_known(tmp_path: Path):
    done = run(tmp_path, [CANARY], [GOOD, UNKNOWN])
    assert done.returncode == 0
    assert "2 packages, 0 with known vulnerabilities" in done.stdout
    assert "could not be judged: own" in done.stdout


def test_a_known_vulnerability_fails(tmp_path: Path):
    done = run(tmp_path, [CANARY], [GOOD, BAD], status=1)
    assert done.returncode == 1
    assert "bad 2.0: CVE-1 (mended in 9.9)" in done.stdout


@pytest.mark.parametrize(
    ("canary", "installed"),
    [
        ("", [BAD]),
        ([UNKNOWN | {"name": "jinja2"}], [UNKNOWN]),  # a service that knows nothing at all
        ([CANARY], "no JSON"),
        ([CANARY], ""),
    ],
)
def test_a_service_that_does_not_answer_is_told_and_does_not_fail(
    tmp_path: Path, canary: object, installed: object
):
    done = run(tmp_path, canary, installed, status=1)
    assert done.returncode == 0
    assert "audit: NOT DONE" in done.stdout
    assert "0 with known" not in done.stdout
