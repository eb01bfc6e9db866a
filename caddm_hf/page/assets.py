"""The page's looks and scripts: package data in `static/` and `templates/`, and Gradio's theme.

Scripts run in the browser without asking the server. Everything a stranger wrote reaches the page
as text (`textContent`, attributes), never as markup.
"""

import json
from functools import cache

import gradio as gr
from jinja2 import PackageLoader

from ..report.rendering import template_environment

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "Consolas", "Liberation Mono", "monospace")

templates = template_environment("caddm_hf.page")
_static = PackageLoader("caddm_hf.page", "static")


@cache
def static(name: str) -> str:
    """The text of a file in `static/`."""
    return _static.get_source(templates, name)[0]


def html(name: str, **values: object) -> str:
    """A template filled in; every value is escaped."""
    return templates.get_template(name).render(**values)


def page_theme() -> gr.themes.Base:
    """A quiet theme, so that the verdicts' colours stand out."""
    return gr.themes.Default(
        primary_hue="indigo",
        neutral_hue="slate",
        font=SYSTEM_FONTS,
        font_mono=SYSTEM_MONO,
    ).set(
        # The default's lighter greys are hard to read on white.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        # White on the default's indigo falls short of a contrast of 4.5.
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )


def page_css() -> str:
    """The page's style sheet, with the colours that evidence pages have, too."""
    return (
        html("_tokens.css", class_of_dark="dark", dark_paper="#1e293b") + "\n" + static("page.css")
    )


def new_file_script(nothing_yet: str) -> str:
    """Shows the chosen file and clears the result of the file before.

    Args:
        nothing_yet: HTML in place of the result.
    """
    return f"(file) => [({_function('show_file.js')})(file), {json.dumps(nothing_yet)}]"


def show_file_script() -> str:
    """Shows the chosen file."""
    return _function("show_file.js")


def show_verdict_script(elem_id: str) -> str:
    """Scrolls to a result that is out of sight."""
    return f"() => ({_function('show_verdict.js')})({json.dumps(f'#{elem_id}')})"


def download_script() -> str:
    """Downloads a file that the server has made."""
    return _function("download.js")


def strength_script() -> str:
    """Sets the strength of every heatmap on the page."""
    return _function("strength.js")


def moments_script(kind: str) -> str:
    """For a result area: jumping to moments, and what is shown of them.

    Args:
        kind: the tab's; `KIND-preview` and `KIND-moment` are where moments are shown.
    """
    return f"const kind = {json.dumps(kind)};\n{static('moments.js')}"


def _function(name: str) -> str:
    """A file that holds one function, as an expression; Gradio wants nothing before or after it."""
    lines = static(name).splitlines()
    code = "\n".join(line for line in lines if not line.startswith("//"))
    return code.strip().removesuffix(";")
