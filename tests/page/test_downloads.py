"""caddm_hf.page.downloads: the evidence file of a result."""

import asyncio
import errno
from types import SimpleNamespace

import gradio as gr
import pytest

from caddm_hf.page import downloads
from caddm_hf.page.kept_results import KeptResult, KeptResults
from caddm_hf.report.files import ReportError
from support.made_evidence import evidence_report


def test_the_evidence_goes_with_the_session():
    kept = KeptResults()
    path = asyncio.run(downloads.evidence_file(kept, "ann", evidence_report()))
    assert path.stat().st_size > 1000
    kept.forget("ann")
    assert not path.exists()


def test_evidence_is_made_when_it_is_asked_for_and_not_before(monkeypatch):
    """Neither of the functions that show a result writes anything."""
    written = []
    monkeypatch.setattr(downloads, "write_evidence", lambda report, path: written.append(path))
    kept = KeptResults()
    with gr.Blocks() as page:
        parts = downloads.add_downloads("video", can_annotate=True)
        downloads.wire_evidence(kept, "video", parts)
    kept.keep("ann", "video", KeptResult(evidence_report(), "clip.mp4"))
    assert parts.updates(True, True)[0]["interactive"]
    assert written == []
    make = next(iter(page.fns.values())).fn
    asyncio.run(make(SimpleNamespace(session_hash="ann")))
    assert [path.name for path in written] == ["evidence-clip.zip"]
    kept.forget("ann")
    with pytest.raises(gr.Error, match="check the file again"):
        asyncio.run(make(SimpleNamespace(session_hash="ann")))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (ReportError("The evidence would be too large."), "too large"),
    ],
)
def test_what_cannot_be_written_is_told_and_costs_no_result(monkeypatch, error, words):
    warnings = []
    monkeypatch.setattr(gr, "Warning", warnings.append)

    def refuse(report, path):
        raise error

    monkeypatch.setattr(downloads, "write_evidence", refuse)
    assert asyncio.run(downloads.evidence_file(KeptResults(), "ann", evidence_report())) is None
    assert len(warnings) == 1
    assert words in warnings[0]
