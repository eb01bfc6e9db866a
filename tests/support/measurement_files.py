"""What a measurement leaves in its folder."""

import json
from pathlib import Path


def read_measurement(folder: Path, kind: str) -> dict:
    """Its JSON report, once its picture and card section are seen to be there."""
    report = json.loads((folder / f"{kind}.json").read_text())
    assert (report["kind"], report["schema_version"]) == (kind, 1)
    assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"{kind}.md").read_text().startswith("## ")
    return report
