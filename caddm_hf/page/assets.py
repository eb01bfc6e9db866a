"""The page's style and scripts: package data in `static/` and `templates/`, and Gradio's theme.

Scripts run in the browser without requests to the server. Untrusted text is inserted as text
(`textContent`, attributes), never as markup.
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
    """Fill in a template; every value is escaped."""
    return templates.get_template(name).render(**values)


def page_theme() -> gr.themes.Base:
    """A plain theme, so that the verdicts' colours stand out."""
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
        # White on the default's indigo has a contrast below 4.5.
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )


def page_css() -> str:
    """The page's style sheet, with the same colours as evidence pages."""
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
    """Scrolls to the result if it is not visible."""
    return f"() => ({_function('show_verdict.js')})({json.dumps(f'#{elem_id}')})"


def download_script() -> str:
    """Downloads a file that the server has made."""
    return _function("download.js")


def strength_script() -> str:
    """Sets the strength of every heatmap on the page."""
    return _function("strength.js")


def moments_script(kind: str) -> str:
    """Jumps to the moments of a result, and shows them.

    Args:
        kind: kind of the tab; moments are shown in `KIND-preview` and `KIND-moment`.
    """
    return f"const kind = {json.dumps(kind)};\n{static('moments.js')}"


def _function(name: str) -> str:
    """Read a file with one function as a bare expression, as Gradio requires."""
    lines = static(name).splitlines()
    code = "\n".join(line for line in lines if not line.startswith("//"))
    return code.strip().removesuffix(";")
