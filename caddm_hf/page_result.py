"""A `VideoReport` as the part of the page that people read.

One self-contained piece of HTML: pictures and plots lie in it, nothing is fetched. The template
escapes every value put into it; names of files and models are a stranger's text.
"""

import base64
import json

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from .report import PersonReport, VideoReport
from .report_figures import (
    data_uri,
    draw_artifact_boxes,
    heatmap_legend,
    most_suspicious_faces,
    overlay_heatmap,
    score_plot_svg,
    show_percent,
    show_time,
)
from .verdicts import Judgement, Verdict

VERDICT_WORDS = {
    Verdict.FAKE: "Looks fake",
    Verdict.REAL: "No sign of forgery found",
    Verdict.CANNOT_TELL: "Cannot tell",
}
EVIDENCE_NOT_PROOF = (
    "A score is evidence, not proof: weigh it with where the file comes from and what else is "
    "known."
)
# More cards than this are folded away, and so is who could not be judged beside those who could.
MOST_CARDS = 6
PLOT_WIDTHS_PX = {"wide": 640, "narrow": 300}

MACROS = """
{%- macro meter(probability) -%}
<div class="meter" aria-hidden="true">
  <i class="zone real" style="width:{{ thresholds.real_below * 100 }}%"></i>
  <i class="zone fake" style="left:{{ thresholds.fake_above * 100 }}%"></i>
  <i class="mark" style="left:{{ probability * 100 }}%"></i>
</div>
{%- endmacro -%}
{%- macro card(person) -%}
<article class="person {{ person.verdict }}">
  <img class="face" src="{{ person.face }}" alt="Person {{ person.id }}" width="112" height="112">
  <div class="person-facts">
    <h4>Person {{ person.id }}: <span class="words">{{ person.words }}</span></h4>
    {%- if person.probability is not none %}
    <p>Probability of fake: <b>{{ person.percent }}</b></p>
    {{ meter(person.probability) }}
    {%- endif %}
    {%- if person.reason %}<p>{{ person.reason }}</p>{% endif %}
    <p class="small">{{ person.seen }}</p>
  </div>
  {%- if person.plots %}
  <div class="plot">
    <p class="small">Score over time. Choose a point to see that moment in the video.</p>
    {%- for name, svg in person.plots %}<div class="{{ name }}">{{ svg }}</div>{% endfor %}
  </div>
  {%- endif %}
</article>
{%- endmacro -%}
"""

REPORT = (
    MACROS
    + """
<section class="verdict {{ verdict }}" aria-live="polite">
  <h2><span class="words">{{ words }}</span></h2>
  {%- if probability is not none %}
  <p class="score">Probability of fake: <b>{{ percent }}</b></p>
  {{ meter(probability) }}
  {%- endif %}
  {%- if warnings %}
  <ul class="warnings" aria-label="Warnings">
    {%- for warning in warnings %}<li>{{ warning }}</li>{% endfor %}
  </ul>
  {%- endif %}
  <p>{{ meaning }}</p>
  <p class="small">{{ evidence_not_proof }}</p>
</section>
<dl class="facts">
  {%- for name, value in facts %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>{% endfor %}
</dl>
{%- if people %}
<h3>People</h3>
{%- for person in people %}{{ card(person) }}{% endfor %}
{%- if more_people %}
<details class="more"><summary>{{ more_people | length }} more people</summary>
  {%- for person in more_people %}{{ card(person) }}{% endfor %}
</details>
{%- endif %}
{%- endif %}
{%- if faces %}
<h3>{{ "The faces" if is_picture else "Most suspicious faces" }}</h3>
<div class="legend small">
  <span class="scale">Heatmap: 0
    <img src="{{ legend }}" alt="the face as it is, to bright yellow" width="128" height="12">
    1</span>
  <span>How sure the detector is of traces there; the same scale in every picture.</span>
</div>
<div class="faces">
{%- for face in faces %}
<figure>
  <div class="triple">
    <img src="{{ face.plain }}" alt="Face of person {{ face.person }}{{ face.at }}">
    <img src="{{ face.heat }}" alt="The same face under its heatmap">
    <img src="{{ face.boxed }}" alt="The same face with {{ face.boxes }}">
  </div>
  <figcaption>
    {%- if face.time_s is not none -%}
    <button type="button" class="moment" data-time="{{ face.time_s }}"
      title="Show this moment in the video">{{ face.shown_time }}</button>
    {% endif -%}
    <b>{{ face.percent }}</b> person {{ face.person }}; heatmap peak {{ face.peak }};
    {{ face.boxes }}
  </figcaption>
</figure>
{%- endfor %}
</div>
{%- endif %}
<details class="json"><summary>Report as JSON</summary>
  <p><a download="report.json" href="{{ json_uri }}">Download report.json</a></p>
  <pre tabindex="0">{{ json }}</pre>
</details>
"""
)

NOTICE = """<section class="notice {{ kind }}" role="{{ role }}">
{%- if title %}<h2>{{ title }}</h2>{% endif %}<p>{{ text }}</p></section>"""

