"""A `VideoReport` as HTML for the page's result area.

The HTML is self-contained: it includes pictures and plots and fetches nothing. The template
escapes every value, because names of files and models are untrusted.
"""

import json

from markupsafe import Markup

from ..core.formats import show_percent, show_time
from ..report.figures import data_uri, heatmap_legend
from ..report.gallery import SuspiciousFace, face_pictures, most_suspicious_faces
from ..report.rendering import judgement_values
from ..report.score_plot import score_plot_svg
from ..report.video_report import PersonReport, VideoReport
from ..report.words import (
    EVIDENCE_NOT_PROOF,
    HEATMAP_MEANING,
    probability_meaning,
    verdict_meaning,
)
from .assets import html
from .moments import heat_layer, layer_uri, moments_of

# Further cards are folded, and so are people without a score if there are people with one.
MOST_CARDS = 6
PLOT_WIDTHS_PX = {"wide": 640, "narrow": 300}


def report_html(report: VideoReport) -> str:
    """The result area for a report."""
    judged = sum(p.judgement.fake_probability is not None for p in report.people)
    cards = min(judged or len(report.people), MOST_CARDS)
    people = [_person_values(report, person) for person in report.people]
    return html(
        "result.html",
        **judgement_values(report.judgement),
        meaning=verdict_meaning(report),
        probability_meaning=probability_meaning(report),
        evidence_not_proof=EVIDENCE_NOT_PROOF,
        thresholds=report.thresholds,
        real_below=f"{report.thresholds.real_below:.0%}",
        fake_above=f"{report.thresholds.fake_above:.0%}",
        warnings=report.warnings,
        facts=_facts(report),
        people=people[:cards],
        more_people=people[cards:],
        faces=[
            _face_values(report, suspicious)
            for suspicious in most_suspicious_faces(report)
            if suspicious.face.has_pictures
        ],
        picture=report.kind == "picture",
        legend=data_uri(heatmap_legend(), quality=95),
        heatmap_meaning=HEATMAP_MEANING,
        moments=json.dumps(moments_of(report)),
    )


def error_html(message: str, title: str = "This file could not be checked") -> str:
    """The result area for a file that could not be used."""
    return html("notice.html", kind="error", role="alert", title=title, text=message)


def notice_html(text: str) -> str:
    """The result area without a result: empty, or after a stopped check."""
    return html("notice.html", kind="empty", role="status", title="", text=text)


def _facts(report: VideoReport) -> list[tuple[str, str]]:
    facts = [("File", report.video)]
    if report.kind != "picture":
        facts.append(("Length", show_time(report.duration_s)))
        facts.append(("Frames looked at", str(report.frames_sampled)))
    facts.append(("Model", report.model))
    if report.model_revision:
        facts.append(("Revision of the model", report.model_revision))
    if report.provenance is not None:
        facts.append(("Fingerprint (SHA-256)", report.provenance.file.sha256))
    return facts


def _person_values(report: VideoReport, person: PersonReport) -> dict:
    plots = []
    judged = person.judgement.fake_probability is not None
    if report.kind != "picture" and judged:
        plots = [
            (
                name,
                # Contains only numbers and fixed text, so it needs no escaping.
                Markup(score_plot_svg(person, report.thresholds, report.duration_s, (width, 150))),
            )
            for name, width in PLOT_WIDTHS_PX.items()
        ]
    portrait = person.most_suspicious
    return {
        **judgement_values(person.judgement),
        "id": person.id,
        "reason": person.judgement.explanation,
        "face": data_uri(portrait.crop_rgb) if portrait.has_pictures else None,
        "share": _share(report, person) if plots else "",
        "seen": _seen(report, person),
        "plots": plots,
        "moments": len(person.scored_faces),
        "passages": [
            {
                "time_s": f"{passage.start_s:.3f}",
                "words": passage.words,
                "percent": show_percent(passage.fake_probability),
            }
            for passage in person.passages
        ],
    }


def _share(report: VideoReport, person: PersonReport) -> str:
    frames = person.suspicious_frames(report.thresholds)
    scored = sum(face.fake_probability is not None for face in person.spread_faces)
    share = frames / scored
    return (
        f"Suspicious frames: {frames} of {scored} ({share:.0%}) have a score above the threshold "
        "for fake"
    )


def _seen(report: VideoReport, person: PersonReport) -> str:
    size = max(face.size_px for face in person.faces)
    if report.kind == "picture":
        return f"The face's longer side is {size:.0f} pixels."
    return (
        f"Seen in {len(person.spread_faces)} of {report.frames_sampled} frames; the face's longer "
        f"side is up to {size:.0f} pixels."
    )


def _face_values(report: VideoReport, suspicious: SuspiciousFace) -> dict:
    pictures = face_pictures(report, suspicious)
    face = suspicious.face
    return {
        "caption": pictures.caption,
        "time_s": None if report.kind == "picture" else f"{face.time_s:.3f}",
        "shown_time": show_time(face.time_s),
        "plain": data_uri(face.crop_rgb),
        "plain_alt": pictures.crop_alt,
        "heat": layer_uri(heat_layer(face.heatmap)),
        "heat_alt": pictures.overlay_alt,
        "boxed": data_uri(pictures.boxed_rgb),
        "boxed_alt": pictures.boxed_alt,
    }
