"""A `VideoReport` as one HTML page to keep, send and print.

The file contains everything: pictures, plots and style. It has no script and fetches nothing, and
its content security policy forbids both. The template escapes every value, because names of files
and models are untrusted.
"""

from collections.abc import Mapping

from markupsafe import Markup

from ..core.formats import show_percent, show_time
from .figures import data_uri, heatmap_legend
from .gallery import suspicious_face_pictures
from .rendering import judgement_values, template_environment
from .score_plot import score_plot_svg
from .verdicts import Verdict
from .video_report import PersonReport, Provenance, VideoReport
from .words import (
    EVIDENCE_NOT_PROOF,
    HEATMAP_MEANING,
    LIMITS,
    UNTRAINED,
    probability_meaning,
    verdict_meaning,
)

MOST_FACES = 6
MOST_PEOPLE = 24  # further people are in the tables only
MOST_ROWS = 2000
PLOT_WIDTHS_PX = {"wide": 720, "narrow": 320}
ZERO_WIDTH_JOINER = "\u200d"  # part of many emoji

_template = template_environment().get_template("evidence.html")


def evidence_html(report: VideoReport, strength: float = 1.0) -> str:
    """Return the page.

    Args:
        report: from the detector or a report file.
        strength: strength of the heatmaps, in [0, 1].

    Returns:
        a complete HTML document without lone surrogates, so it can be written as UTF-8.
    """
    people = report.people[:MOST_PEOPLE]
    rows, left_out = _rows(report)
    return _template.render(
        class_of_dark="",
        dark_paper="#12181f",
        noun=report.kind,
        is_picture=report.kind == "picture",
        name=_shown(report.video),
        checked_at=_moment(report.provenance),
        judgement=judgement_values(report.judgement),
        thresholds=report.thresholds,
        meaning=_shown(verdict_meaning(report)),
        # For an untrained model the banner replaces it.
        probability_meaning=None if _is_untrained(report) else probability_meaning(report),
        untrained=UNTRAINED if _is_untrained(report) else None,
        warnings=[_shown(warning) for warning in report.warnings],
        evidence_not_proof=EVIDENCE_NOT_PROOF,
        people=[_person_values(report, person) for person in people],
        more_people=len(report.people) - len(people),
        faces=_face_values(report, strength),
        legend=data_uri(heatmap_legend(), quality=95),
        heatmap_meaning=HEATMAP_MEANING,
        file_facts=_file_facts(report),
        model_facts=_model_facts(report),
        settings=_settings(report.provenance),
        rows=rows,
        rows_left_out=left_out,
        limits=LIMITS,
    )


def _shown(text: str) -> str:
    """Replace control and direction characters and lone surrogates by U+FFFD."""
    return "".join(c if c.isprintable() or c == ZERO_WIDTH_JOINER else "\ufffd" for c in text)


def _is_untrained(report: VideoReport) -> bool:
    return report.provenance is not None and not report.provenance.model_trained


def _moment(provenance: Provenance | None) -> str | None:
    if provenance is None:
        return None
    return provenance.checked_at.replace("T", " ").replace("+00:00", " UTC")


def _person_values(report: VideoReport, person: PersonReport) -> dict:
    worst = person.most_suspicious
    plots = []
    if report.kind != "picture" and person.fake_probability is not None:
        plots = [
            (
                name,
                # Contains only numbers and fixed text, so it needs no escaping.
                Markup(score_plot_svg(person, report.thresholds, report.duration_s, (width, 170))),
            )
            for name, width in PLOT_WIDTHS_PX.items()
        ]
    return {
        "id": person.id,
        "judgement": judgement_values(person.judgement),
        "reason": _shown(person.judgement.explanation or ""),
        "passages": [
            f"{passage.words} ({show_percent(passage.fake_probability)})"
            for passage in person.passages
        ],
        "face": data_uri(worst.crop_rgb) if worst.has_pictures else None,
        "seen": _seen(report, person),
        "plots": plots,
    }