_environment = Environment(autoescape=True, undefined=StrictUndefined)
_report_template = _environment.from_string(REPORT)
_notice_template = _environment.from_string(NOTICE)


def report_html(report: VideoReport) -> str:
    """The result area for a report."""
    is_picture = report.duration_s == 0
    report_json = json.dumps(report.to_dict(), indent=1)
    judged = sum(p.judgement.fake_probability is not None for p in report.people)
    cards = min(judged or len(report.people), MOST_CARDS)
    return _report_template.render(
        **_judgement_values(report.judgement),
        meaning=_meaning(report, "picture" if is_picture else "video"),
        evidence_not_proof=EVIDENCE_NOT_PROOF,
        thresholds=report.thresholds,
        warnings=report.warnings,
        facts=_facts(report, is_picture),
        people=[_person_values(report, person) for person in report.people[:cards]],
        more_people=[_person_values(report, person) for person in report.people[cards:]],
        faces=_face_values(report, is_picture),
        is_picture=is_picture,
        legend=data_uri(heatmap_legend(), quality=95),
        json=report_json,
        json_uri="data:application/json;base64,"
        + base64.b64encode(report_json.encode()).decode("ascii"),
    )


def error_html(message: str) -> str:
    """The result area where a file could not be used."""
    return _notice_template.render(
        kind="error", role="alert", title="This file could not be checked", text=message
    )


def notice_html(text: str) -> str:
    """The result area where there is nothing to show: empty, or stopped."""
    return _notice_template.render(kind="empty", role="status", title="", text=text)


def _judgement_values(judgement: Judgement) -> dict:
    probability = judgement.fake_probability
    return {
        "verdict": judgement.verdict.value,
        "words": VERDICT_WORDS[judgement.verdict],
        "probability": probability,
        "percent": None if probability is None else show_percent(probability),
    }


def _meaning(report: VideoReport, noun: str) -> str:
    """What the verdict says, in one or two sentences."""
    judgement = report.judgement
    if judgement.verdict is Verdict.CANNOT_TELL:
        return judgement.explanation
    judged = [p for p in report.people if p.judgement.fake_probability is not None]
    if judgement.verdict is Verdict.FAKE:
        return (
            f"The detector sees traces of a forged face in this {noun}, most of all in person "
            f"{judged[0].id}. One forged face makes a forged {noun}."
        )
    whom = "the person" if len(judged) == 1 else f"any of the {len(judged)} people"
    return (
        f"The detector sees no traces of a forged face in {whom} it could judge. Forgeries of a "
        "kind it does not know can go unseen."
    )


def _facts(report: VideoReport, is_picture: bool) -> list[tuple[str, str]]:
    facts = [("File", report.video)]
    if not is_picture:
        facts.append(("Length", show_time(report.duration_s)))
        facts.append(("Frames looked at", str(report.frames_sampled)))
    facts.append(("Model", report.model))
    if report.model_revision:
        facts.append(("Revision", report.model_revision))
    return facts


def _person_values(report: VideoReport, person: PersonReport) -> dict:
    plots = []
    if report.duration_s > 0 and person.judgement.fake_probability is not None:
        plots = [
            (
                name,
                # Made from numbers and our own words alone, so it needs no escaping.
                Markup(score_plot_svg(person, report.thresholds, report.duration_s, (width, 150))),
            )
            for name, width in PLOT_WIDTHS_PX.items()
        ]
    return {
        **_judgement_values(person.judgement),
        "id": person.id,
        "reason": person.judgement.explanation,
        "face": data_uri(person.most_suspicious.crop_rgb),
        "seen": _seen(report, person),
        "plots": plots,
    }


def _seen(report: VideoReport, person: PersonReport) -> str:
    size = max(face.size_px for face in person.faces)
    if report.duration_s == 0:
        return f"The face's longer side is {size:.0f} pixels."
    return (
        f"Seen in {len(person.faces)} of {report.frames_sampled} frames; the face's longer side is "
        f"up to {size:.0f} pixels."
    )


def _face_values(report: VideoReport, is_picture: bool) -> list[dict]:
    values = []
    for suspicious in most_suspicious_faces(report):
        face = suspicious.face
        count = len(face.artifact_boxes)
        boxes = "no box above 50%"
        if count:
            surest = max(box.confidence for box in face.artifact_boxes)
            boxes = f"{count} {'box' if count == 1 else 'boxes'}, surest {show_percent(surest)}"
        values.append(
            {
                "person": suspicious.person_id,
                "percent": show_percent(face.fake_probability),
                "peak": f"{float(face.heatmap.max()):.2f}",
                "boxes": boxes,
                "time_s": None if is_picture else f"{face.time_s:.3f}",
                "shown_time": show_time(face.time_s),
                "at": "" if is_picture else f" at {show_time(face.time_s)}",
                "plain": data_uri(face.crop_rgb),
                "heat": data_uri(overlay_heatmap(face.crop_rgb, face.heatmap)),
                "boxed": data_uri(draw_artifact_boxes(face.crop_rgb, face.artifact_boxes)),
            }
        )
    return values
