"""The page: what is where and what happens on a click. It knows nothing of pictures or models."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gradio as gr

from .page_checks import CheckFailedError, Checks, CheckStoppedError
from .page_result import error_html, notice_html, report_html
from .page_style import BANNER, HEADER, LIMITS
from .video_detection import VideoDetector

NOTHING_YET = "The result will appear here."
STOPPED = "Stopped. Nothing was judged."
FRAMES_INFO = (
    "Frames looked at, evenly over the whole video. More take longer and can catch a forgery "
    "that lasts only a moment."
)
# Any file is taken, since only reading it tells what it is; so the preview must live with files
# that a browser cannot show. Built with the DOM, which escapes the file's name. The result of
# the file before goes at once.
NEW_FILE = """(file) => {
  const media = document.createElement(%s);
  for (const [name, value] of Object.entries(%s)) media.setAttribute(name, value);
  if (file) media.setAttribute("src", file.url);
  return [file ? media.outerHTML : "", %s];
}"""
PREVIEWS = {
    "video": {"controls": "", "playsinline": "", "aria-label": "The chosen video"},
    "picture": {"alt": "The chosen picture"},
}
# An error event does not bubble, hence the capturing listener.
PREVIEW_FAILS = """element.addEventListener("error", (event) => {
  const note = document.createElement("p");
  note.className = "no-preview";
  note.textContent = "Your browser cannot show this file. It can be checked all the same.";
  event.target.replaceWith(note);
}, true);"""
JUMP_TO_MOMENT = """element.addEventListener("click", (event) => {
  const moment = event.target.closest("[data-time]");
  const video = document.querySelector("#video-preview video");
  if (!moment || !video) return;
  video.pause();
  video.currentTime = Number(moment.dataset.time);
  video.scrollIntoView({block: "nearest", behavior: "smooth"});
});"""
# On a phone the result is below everything else, and there was nothing to scroll to before.
SHOW_VERDICT = """() => {
  const result = document.querySelector(%s);
  if (result.getBoundingClientRect().top > innerHeight / 3) result.scrollIntoView();
}"""
# Of all checks, whichever button or program asked for them, one runs at a time.
ONE_AT_A_TIME = {"concurrency_id": "detector", "concurrency_limit": 1}
# Uploads and results go an hour after they came; looked for every ten minutes.
DELETE_EVERY_S, DELETE_AFTER_S = 600, 3600


@dataclass(frozen=True)
class _Tab:
    """The parts of a tab that events connect."""

    file: gr.File
    preview: gr.HTML
    frames: gr.Slider | gr.State
    check: gr.Button
    stop: gr.Button
    result: gr.HTML


def build_page(detector: VideoDetector, examples: dict[str, Path]) -> gr.Blocks:
    """Lay out the page around a detector.

    Args:
        detector: the one of the process.
        examples: as `make_examples` gives them.
    """
    checks = Checks(detector)
    # Served from where they are: copies among the uploads would be deleted with these.
    gr.set_static_paths(list(examples.values()))
    with gr.Blocks(title="Deepfake check", delete_cache=(DELETE_EVERY_S, DELETE_AFTER_S)) as page:
        gr.HTML(HEADER)
        if not detector.model.config.trained:
            gr.HTML(BANNER, elem_id="untrained")
        with gr.Tab("Video", id="video-tab"):
            video = _add_tab(
                "video",
                {
                    "A genuine clip": examples["genuine_clip"],
                    "The same, one region swapped": examples["swapped_clip"],
                },
            )
        with gr.Tab("Picture", id="picture-tab"):
            picture = _add_tab(
                "picture",
                {
                    "A genuine portrait": examples["genuine_picture"],
                    "The same, one region swapped": examples["swapped_picture"],
                },
            )
        with gr.Accordion("What a score means, and what it cannot tell", open=False):
            gr.Markdown(LIMITS)
        _wire(checks, "video", video)
        _wire(checks, "picture", picture)
        _add_api(checks, video)

        def leave(request: gr.Request) -> None:
            for kind in PREVIEWS:
                checks.leave((request.session_hash, kind))

        page.unload(leave)
    return page


def _add_tab(kind: Literal["video", "picture"], examples: dict[str, Path]) -> _Tab:
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            file = gr.File(label=kind.capitalize(), height=140, elem_id=f"{kind}-file")
            preview = gr.HTML(elem_id=f"{kind}-preview", js_on_load=PREVIEW_FAILS)
            with gr.Row():
                check = gr.Button("Check", variant="primary", elem_id=f"{kind}-check", min_width=90)
                stop = gr.Button("Stop", elem_id=f"{kind}-stop", min_width=90)
            gr.Examples(
                [[str(path)] for path in examples.values()],
                file,
                example_labels=list(examples),
                elem_id=f"{kind}-examples",
                api_visibility="private",
            )
            if kind == "video":
                frames = gr.Slider(
                    8,
                    96,
                    value=32,
                    step=1,
                    precision=0,
                    label="Frames",
                    info=FRAMES_INFO,
                    elem_id="video-frames",
                )
            else:
                frames = gr.State(None)
        with gr.Column(scale=5, min_width=320):
            result = gr.HTML(
                notice_html(NOTHING_YET),
                elem_id=f"{kind}-result",
                elem_classes="result",
                js_on_load=JUMP_TO_MOMENT,
                apply_default_css=False,
            )
    return _Tab(file, preview, frames, check, stop, result)


def _wire(checks: Checks, kind: Literal["video", "picture"], tab: _Tab) -> None:
    """Connect a tab: what is shown always belongs to the file that is chosen."""

    def show_result(
        path: str | None,
        frames: int | None,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),
    ) -> str:
        if path is None:
            return notice_html("Choose a file first, or take an example.")

        def tell(stage: str, done: int, total: int) -> None:
            progress(done / max(total, 1), desc=stage)

        try:
            return report_html(checks.run(path, frames, (request.session_hash, kind), tell))
        except CheckStoppedError:
            return gr.skip()  # whatever stopped it has said so
        except CheckFailedError as failure:
            return error_html(str(failure))

    def stop_check(request: gr.Request) -> str:
        checks.stop((request.session_hash, kind))
        return notice_html(STOPPED)

    def choose(path: str | None, request: gr.Request) -> None:
        checks.choose((request.session_hash, kind), path)

    checking = tab.check.click(
        show_result,
        [tab.file, tab.frames],
        tab.result,
        scroll_to_output=True,
        api_visibility="private",
        **ONE_AT_A_TIME,
    )
    checking.then(None, js=SHOW_VERDICT % json.dumps(f"#{kind}-result"))
    at_once = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    tab.stop.click(stop_check, None, tab.result, **at_once)
    # Takes out of the queue what still waits there. Apart from the above and after it, since a
    # cancelling event waits until a running check has ended.
    tab.stop.click(None, cancels=[checking])
    element = {"video": "video", "picture": "img"}[kind]
    new_file = NEW_FILE % tuple(
        json.dumps(value) for value in (element, PREVIEWS[kind], notice_html(NOTHING_YET))
    )
    tab.file.change(None, tab.file, [tab.preview, tab.result], js=new_file)
    tab.file.change(choose, tab.file, **at_once)


def _add_api(checks: Checks, tab: _Tab) -> None:
    """The endpoint `/check_video` for programs: file and frames in, the report's JSON out."""

    def check_video(video: str, frames: int, request: gr.Request) -> dict:
        """Judge a video or picture; gives the report as JSON."""
        if video is None:
            raise gr.Error("No file was given.", print_exception=False)
        try:
            report = checks.run(video, frames, (request.session_hash, "api"), lambda *_: None)
        except (CheckFailedError, CheckStoppedError) as failure:
            raise gr.Error(str(failure) or STOPPED, print_exception=False) from None
        return report.to_dict()

    # No trigger on the page. It takes the page's components because Gradio lets a program
    # name only files that were uploaded, when the input is a file component.
    gr.on(
        [],
        check_video,
        [tab.file, tab.frames],
        gr.JSON(visible=False),
        api_name="check_video",
        **ONE_AT_A_TIME,
    )