def _seen(report: VideoReport, person: PersonReport) -> list[str]:
    size = f"{max(face.size_px for face in person.faces):.0f} pixels"
    if report.kind == "picture":
        return [f"The face's longer side is {size}."]
    seen = (
        f"Seen in {len(person.spread_faces)} of the {report.frames_sampled} frames looked at; the "
        f"face's longer side is up to {size}."
    )
    if person.fake_probability is None:
        return [seen]
    scored = sum(face.fake_probability is not None for face in person.spread_faces)
    above = person.suspicious_frames(report.thresholds)
    worst = person.most_suspicious
    return [
        seen,
        f"In {above} of the {scored} frames that count the score of the frame alone is above the "
        f"threshold; highest {show_percent(worst.fake_probability)} at {show_time(worst.time_s)}.",
    ]


def _face_values(report: VideoReport, strength: float) -> list[dict]:
    return [
        {
            "caption": face.caption,
            "pictures": [
                (data_uri(face.crop_rgb), face.crop_alt),
                (data_uri(face.overlay_rgb), face.overlay_alt),
                (data_uri(face.boxed_rgb), face.boxed_alt),
            ],
        }
        for face in suspicious_face_pictures(report, strength, MOST_FACES)
    ]


def _file_facts(report: VideoReport) -> list[tuple[str, str]]:
    facts = [("File", _shown(report.video))]
    if report.provenance is not None:
        facts.append(("SHA-256", report.provenance.file.sha256))
        facts.append(("Size", f"{report.provenance.file.bytes:,} bytes"))
    if report.kind != "picture":
        facts.append(("Length", show_time(report.duration_s)))
        facts.append(("Frames looked at", str(report.frames_sampled)))
    return facts


def _model_facts(report: VideoReport) -> list[tuple[str, str]]:
    thresholds, provenance = report.thresholds, report.provenance
    calibration = "none"
    if not report.scaling.is_identity:
        calibration = f"temperature {report.scaling.temperature:g}, bias {report.scaling.bias:g}"
    facts = [
        ("Model", _shown(report.model)),
        ("Revision", _shown(report.model_revision or "none: not from the Hub")),
    ]
    if provenance is not None:
        facts.append(("Trained", "yes" if provenance.model_trained else "no"))
        if provenance.model_sha256:
            facts.append(("SHA-256 of model.safetensors", provenance.model_sha256))
    facts += [
        (
            "Thresholds",
            f"no sign of forgery below {thresholds.real_below:.2%}, fake above "
            f"{thresholds.fake_above:.2%}",
        ),
        ("Calibration", calibration),
    ]
    if provenance is not None:
        versions = ", ".join(f"{name} {number}" for name, number in provenance.versions.items())
        facts.append(("Versions", _shown(versions)))
    return facts


def _settings(provenance: Provenance | None) -> list[tuple[str, str]]:
    """Names and values, flattened: names in a group are prefixed with the group's name."""
    found = []
    for name, value in (provenance.settings if provenance else {}).items():
        group = value if isinstance(value, Mapping) else {None: value}
        found += [
            (_shown(name if part is None else f"{name}.{part}"), _shown(_setting(setting)))
            for part, setting in group.items()
        ]
    return found


def _setting(value: object) -> str:
    if value is None:
        return "the model's"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rows(report: VideoReport) -> tuple[list[dict], int]:
    """The table's rows, and the number of rows left out."""
    rows = [
        {
            "person": person.id,
            "frame": face.frame_index,
            "time": show_time(face.time_s),
            "probability": f"{face.fake_probability:.4f}",
            "kind": _kind(report, face.fake_probability),
            "size": f"{face.size_px:.0f}",
            "box": ", ".join(f"{value:.0f}" for value in face.box_xyxy),
            "marked": len(face.artifact_boxes),
        }
        for person in report.people
        for face in person.scored_faces
    ]
    return rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS)


def _kind(report: VideoReport, probability: float) -> str:
    if probability > report.thresholds.fake_above:
        return Verdict.FAKE.value
    return Verdict.REAL.value if probability < report.thresholds.real_below else "undecided"
