"""Every direct requirement is in the list of licences."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_direct_requirement_is_listed():
    lines = [
        line.strip()
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text().splitlines()
    ]
    needed = {re.split(r"[\[<>=]", line)[0] for line in lines if line and line[0] not in "#-"}
    listed = set(re.findall(r"[\w.-]+", (ROOT / "docs" / "licences.md").read_text()))
    assert len(needed) > 20
    assert needed - listed == set()


def test_every_requirement_has_both_bounds():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and line[0] not in "#-":
                assert ">=" in line, line
                assert "<" in line, line
