"""The tabs for one file: a video, recorded ones too, or a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gradio as gr

from .assets import new_file_script, show_verdict_script
from .checks import CheckFailedError, Checks, CheckStoppedError
from .downloads import Downloads, add_downloads, wire_annotate, wire_evidence
from .kept_results import KeptResult, KeptResults
from .player import Player, add_player, add_result
from .result import error_html, notice_html, report_html
from .settings import Settings, options_of

NOTHING_YET = "The result will appear here."
STOPPED = "Stopped. Nothing was judged."
CHOOSE_FIRST = "Choose a file first, or use an example."
# An immediate response, whatever else is running.
AT_ONCE = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

Kind = Literal["video", "picture"]


@dataclass(frozen=True)
class FileTab:
    """The parts of a tab that events connect."""

    file: gr.File
    player: Player
    check: gr.Button
    stop: gr.Button
    downloads: Downloads
    result: gr.HTML


def add_file_tab(
    kind: Kind,
    examples: dict[str, Path],
    checks: Checks,
    kept: KeptResults,
    settings: Settings,
) -> FileTab:
    """Lay out and connect a tab.

    Args:
        kind: the tab's kind of file; a file of the other kind is judged as well.
        examples: example files by the labels of their buttons.
        checks: runs the checks.
        kept: keeps the results for later use.
        settings: the page's settings.
    """
    tab = _lay_out(kind, examples)
    _wire(kind, tab, checks, kept, settings)
    return tab


def _lay_out(kind: Kind, examples: dict[str, Path]) -> FileTab:
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300, elem_classes="stay-column"):
            file = gr.File(label=kind.capitalize(), height=140, elem_id=f"{kind}-file")
            if kind == "video":
                _add_camera(file)
            gr.Examples(
                [[str(path)] for path in examples.values()],
                file,
                example_labels=list(examples),
                elem_id=f"{kind}-examples",
                api_visibility="private",
            )
            with gr.Row():
                check = gr.Button("Check", variant="primary", elem_id=f"{kind}-check", min_width=90)
                stop = gr.Button("Stop", elem_id=f"{kind}-stop", min_width=90)
            player = add_player(kind, can_annotate=kind == "video")
        with gr.Column(scale=5, min_width=320):
            downloads = add_downloads(kind, can_annotate=kind == "video")
            result = add_result(kind, NOTHING_YET)
    return FileTab(file, player, check, stop, downloads, result)


def _add_camera(file: gr.File) -> None:
    """Add a camera, whose clip becomes the chosen file."""
    with gr.Accordion("Record with the camera", open=False, elem_id="camera"):
        recorded = gr.Video(
            sources=["webcam"],
            # With sound and without mirroring, Gradio passes the recording on unchanged; otherwise
            # it would need an ffmpeg program.
            include_audio=True,
            webcam_options=gr.WebcamOptions(mirror=False),
            show_label=False,
            elem_id="camera-video",
        )
    recorded.stop_recording(lambda path: path, recorded, file, **AT_ONCE)


def shown_progress(progress: gr.Progress) -> Callable[[str, int, int], None]:
    """A check's progress, shown in the result area."""

    def show(stage: str, done: int, total: int) -> None:
        progress(done / max(total, 1), desc=stage)

    return show


def _wire(kind: Kind, tab: FileTab, checks: Checks, kept: KeptResults, settings: Settings) -> None:
    """Connect the events; the result on the page always belongs to the chosen file."""

    async def show_result(
        path: str | None,
        frames: int,
        sensitivity: str,
        faces: str,
        model: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),
    ) -> list:
        nothing = tab.downloads.updates(False)
        if path is None:
            return [notice_html(CHOOSE_FIRST), *nothing]
        session = request.session_hash
        options = options_of(frames, sensitivity, faces, model)
        try:
            report = await checks.run(path, options, (session, kind), shown_progress(progress))
        except CheckStoppedError:
            return [gr.skip(), *nothing]  # the page already shows why
        except CheckFailedError as failure:
            return [error_html(str(failure)), *nothing]
        kept.keep(session, kind, KeptResult(report, path))
        can_annotate = bool(report.people) and report.kind != "picture"
        return [report_html(report), *tab.downloads.updates(True, can_annotate)]

    async def stop_check(request: gr.Request) -> str:
        checks.stop((request.session_hash, kind))
        return notice_html(STOPPED)

    async def choose(path: str | None, request: gr.Request) -> list:
        checks.choose((request.session_hash, kind), path)
        kept.drop(request.session_hash, kind)
        return tab.downloads.updates(False)

    tab.check.click(
        show_result,
        [tab.file, *settings.values],
        [tab.result, *tab.downloads.outputs],
        show_progress_on=tab.result,
        scroll_to_output=True,
        api_visibility="private",
        # The page's own line limits concurrency.
        concurrency_limit=None,
    ).then(None, js=show_verdict_script(f"{kind}-result"))
    tab.stop.click(stop_check, None, tab.result, **AT_ONCE)
    script = new_file_script(notice_html(NOTHING_YET))
    tab.file.change(None, tab.file, [tab.player.preview, tab.result], js=script)
    tab.file.change(choose, tab.file, tab.downloads.outputs, **AT_ONCE)
    wire_evidence(kept, kind, tab.downloads)
    if tab.downloads.annotate is not None:
        wire_annotate(checks, kept, kind, tab.downloads, tab.player.strength)
