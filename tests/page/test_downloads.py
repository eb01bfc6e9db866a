"""caddm_hf.page.downloads: the evidence file of a result."""

import asyncio
import errno

import gradio as gr
import pytest

from caddm_hf.page import downloads as page_hand_on
from caddm_hf.page.kept_results import KeptResults
from caddm_hf.report.files import ReportError
from support.made_evidence import evidence_report


def test_the_evidence_goes_with_the_session():
    kept = KeptResults()
    path = asyncio.run(page_hand_on.evidence_file(kept, "ann", evidence_report()))
    assert path.stat().st_size > 1000
    kept.forget("ann")
    assert not path.exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (ReportError("The evidence would be too large."), "too large"),
    ],
)
def test_what_cannot_be_written_is_told_and_costs_no_result(monkeypatch, error, words):
    told = []
    monkeypatch.setattr(gr, "Warning", told.append)

    def refuse(report, path):
        raise error

    monkeypatch.setattr(page_hand_on, "write_evidence", refuse)
    assert asyncio.run(page_hand_on.evidence_file(KeptResults(), "ann", evidence_report())) is None
    assert len(told) == 1
    assert words in told[0]
