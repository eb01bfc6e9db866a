"""Files made from a result on request: the evidence, the annotated video."""

import asyncio
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ..report.annotated_video import annotated_video_suffix
from ..report.evidence import evidence_name, write_evidence
from ..report.files import ReportError
from ..report.video_report import VideoReport
from .assets import download_script
from .checks import CheckFailedError, Checks, CheckStoppedError, Progress
from .jobs import AnnotateJob
from .kept_results import KeptResult, KeptResults

NO_RESULT = "There is no result to work on any more; please check the file again."


@dataclass(frozen=True)
class Downloads:
    """The components above the result.

    Attributes:
        evidence: requests the evidence file; disabled without a result.
        evidence_file: hidden; the browser downloads its content.
        annotate: requests the annotated video; None if there is no video.
        annotated: shows the annotated video.
    """

    evidence: gr.Button
    evidence_file: gr.File
    annotate: gr.Button | None
    annotated: gr.Video | None

    @property
    def outputs(self) -> list[gr.components.Component]:
        """The components that change with a result, in the order of `updates`."""
        return [part for part in (self.evidence, self.annotate, self.annotated) if part is not None]

    def updates(self, has_result: bool, can_annotate: bool = False) -> list[dict]:
        """Values for `outputs`, with or without a result."""
        updates = [gr.update(interactive=has_result)]
        if self.annotate is not None:
            updates += [
                gr.update(interactive=can_annotate),
                gr.update(value=None, visible=False),
            ]
        return updates


def add_downloads(kind: str, can_annotate: bool) -> Downloads:
    """Lay out the components for a tab."""
    annotate = annotated = None
    with gr.Row():
        evidence = gr.Button(
            "Evidence file", interactive=False, size="md", elem_id=f"{kind}-evidence", min_width=130
        )
        if can_annotate:
            annotate = gr.Button(
                "Annotated video",
                interactive=False,
                size="md",
                elem_id=f"{kind}-annotate",
                min_width=130,
            )
    evidence_file = gr.File(visible="hidden", elem_id=f"{kind}-evidence-file")
    if can_annotate:
        annotated = gr.Video(
            label="Annotated video",
            visible=False,
            interactive=False,
            elem_id=f"{kind}-annotated",
            buttons=["download"],
        )
    return Downloads(evidence, evidence_file, annotate, annotated)


def wire_evidence(kept: KeptResults, place: Hashable, parts: Downloads) -> None:
    """Make the evidence file on request, and start its download in the browser."""

    async def make(request: gr.Request) -> str | None:
        result = kept.get(request.session_hash, place)
        if result is None:
            raise gr.Error(NO_RESULT, print_exception=False, title="No evidence file")
        path = await evidence_file(kept, request.session_hash, result.report)
        return None if path is None else str(path)

    parts.evidence.click(
        make, None, parts.evidence_file, api_visibility="private", show_progress="hidden"
    ).success(None, parts.evidence_file, None, js=download_script(), api_visibility="private")


async def evidence_file(kept: KeptResults, session: str, report: VideoReport) -> Path | None:
    """Write the evidence file of a report, for this session to download.

    Returns None, after a warning to the visitor, if the file is too large or cannot be written.
    The result on the page stays.
    """
    try:
        folder = kept.folder(session)
        return await asyncio.to_thread(write_evidence, report, folder / evidence_name(report))
    except ReportError as error:
        gr.Warning(str(error))
    except OSError as error:
        gr.Warning(f"The evidence file cannot be written here: {error.strerror or error}.")
    return None


def wire_annotate(
    checks: Checks, kept: KeptResults, place: Hashable, parts: Downloads, strength: gr.Slider
) -> None:
    """Make the annotated video on request; the request waits in line like a check."""

    async def annotate(
        percent: float, request: gr.Request, progress: gr.Progress = gr.Progress()
    ) -> dict:
        session = request.session_hash
        result = kept.get(session, place)
        if result is None or result.path is None:
            raise gr.Error(NO_RESULT, print_exception=False, title="No annotated video")

        def report(stage: str, done: int, total: int) -> None:
            progress(done / max(total, 1), desc=stage)

        try:
            path = await annotated_file(
                checks, kept, session, (session, place), result, percent, report
            )
        except CheckFailedError as failure:
            raise gr.Error(
                str(failure), print_exception=False, title="No annotated video"
            ) from None
        except CheckStoppedError:
            return gr.update(visible=False)
        return gr.update(value=str(path), visible=True)

    show = parts.annotate.click(
        lambda: gr.update(visible=True, value=None),
        None,
        parts.annotated,
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )
    show.then(
        annotate,
        strength,
        parts.annotated,
        api_visibility="private",
        concurrency_limit=None,
        scroll_to_output=True,
    ).failure(lambda: gr.update(visible=False), None, parts.annotated, api_visibility="private")


async def annotated_file(
    checks: Checks,
    kept: KeptResults,
    session: str,
    visitor: Hashable,
    result: KeptResult,
    percent: float,
    on_progress: Progress,
) -> Path:
    """Draw a result onto its video. Errors as of `Checks.work`."""
    if result.report.kind == "picture":
        raise CheckFailedError("A picture has no annotated video; its evidence file shows it.")
    out_path = kept.folder(session) / f"annotated{annotated_video_suffix()}"
    job = AnnotateJob(result.path, result.report, out_path, percent / 100)

    def draw(stop: threading.Event) -> Path:
        checks.models.own.run(job, on_progress, stop)
        return out_path

    return await checks.work(draw, result.path, visitor, on_progress)
