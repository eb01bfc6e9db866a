"""The output of every measurement: a JSON file, a plot, and a section of the model card.

The JSON has all results. The section is the summary for readers: what was measured, on which data,
and with which uncertainty. `docs/evaluation.md` explains the numbers.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from matplotlib.figure import Figure

from ..checkpoint.card import CALIBRATED, NOT_CALIBRATED, VERSIONED
from ..checkpoint.loading import LoadedModel, weights_digest
from ..core.atomic_files import write_atomically
from ..core.versions import installed_versions
from .data import EvaluationData
from .figures import Estimate

SCHEMA_VERSION = 1
FURTHER_PACKAGES = ("facenet-pytorch", "scikit-learn", "scipy", "grad-cam")
CARD_FOLDER = "evaluation"  # in a model folder, for plots and JSON files
KINDS = {
    "evaluation": "Evaluation",
    "calibration": "Calibration",
    "robustness": "Robustness",
    "identity-probe": "Identity probe",
    "localisation": "Localisation",
    "false-alarms": "Genuine pictures",
}


def describe_model(name: str, loaded: LoadedModel) -> dict:
    """Return the facts that identify a model, for the JSON."""
    config = loaded.model.config
    return {
        "name": name,
        "revision": loaded.revision,
        "weights_digest": weights_digest(loaded.model),
        "backbone": config.backbone,
        "artifact_width": config.artifact_width,
        "trained": config.trained,
        "temperature": config.calibration_temperature,
        "bias": config.calibration_bias,
        "thresholds": {"real_below": config.real_below, "fake_above": config.fake_above},
        "calibration": getattr(config, "calibration", None),
        "input": {
            "size": loaded.image_processor.size,
            "align_scale": loaded.image_processor.align_scale,
            "eye_height": loaded.image_processor.eye_height,
            "channel_order": loaded.image_processor.channel_order,
        },
    }


def describe_data(data: EvaluationData, fingerprint: str) -> dict:
    """Return the facts that identify a collection and the part used."""
    videos = set(data.facts)
    return {
        "name": data.name,
        "kind": data.kind,
        "split": data.split,
        "fingerprint": fingerprint,
        "items_used": len(data.facts),
        "videos_used": len(videos),
        "genuine_videos": sum(video.label == 0 for video in videos),
        "fake_videos": sum(video.label == 1 for video in videos),
        "compressions": sorted({video.compression or "not stated" for video in videos}),
        "methods": sorted({video.method for video in videos if video.method}),
        "crop": data.pictures,
    }


def envelope(kind: str, content: dict) -> dict:
    """Wrap the content of a measurement in the JSON that all measurements share."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": installed_versions((*VERSIONED, *FURTHER_PACKAGES)),
        **content,
    }


def write_report(folder: Path, report: dict, section: str, plot: Figure) -> list[Path]:
    """Write KIND.json, KIND.png and KIND.md into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{report['kind']}.{suffix}" for suffix in ("json", "png", "md")]
    with write_atomically(paths[0]) as file:
        file.write((json.dumps(report, indent=1, allow_nan=False) + "\n").encode())
    with write_atomically(paths[1]) as file:
        plot.savefig(file, format="png", dpi=120)
    with write_atomically(paths[2]) as file:
        file.write(section.encode())
    return paths


def update_model_card(model_folder: Path, paths: Sequence[Path], section: str) -> Path:
    """Add a section to a model's README.md, or replace the earlier one of the same kind.

    The JSON file and the plot are copied into the model folder.

    Args:
        model_folder: of the model.
        paths: from `write_report`.
        section: of this model.

    Returns:
        path of the card.
    """
    kind = paths[0].stem
    target = model_folder / CARD_FOLDER
    target.mkdir(exist_ok=True)
    for path in paths[:2]:
        with write_atomically(target / path.name) as file:
            file.write(path.read_bytes())
    card = model_folder / "README.md"
    text = card.read_text() if card.is_file() else f"# {model_folder.resolve().name}\n"
    begin, end = f"<!-- {kind}: begin -->", f"<!-- {kind}: end -->"
    plot = f"![{KINDS[kind]}]({CARD_FOLDER}/{paths[1].name})"
    block = f"{begin}\n{section.rstrip()}\n\n{plot}\n{end}"
    old = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    text, replaced = old.subn(lambda _: block, text)
    if not replaced:
        text = f"{text.rstrip()}\n\n{block}\n"
    if kind == "calibration" and json.loads(paths[0].read_bytes())["stored"]:
        text = text.replace(NOT_CALIBRATED, CALIBRATED)
    with write_atomically(card) as file:
        file.write(text.encode())
    return card


def shown(figure: Estimate | None, percent: bool = False, sign: bool = False) -> str:
    """Format an estimate with its interval; "not measured" if there is none."""
    if figure is None or figure.get("estimate") is None:
        return "not measured"

    def one(value: float) -> str:
        if percent:
            return f"{100 * value:{'+' if sign else ''}.1f}%"
        return f"{value:{'+' if sign else ''}.3f}"

    text = one(figure["estimate"])
    if figure.get("low") is not None:
        text += f" ({one(figure['low'])} to {one(figure['high'])})"
    return text


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]], words: int = 1) -> str:
    """Return a table in Markdown; the first `words` columns are text, the others numbers."""
    numbers = "---:|" * (len(head) - words)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * words + numbers]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def data_lines(collections: Sequence[dict]) -> str:
    """Return the data of a measurement as a list in Markdown."""
    return "\n".join(
        f"- **{data['name']}** ({data['split']} split): {data['videos_used']} videos, "
        f"{data['genuine_videos']} genuine and {data['fake_videos']} fake; compression: "
        f"{', '.join(data['compressions'])}; {data['crop']}; fingerprint `{data['fingerprint']}`."
        for data in collections
    )


def model_lines(models: Sequence[dict]) -> str:
    """Return the models of a measurement as a list in Markdown."""
    lines = []
    for model in models:
        revision = f"revision `{model['revision']}`, " if model["revision"] else ""
        warning = "" if model["trained"] else " **Untrained: its figures say nothing.**"
        lines.append(
            f"- **{model['name']}**: {model['backbone']}, {revision}weights "
            f"`{model['weights_digest']}`.{warning}"
        )
    return "\n".join(lines)


def warn(sentence: str) -> None:
    """Show a warning to the user; the run continues."""
    print(f"warning: {sentence}", file=sys.stderr)


def domains_table(domains: list[dict]) -> str:
    """Return a calibration's `domains` in Markdown; empty if there is only one."""
    if len(domains) < 2:
        return ""
    rows = [
        (
            block["domain"],
            f"{block['genuine']} / {block['fake']}",
            shown(block.get("false_positive_rate"), percent=True),
            shown(block.get("called_real"), percent=True),
            shown(block.get("detection_rate"), percent=True),
            shown(block.get("miss_rate"), percent=True),
        )
        for block in domains
    ]
    names = ("genuine called fake", "genuine called real", "fakes detected", "fakes called real")
    return markdown_table(("domain", "genuine / fake videos", *names), rows)
