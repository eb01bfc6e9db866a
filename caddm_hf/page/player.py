"""The player with its moments, and the result area beside it."""

from dataclasses import dataclass

import gradio as gr

from .assets import moments_script, static, strength_script
from .result import notice_html

MOMENT_PANEL = '<div class="moment-view" aria-live="polite" hidden></div>'
STRENGTH_INFO = "How strongly heatmaps cover the faces."
ANNOTATED_INFO = "How strongly heatmaps cover the faces, here and in the annotated video."


@dataclass(frozen=True)
class Player:
    """The components.

    Attributes:
        preview: a script shows the chosen file in it.
        strength: strength of the heatmaps, in percent.
    """

    preview: gr.HTML
    strength: gr.Slider


def add_player(kind: str, can_annotate: bool) -> Player:
    """Lay out a player that stays visible beside its result. Args as of `add_moments`."""
    with gr.Column(elem_classes="stay"):
        preview = gr.HTML(
            elem_id=f"{kind}-preview", elem_classes="preview", js_on_load=static("preview.js")
        )
        return Player(preview, add_moments(kind, can_annotate))


def add_moments(kind: str, can_annotate: bool = False) -> gr.Slider:
    """Lay out the enlarged view of a moment, and the slider of the heatmaps' strength.

    Args:
        kind: kind of the tab.
        can_annotate: whether the tab can make an annotated video.
    """
    gr.HTML(MOMENT_PANEL, elem_id=f"{kind}-moment")
    strength = gr.Slider(
        0,
        100,
        value=100,
        step=5,
        label="Heatmap strength (%)",
        info=ANNOTATED_INFO if can_annotate else STRENGTH_INFO,
        elem_id=f"{kind}-strength",
    )
    # This needs no server.
    strength.change(None, strength, None, js=strength_script(), api_visibility="private")
    return strength


def add_result(kind: str, text: str) -> gr.HTML:
    """Lay out a result area, with the script that shows its moments.

    Args:
        kind: kind of the tab.
        text: shown until there is a result.
    """
    return gr.HTML(
        notice_html(text),
        elem_id=f"{kind}-result",
        elem_classes="result",
        js_on_load=moments_script(kind),
        apply_default_css=False,
    )
