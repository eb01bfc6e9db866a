"""One file to hand on: the report for programs and the page for people."""

import re
import zipfile
from pathlib import Path

from ..core.atomic_files import make_folder_atomically, write_atomically
from .evidence_page import evidence_html
from .files import REPORT_NAME, report_bytes
from .video_report import VideoReport

PAGE_NAME = "report.html"
# A fixed date: the file depends on the result alone.
MEMBER_DATE = (1980, 1, 1, 0, 0, 0)


def evidence_name(report: VideoReport) -> str:
    """A safe file name derived from the video's: `evidence-clip.zip`."""
    stem = Path(report.video.replace("\\", "/")).stem
    return f"evidence-{re.sub(r'[^A-Za-z0-9_-]+', '-', stem).strip('-')[:60] or 'report'}.zip"


def write_evidence(report: VideoReport, path: Path, strength: float = 1.0) -> Path:
    """Write `report.json` and `report.html`, completely or not at all.

    Args:
        report: from the detector or a report file.
        path: a zip if it ends in .zip, replaced if it exists; else a folder, new or empty.
        strength: strength of the page's heatmaps, in [0, 1].

    Returns:
        The path.

    Raises:
        ReportError: the report is too large for a file.
        OSError: it cannot be written.
    """
    path = Path(path)
    members = {
        REPORT_NAME: report_bytes(report),
        PAGE_NAME: evidence_html(report, strength).encode(),
    }
    if path.suffix.lower() == ".zip":
        with (
            write_atomically(path) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name, data in members.items():
                entry = zipfile.ZipInfo(name, MEMBER_DATE)
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
        return path
    with make_folder_atomically(path) as folder:
        for name, data in members.items():
            (folder / name).write_bytes(data)
    return path
