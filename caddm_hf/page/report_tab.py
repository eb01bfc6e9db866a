"""The tab that opens a report somebody sent."""

import asyncio

import gradio as gr

from ..report.files import ReportError, read_report
from .assets import show_verdict_script
from .player import add_moments, add_result
from .result import error_html, notice_html, report_html

NOTHING_YET = "Choose a report.json, or the evidence file that holds one."
TRUST = (
    "This tab shows the contents of the file. It cannot detect whether somebody changed the file: "
    "check the video again, or compare its fingerprint (SHA-256), which no other file has."
)


def add_report_tab() -> None:
    """Lay out and connect the tab."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300, elem_classes="stay-column"):
            file = gr.File(
                label="Report (.json or .zip)",
                height=140,
                file_types=[".json", ".zip"],
                elem_id="report-file",
            )
            gr.Markdown(TRUST)
            with gr.Column(elem_classes="stay"):
                add_moments("report")
        with gr.Column(scale=5, min_width=320):
            result = add_result("report", NOTHING_YET)

    async def open_report(path: str | None) -> str:
        if path is None:
            return notice_html(NOTHING_YET)
        try:
            return report_html(await asyncio.to_thread(read_report, path))
        except ReportError as error:
            return error_html(str(error), "This report could not be opened")

    file.change(open_report, file, result, api_visibility="private", concurrency_limit=4).then(
        None, js=show_verdict_script("report-result")
    )
