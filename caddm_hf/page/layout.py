"""The page: its tabs and their shared parts, without any code for pictures or models."""

from pathlib import Path

import gradio as gr

from ..report.words import LIMITS
from .api import add_api
from .assets import html
from .checks import Checks, Line
from .file_tab import add_file_tab
from .kept_results import KeptResults
from .many_tab import add_many_tab
from .model_choice import ModelChoices
from .model_facts import ModelFacts
from .report_tab import add_report_tab
from .settings import add_settings

# Delete uploads and results an hour after their creation; check every ten minutes.
DELETE_EVERY_S, DELETE_AFTER_S = 600, 3600
PLACES = ("video", "picture", "many", "many-shown", "model", "api")


def build_page(
    models: ModelChoices,
    facts: ModelFacts,
    examples: dict[str, Path],
    line: Line,
    kept: KeptResults,
) -> gr.Blocks:
    """Lay out the page.

    Args:
        models: the detectors.
        facts: facts about the page's own model.
        examples: from `make_examples`.
        line: the line of visitors.
        kept: results of the current visitors.
    """
    checks = Checks(models, line)
    # Serve the originals: copies among the uploads would be deleted with them.
    gr.set_static_paths(list(examples.values()))
    with gr.Blocks(title="Deepfake check", delete_cache=(DELETE_EVERY_S, DELETE_AFTER_S)) as page:
        gr.HTML(html("header.html"))
        if not facts.trained:
            gr.HTML(html("untrained.html"), elem_id="untrained")
        settings = add_settings(checks, facts)
        with gr.Tab("Video", id="video-tab"):
            clips = {
                "A genuine clip": examples["genuine_clip"],
                "The same, one region swapped": examples["swapped_clip"],
            }
            add_file_tab("video", clips, checks, kept, settings)
        with gr.Tab("Picture", id="picture-tab"):
            pictures = {
                "A genuine portrait": examples["genuine_picture"],
                "The same, one region swapped": examples["swapped_picture"],
            }
            add_file_tab("picture", pictures, checks, kept, settings)
        with gr.Tab("Many files", id="many-tab"):
            add_many_tab(checks, kept, settings)
        with gr.Tab("Report", id="report-tab"):
            add_report_tab()
        with gr.Accordion("What a score means, and its limits", open=False):
            gr.HTML(html("limits.html", limits=LIMITS), elem_classes="limits")
        add_api(checks, kept)

        async def leave(request: gr.Request) -> None:
            for place in PLACES:
                checks.stop((request.session_hash, place))
            kept.forget(request.session_hash)

        page.unload(leave)
    return page
