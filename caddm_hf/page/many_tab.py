"""The tab for several files in one go: a table that can be sorted, and the result of a row."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from ..core.formats import show_percent
from ..report.leaning import help_words, leaning_words
from ..report.video_report import VideoReport
from ..report.words import VERDICT_WORDS
from .assets import html, show_file_script, show_verdict_script, static
from .checks import CheckFailedError, Checks, CheckStoppedError, Progress
from .downloads import add_downloads, wire_annotate, wire_evidence
from .file_tab import AT_ONCE
from .kept_results import KeptResult, KeptResults
from .player import add_player, add_result
from .result import error_html, notice_html, report_html
from .settings import Settings, options_of

KIND = "many"
SHOWN = "many-shown"  # place of the chosen row among the kept results
MOST_FILES = 50
TELL_EVERY_S = 0.5
NOTHING_YET = "Choose a file in the table to see its result here."
CHOOSE_FIRST = "Choose files first."
NO_RESULT = "There is no result for this file; check it again."

COLUMNS = (
    ("number", "#"),
    ("file", "File"),
    ("verdict-words", "Verdict"),
    ("percent", "Fake"),
    ("people", "People"),
    ("remarks", "Remarks"),
)


@dataclass
class Row:
    """A row of the table.

    Attributes:
        number: number of the file, from 1.
        file: name of the file.
        words: the displayed verdict.
        verdict: value of the verdict; empty until there is a result to show.
        probability: probability of fake, or -1.
        percent: the displayed probability.
        people: the displayed number of people seen.
        remarks: sentences.
    """

    number: int
    file: str
    words: str = "Waiting"
    verdict: str = ""
    probability: float = -1.0
    percent: str = ""
    people: str = ""
    remarks: list[str] = field(default_factory=list)

    def take(self, report: VideoReport) -> None:
        """Fill in a report."""
        judgement = report.judgement
        self.words, self.verdict = VERDICT_WORDS[judgement.verdict], judgement.verdict.value
        self.people = str(len(report.people))
        if judgement.fake_probability is not None:
            self.probability = judgement.fake_probability
            self.percent = show_percent(judgement.fake_probability)
        self.remarks = [judgement.explanation] if judgement.explanation else []
        leaning = leaning_words(judgement.leans_towards, judgement.fake_probability)
        self.remarks += filter(None, [leaning, help_words(judgement.would_help)])
        self.remarks += report.warnings


def table_html(rows: Sequence[Row]) -> str:
    """The table, with a script that sorts rows and reports the chosen one."""
    return html("table.html", columns=COLUMNS, rows=rows)


def add_many_tab(checks: Checks, kept: KeptResults, settings: Settings) -> None:
    """Lay out and connect the tab. Args as of `add_file_tab`."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300, elem_classes="stay-column"):
            files = gr.File(
                label=f"Videos and pictures (at most {MOST_FILES})",
                file_count="multiple",
                height=200,
                elem_id="many-file",
            )
            with gr.Row():
                check = gr.Button(
                    "Check all", variant="primary", elem_id="many-check", min_width=90
                )
                stop = gr.Button("Stop", elem_id="many-stop", min_width=90)
            player = add_player(KIND, can_annotate=True)
        with gr.Column(scale=5, min_width=320):
            status = gr.HTML(elem_id="many-status", apply_default_css=False)
            table = gr.HTML(
                elem_id="many-table",
                elem_classes="result",
                js_on_load=static("table.js"),
                apply_default_css=False,
            )
            downloads = add_downloads(KIND, can_annotate=True)
            result = add_result(KIND, NOTHING_YET)

    async def check_all(
        paths: list[str] | None,
        frames: int,
        sensitivity: str,
        faces: str,
        model: str,
        request: gr.Request,
    ) -> AsyncIterator[tuple]:
        if not paths:
            yield notice_html(CHOOSE_FIRST), gr.skip()
            return
        if len(paths) > MOST_FILES:
            words = f"{len(paths)} files are too many; choose at most {MOST_FILES}."
            yield error_html(words, "Nothing was checked"), gr.skip()
            return
        session = request.session_hash
        visitor = (session, KIND)
        options = options_of(frames, sensitivity, faces, model)
        rows = [Row(number, Path(path).name) for number, path in enumerate(paths, start=1)]
        batch = "\n".join(paths)  # as passed to `choose`
        yield _status(""), table_html(rows)
        for row, path in zip(rows, paths, strict=True):
            stage = ["Starting"]
            checking = asyncio.create_task(
                checks.run(path, options, visitor, _stage_recorder(stage), chosen=batch)
            )
            try:
                while not checking.done():
                    words = f"File {row.number} of {len(rows)}. {stage[0]}."
                    yield _status(words), gr.skip()
                    await asyncio.wait([checking], timeout=TELL_EVERY_S)
                report = checking.result()
            except CheckStoppedError:
                for unjudged in rows[row.number - 1 :]:
                    unjudged.words = "Not checked"
                yield _status("Stopped. Files without a verdict were not judged."), table_html(rows)
                return
            except CheckFailedError as failure:
                row.words, row.remarks = "Not checked", [str(failure)]
            else:
                kept.keep(session, (KIND, row.number), KeptResult(report, path))
                row.take(report)
            finally:
                checking.cancel()
            yield gr.skip(), table_html(rows)
        files = "1 file" if len(rows) == 1 else f"{len(rows)} files"
        yield (
            _status(f"Done: {files}. Choose a file in the table to see its result."),
            table_html(rows),
        )

    async def show_row(event: gr.EventData, request: gr.Request) -> list:
        session = request.session_hash
        number = event.number
        kept_result = kept.get(session, (KIND, number)) if isinstance(number, int) else None
        if kept_result is None:
            kept.drop(session, SHOWN)
            return [notice_html(NO_RESULT), None, *downloads.updates(False)]
        kept.keep(session, SHOWN, kept_result)
        report = kept_result.report
        can_annotate = bool(report.people) and report.kind != "picture"
        return [
            report_html(report),
            kept_result.path,
            *downloads.updates(True, can_annotate),
        ]

    async def stop_all(request: gr.Request) -> None:
        checks.stop((request.session_hash, KIND))

    async def choose(paths: list[str] | None, request: gr.Request) -> list:
        session = request.session_hash
        checks.choose((session, KIND), "\n".join(paths or []))
        kept.drop(session, SHOWN, *((KIND, number) for number in range(1, MOST_FILES + 1)))
        return ["", "", notice_html(NOTHING_YET), None, *downloads.updates(False)]

    # The file of the chosen row; the page's script shows it, as in the other tabs.
    shown_file = gr.File(visible="hidden", elem_id="many-shown-file")
    shown_file.change(
        None, shown_file, player.preview, js=show_file_script(), api_visibility="private"
    )
    check.click(
        check_all,
        [files, *settings.values],
        [status, table],
        show_progress_on=status,
        api_visibility="private",
        concurrency_limit=None,
    )
    stop.click(stop_all, None, None, **AT_ONCE)
    files.change(choose, files, [status, table, result, shown_file, *downloads.outputs], **AT_ONCE)
    table.choose_row(
        show_row,
        None,
        [result, shown_file, *downloads.outputs],
        show_progress_on=result,
        api_visibility="private",
        concurrency_limit=4,
    ).then(None, js=show_verdict_script("many-result"))
    wire_evidence(kept, SHOWN, downloads)
    wire_annotate(checks, kept, SHOWN, downloads, player.strength)


def _stage_recorder(latest: list[str]) -> Progress:
    """Return a progress callback that writes the stage to `latest`, in words."""

    def record(stage: str, done: int, total: int) -> None:
        latest[0] = f"{stage}: {done} of {total}" if total > 1 else stage

    return record


def _status(text: str) -> str:
    return html("status.html", text=text)
