"""The page's settings: one set for all its tabs."""

from dataclasses import dataclass

import gradio as gr

from .checks import CheckFailedError, CheckOptions, Checks, CheckStoppedError
from .model_facts import ModelFacts

FRAMES_INFO = (
    "Looked at, evenly over the whole video. More take longer and can catch a forgery that lasts "
    "only a moment."
)
SENSITIVITY_INFO = (
    "How suspicious a face must be to be called fake. A lower false-positive rate means fewer "
    "genuine videos called fake, and more fakes missed."
)
UNCALIBRATED_INFO = (
    "How high the score must be for “fake”. This model was not calibrated, so it is not known how "
    "many genuine videos would be called fake."
)
FACES_INFO = "Judge everybody in the video or picture, or only the person seen most."
MODEL_INFO = (
    "A model folder on the server, or user/name on the Hugging Face Hub (user/name@revision for a "
    "certain one). Empty: the page's own. No code that comes with a model is run."
)
EVERYBODY, MAIN_PERSON = "Everybody", "The main person"


@dataclass(frozen=True)
class Settings:
    """The components; `values` lists the inputs that they pass to an event."""

    frames: gr.Slider
    sensitivity: gr.Dropdown
    faces: gr.Radio
    model: gr.Textbox | gr.Dropdown
    note: gr.Markdown

    @property
    def values(self) -> list[gr.components.Component]:
        """Inputs of an event, for `options_of`."""
        return [self.frames, self.sensitivity, self.faces, self.model]


def options_of(frames: int, sensitivity: str, faces: str, model: str) -> CheckOptions:
    """Convert the settings' values to `CheckOptions`."""
    return CheckOptions(
        frames=int(frames),
        model=model or "",
        sensitivity=sensitivity or "",
        main_person=faces == MAIN_PERSON,
    )


def add_settings(checks: Checks, own: ModelFacts) -> Settings:
    """Lay out the settings.

    Args:
        checks: loads chosen models and their facts.
        own: facts about the page's own model.
    """
    models = checks.models
    choosable = models.any_model or bool(models.listed)
    with gr.Accordion("Settings", open=False, elem_id="settings"), gr.Row(equal_height=False):
        with gr.Column(min_width=280):
            frames = gr.Slider(
                8,
                96,
                value=min(96, max(8, models.config.frames)),
                step=1,
                precision=0,
                label="Frames",
                info=FRAMES_INFO,
                elem_id="frames",
            )
            faces = gr.Radio(
                [EVERYBODY, MAIN_PERSON],
                value=EVERYBODY,
                label="Faces",
                info=FACES_INFO,
                elem_id="faces",
            )
        with gr.Column(min_width=280):
            sensitivity = gr.Dropdown(
                **_sensitivity(own), label="Sensitivity", elem_id="sensitivity"
            )
            shared = {"label": "Model", "visible": choosable, "elem_id": "model"}
            if models.any_model:
                model = gr.Textbox(
                    "", placeholder=own.name, info=MODEL_INFO, max_lines=1, max_length=300, **shared
                )
            else:
                listed = [(own.name, ""), *((name, name) for name in models.listed)]
                model = gr.Dropdown(listed, value="", filterable=False, **shared)
            note = gr.Markdown(elem_id="model-note", visible=choosable)
    settings = Settings(frames, sensitivity, faces, model, note)
    if choosable:
        _wire_model(checks, own, settings)
    return settings


def _sensitivity(facts: ModelFacts) -> dict:
    return {
        "choices": facts.sensitivities(),
        "value": "",
        "info": SENSITIVITY_INFO if facts.thresholds_by_rate else UNCALIBRATED_INFO,
    }


def _wire_model(checks: Checks, own: ModelFacts, settings: Settings) -> None:
    """Load a chosen model at once, to know its sensitivities."""

    async def choose_model(
        name: str, request: gr.Request, progress: gr.Progress = gr.Progress()
    ) -> tuple[dict, str]:
        name = (name or "").strip()
        if not name:
            return gr.update(**_sensitivity(own)), ""

        def tell(stage: str, done: int, total: int) -> None:
            progress(done / max(total, 1), desc=stage)

        try:
            facts = await checks.work(
                lambda stop: checks.models.facts(name), name, (request.session_hash, "model"), tell
            )
        except CheckFailedError as failure:
            return gr.update(**_sensitivity(own)), f"**{_as_text(str(failure))}**"
        except CheckStoppedError:
            return gr.skip(), gr.skip()
        words = "In use: " + _as_text(facts.name)
        words += f", revision {_as_text(facts.revision)}." if facts.revision else "."
        if not facts.trained:
            words += " It was not trained: **its scores mean nothing.**"
        elif not facts.thresholds_by_rate:
            words += " It was not calibrated."
        return gr.update(**_sensitivity(facts)), words

    events = [settings.model.change]
    if isinstance(settings.model, gr.Textbox):
        events = [settings.model.submit, settings.model.blur]
    gr.on(
        events,
        choose_model,
        settings.model,
        [settings.sensitivity, settings.note],
        api_visibility="private",
        concurrency_limit=None,
        trigger_mode="once",
    )


def _as_text(words: str) -> str:
    """Escape all Markdown markup in untrusted text."""
    plain = "".join(c if c.isprintable() else " " for c in words)
    return "".join(f"&#{ord(c)};" if not (c.isalnum() or c in " .,:;'") else c for c in plain)
