"""A `VideoReport` as the part of the page that people read.

One self-contained piece of HTML: pictures and plots lie in it, nothing is fetched. The template
escapes every value put into it; names of files and models are a stranger's text.
"""

import json

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ..report.figures import data_uri, heatmap_legend
from ..report.gallery import SuspiciousFace, face_pictures, most_suspicious_faces
from ..report.score_plot import score_plot_svg
from ..report.verdicts import Judgement
from ..report.video_report import PersonReport, VideoReport
from ..report.words import (
    EVIDENCE_NOT_PROOF,
    HEATMAP_MEANING,
    VERDICT_WORDS,
    probability_meaning,
    show_percent,
    show_time,
    verdict_meaning,
)
from .moments import heat_layer, layer_uri, moments_of

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
{%- macro stack(crop, heat, alt) -%}
<div class="stack"><img src="{{ crop }}" alt="{{ alt }}"><img class="heat" src="{{ heat }}" alt="">
</div>
{%- endmacro -%}
{%- macro card(person) -%}
<article class="person {{ person.verdict }}">
  {%- if person.face %}
  <img class="face" src="{{ person.face }}" alt="Person {{ person.id }}" width="112" height="112">
  {%- else %}<div class="face none">no picture kept</div>{% endif %}
  <div class="person-facts">
    <h4>Person {{ person.id }}: <span class="words">{{ person.words }}</span></h4>
    {%- if person.probability is not none %}
    <p>Probability of fake: <b>{{ person.percent }}</b></p>
    {{ meter(person.probability) }}
    {%- endif %}
    {%- if person.reason %}<p>{{ person.reason }}</p>{% endif %}
    {%- if person.share %}<p>{{ person.share }}</p>{% endif %}
    <p class="small">{{ person.seen }}</p>
  </div>
  {%- if person.plots %}
  <div class="plot">
    <p class="small">Score over time. Choose a point, or use the arrow keys, to see that moment in
      the video.</p>
    <div class="timeline" role="slider" tabindex="0" aria-label="Moments of person {{ person.id }}"
      aria-valuemin="1" aria-valuemax="{{ person.moments }}" aria-valuenow="1">
    {%- for name, svg in person.plots %}<div class="{{ name }}">{{ svg }}</div>{% endfor %}
    </div>
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
  <p class="small scale-words" aria-hidden="true"><span>real below
    {{ real_below }}</span><span>fake above {{ fake_above }}</span></p>
  {%- endif %}
  <p>{{ meaning }}</p>
  {%- if warnings %}
  <ul class="warnings" aria-label="Warnings">
    {%- for warning in warnings %}<li>{{ warning }}</li>{% endfor %}
  </ul>
  {%- endif %}
  <p class="small">{% if probability_meaning %}{{ probability_meaning }} {% endif -%}
    {{ evidence_not_proof }}</p>
</section>
<dl class="facts">
  {%- for name, value in facts %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>{% endfor %}
</dl>
{%- if people %}
<h3>{{ "Person" if people | length == 1 and not more_people else "People" }}</h3>
{%- for person in people %}{{ card(person) }}{% endfor %}
{%- if more_people %}
<details class="more"><summary>{{ more_people | length }} more
  {{ "person" if more_people | length == 1 else "people" }}</summary>
  {%- for person in more_people %}{{ card(person) }}{% endfor %}
</details>
{%- endif %}
{%- endif %}
{%- if faces %}
<h3>{{ "The faces" if picture else "Most suspicious faces" }}</h3>
<div class="legend small">
  <span class="scale">Heatmap: 0
    <img src="{{ legend }}" alt="the face as it is, to bright yellow" width="128" height="12">
    1</span>
  <span>{{ heatmap_meaning }}</span>
</div>
<div class="faces">
{%- for face in faces %}
<figure>
  <div class="triple">
    <img src="{{ face.plain }}" alt="{{ face.plain_alt }}">
    {{ stack(face.plain, face.heat, face.heat_alt) }}
    <img src="{{ face.boxed }}" alt="{{ face.boxed_alt }}">
  </div>
  <figcaption>
    {%- if face.time_s is not none -%}
    <button type="button" class="moment" data-time="{{ face.time_s }}"
      title="Show this moment in the video">{{ face.shown_time }}</button>
    {% endif -%}
    {{ face.caption }}
  </figcaption>
</figure>
{%- endfor %}
</div>
{%- endif %}
<div hidden data-moments="{{ moments }}"></div>
"""
)

NOTICE = """<section class="notice {{ kind }}" role="{{ role }}">
{%- if title %}<h2>{{ title }}</h2>{% endif %}<p>{{ text }}</p></section>"""

_environment = Environment(autoescape=True, undefined=StrictUndefined)
_report_template = _environment.from_string(REPORT)
_notice_template = _environment.from_string(NOTICE)


def report_html(report: VideoReport) -> str:
    """The result area for a report."""
    judged = sum(p.judgement.fake_probability is not None for p in report.people)
    cards = min(judged or len(report.people), MOST_CARDS)
    people = [_person_values(report, person) for person in report.people]
    return _report_template.render(
        **_judgement_values(report.judgement),
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
    """The result area where a file could not be used."""
    return _notice_template.render(kind="error", role="alert", title=title, text=message)


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
                # Made from numbers and our own words alone, so it needs no escaping.
                Markup(score_plot_svg(person, report.thresholds, report.duration_s, (width, 150))),
            )
            for name, width in PLOT_WIDTHS_PX.items()
        ]
    portrait = person.most_suspicious
    return {
        **_judgement_values(person.judgement),
        "id": person.id,
        "reason": person.judgement.explanation,
        "face": data_uri(portrait.crop_rgb) if portrait.has_pictures else None,
        "share": _share(report, person) if plots else "",
        "seen": _seen(report, person),
        "plots": plots,
        "moments": len(person.faces),
    }


def _share(report: VideoReport, person: PersonReport) -> str:
    frames = person.suspicious_frames(report.thresholds)
    share = frames / len(person.faces)
    return (
        f"Suspicious frames: {frames} of {len(person.faces)} ({share:.0%}), taken by themselves "
        "above the threshold for fake"
    )


def _seen(report: VideoReport, person: PersonReport) -> str:
    size = max(face.size_px for face in person.faces)
    if report.kind == "picture":
        return f"The face's longer side is {size:.0f} pixels."
    return (
        f"Seen in {len(person.faces)} of {report.frames_sampled} frames; the face's longer side is "
        f"up to {size:.0f} pixels."
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
