"""The page's endpoints for programs, also available as tools for language models (MCP).

Gradio publishes these functions' docstrings as descriptions of the endpoints.
"""

import gradio as gr

from .checks import CheckFailedError, CheckOptions, Checks, CheckStoppedError
from .downloads import annotated_file, evidence_file
from .kept_results import KeptResult, KeptResults
from .settings import EVERYBODY, MAIN_PERSON

STOPPED = "The check was stopped."
NO_FILE = "No file was given."


def add_api(checks: Checks, kept: KeptResults) -> None:
    """Add the endpoints; nothing on the page triggers them.

    Args:
        checks: runs the checks, in the same queue as those of visitors.
        kept: holds the files made for a program until its session ends.
    """

    async def report_on(
        file: str | None,
        frames: int,
        faces: str,
        sensitivity: str,
        model: str,
        request: gr.Request,
    ):
        if file is None:
            raise gr.Error(NO_FILE, print_exception=False)
        options = CheckOptions(int(frames), model or "", sensitivity or "", faces == MAIN_PERSON)
        visitor = (request.session_hash, "api")
        try:
            return await checks.run(file, options, visitor, lambda *_: None)
        except (CheckFailedError, CheckStoppedError) as failure:
            raise gr.Error(str(failure) or STOPPED, print_exception=False) from None

    async def check_video(
        video: str,
        frames: int,
        faces: str,
        sensitivity: str,
        model: str,
        request: gr.Request,
    ) -> dict:
        """Judge whether the faces in a video or picture are real or forged (deepfakes).

        Finds the people, scores each face in some frames and gives a report as JSON: `verdict`
        ("real", "fake" or "cannot_tell" with a `reason`), the calibrated `fake_probability`, and
        the same for each of `people` with their `frames`. A score is evidence, not proof.

        Args:
            video: the video or picture file.
            frames: how many frames to look at, evenly over the whole video (8 to 96).
            faces: "Everybody", or "The main person" for only the person seen most.
            sensitivity: empty for the model's own thresholds; or one that `describe_model` lists,
                such as "0.01" for a false-positive rate of 1%.
            model: empty for the page's own model; where allowed a folder on the server or
                user/name on the Hugging Face Hub.
        """
        report = await report_on(video, frames, faces, sensitivity, model, request)
        return report.to_dict()

    async def make_evidence(
        video: str,
        frames: int,
        faces: str,
        sensitivity: str,
        model: str,
        request: gr.Request,
    ) -> str:
        """Judge a video or picture and give the evidence: a zip with report.json and report.html.

        The report holds the file's SHA-256, model and settings, and a score for each frame; the
        page shows the most suspicious faces with heatmaps, and needs nothing else.

        Args:
            video: the video or picture file.
            frames: how many frames to look at, evenly over the whole video (8 to 96).
            faces: "Everybody", or "The main person" for only the person seen most.
            sensitivity: empty for the model's own thresholds; or one that `describe_model` lists.
            model: empty for the page's own model; where allowed a folder or Hub id.
        """
        report = await report_on(video, frames, faces, sensitivity, model, request)
        path = await evidence_file(kept, request.session_hash, report)
        if path is None:
            raise gr.Error("The evidence file cannot be made.", print_exception=False)
        return str(path)

    async def annotate_video(
        video: str,
        frames: int,
        faces: str,
        sensitivity: str,
        model: str,
        strength: float,
        request: gr.Request,
    ) -> str:
        """Judge a video and draw the result onto it: face boxes, scores, heatmaps.

        Gives a video that browsers play; of a long one the parts around the most suspicious
        moments.

        Args:
            video: the video file.
            frames: how many frames to look at, evenly over the whole video (8 to 96).
            faces: "Everybody", or "The main person" for only the person seen most.
            sensitivity: empty for the model's own thresholds; or one that `describe_model` lists.
            model: empty for the page's own model; where allowed a folder or Hub id.
            strength: of the heatmap, in percent (0 to 100).
        """
        report = await report_on(video, frames, faces, sensitivity, model, request)
        session = request.session_hash
        try:
            path = await annotated_file(
                checks,
                kept,
                session,
                (session, "api"),
                KeptResult(report, video),
                min(100.0, max(0.0, float(strength))),
                lambda *_: None,
            )
        except (CheckFailedError, CheckStoppedError) as failure:
            raise gr.Error(str(failure) or STOPPED, print_exception=False) from None
        return str(path)

    async def describe_model(model: str, request: gr.Request) -> dict:
        """Describe the model that judges, and the sensitivities it can be set to.

        Gives `name`, `revision`, `trained`, the thresholds `real_below` and `fake_above`, and
        `sensitivities`: what may be passed to the other tools, with its meaning.

        Args:
            model: empty for the page's own model; where allowed a folder on the server or
                user/name on the Hugging Face Hub.
        """
        model = (model or "").strip()
        try:
            facts = await checks.work(
                lambda stop: checks.models.facts(model),
                model,
                (request.session_hash, "api"),
                lambda *_: None,
            )
        except (CheckFailedError, CheckStoppedError) as failure:
            raise gr.Error(str(failure) or STOPPED, print_exception=False) from None
        return {
            "name": facts.name,
            "revision": facts.revision,
            "trained": facts.trained,
            "real_below": facts.thresholds.real_below,
            "fake_above": facts.thresholds.fake_above,
            "sensitivities": {key: words for words, key in facts.sensitivities()},
        }

    # Hidden components that give the parameters their names, types and defaults. A file component
    # also ensures that a program can name only files it uploaded.
    with gr.Row(visible=False):
        video = gr.File(label="video")
        frames = gr.Slider(8, 96, value=checks.models.config.frames, step=1, label="frames")
        faces = gr.Radio([EVERYBODY, MAIN_PERSON], value=EVERYBODY, label="faces")
        sensitivity = gr.Textbox("", label="sensitivity", max_length=40)
        model = gr.Textbox("", label="model", max_length=300)
        strength = gr.Slider(0, 100, value=100, label="strength")
        choices = [video, frames, faces, sensitivity, model]
        for function, name, inputs, output in (
            (check_video, "check_video", choices, gr.JSON()),
            (make_evidence, "make_evidence", choices, gr.File()),
            (annotate_video, "annotate_video", [*choices, strength], gr.File()),
            (describe_model, "describe_model", [model], gr.JSON()),
        ):
            gr.on([], function, inputs, output, api_name=name, concurrency_limit=None)
