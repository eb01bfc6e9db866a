"""The evidence page's HTML and looks: light, dark and on paper."""

STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2430; --soft: #525c6b; --paper: #ffffff; --panel: #f6f7f9; --line: #d5dae1;
  --verdict-fake: #b83210; --verdict-real: #0b6e63; --verdict-undecided: #5b6472;
  --plot-ink: #333a45; --plot-paper: #ffffff;
  --warn-ink: #6b4300; --warn-fill: #fff6e0; --warn-line: #e0a92e; }
@media screen and (prefers-color-scheme: dark) { :root {
  --ink: #e6eaf0; --soft: #aab4c2; --paper: #12181f; --panel: #1b232d; --line: #37414e;
  --verdict-fake: #ff8b63; --verdict-real: #41c9b4; --verdict-undecided: #aab4c2;
  --plot-ink: #cdd5df; --plot-paper: #12181f;
  --warn-ink: #ffd98a; --warn-fill: #33270a; --warn-line: #a87b14; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; }
h1, h2, h3, p, ul, dl, figure, table { margin: 0; }
h1 { font-size: 1.15rem; font-weight: 600; color: var(--soft); }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; }
.name { font-size: 1.35rem; font-weight: 700; overflow-wrap: anywhere; }
.small, .soft { color: var(--soft); } .small { font-size: .875rem; }
.fake { --tone: var(--verdict-fake); } .real { --tone: var(--verdict-real); }
.cannot_tell, .undecided { --tone: var(--verdict-undecided); }
.words { color: var(--tone); }
.verdict { margin-top: 1rem; padding: 1rem 1.2rem; border: 1px solid var(--line);
  border-left: 6px solid var(--tone); border-radius: 8px; display: grid; gap: .5rem; }
.verdict .words { font-size: 1.7rem; font-weight: 700; line-height: 1.2; }
.warnings, .banner { color: var(--warn-ink); background: var(--warn-fill);
  border: 1px solid var(--warn-line); border-radius: 8px; padding: .5rem .9rem; }
.warnings { padding-left: 2rem; }
.banner { margin-top: 1rem; font-weight: 600; }
.meter { position: relative; height: 10px; border-radius: 5px; max-width: 30rem;
  background: color-mix(in srgb, var(--verdict-undecided) 25%, transparent); }
.meter i { position: absolute; top: 0; bottom: 0; }
.meter .zone.real { left: 0; border-radius: 5px 0 0 5px;
  background: color-mix(in srgb, var(--verdict-real) 45%, transparent); }
.meter .zone.fake { right: 0; border-radius: 0 5px 5px 0;
  background: color-mix(in srgb, var(--verdict-fake) 45%, transparent); }
.meter .mark { width: 4px; margin-left: -2px; top: -4px; bottom: -4px; border-radius: 2px;
  background: var(--ink); }
.person { display: grid; grid-template-columns: 112px 1fr; gap: .9rem; padding: 1rem;
  border: 1px solid var(--line); border-radius: 8px; margin-bottom: .8rem; }
.person > img, .no-face { width: 112px; height: 112px; border-radius: 6px; display: block; }
.no-face { border: 1px dashed var(--line); }
.person > div { display: grid; gap: .35rem; align-content: start; min-width: 0; }
.person .plot { grid-column: 1 / -1; }
svg { display: block; width: 100%; height: auto; } .plot .narrow { display: none; }
.legend { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .6rem;
  margin-bottom: .6rem; }
.legend img { width: 128px; height: 12px; border-radius: 2px; vertical-align: middle; }
.faces { display: grid; gap: 1rem; grid-template-columns: 1fr 1fr; }
.triple { display: grid; grid-template-columns: repeat(3, 1fr); gap: 3px; }
.triple img { width: 100%; aspect-ratio: 1; display: block; border-radius: 4px; }
figcaption { font-size: .875rem; margin-top: .3rem; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; overflow-wrap: anywhere; }
.mono { font-family: ui-monospace, Consolas, "Liberation Mono", monospace; font-size: .9em; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
td:first-child, th:first-child { text-align: left; }
.settings th, .settings td { text-align: left; white-space: normal; }
td.score { color: var(--tone); font-weight: 600; }
.limits { padding-left: 1.3rem; } .limits li { margin-bottom: .35rem; }
@media screen and (max-width: 640px) {
  main { padding: 1rem .9rem 2rem; }
  .plot .wide { display: none; } .plot .narrow { display: block; }
  .person { grid-template-columns: 84px 1fr; padding: .8rem; }
  .person > img, .no-face { width: 84px; height: 84px; }
  .faces { grid-template-columns: 1fr; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: .5rem; } }
@media print {
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  .verdict, .person, figure, tr, .limits li { break-inside: avoid; } h2 { break-after: avoid; }
  thead { display: table-header-group; }
  .meter, .meter i, .warnings, .banner, svg { print-color-adjust: exact;
    -webkit-print-color-adjust: exact; } }
"""

PAGE = """<!doctype html>
{%- macro meter(probability) -%}
<div class="meter" aria-hidden="true">
  <i class="zone real" style="width:{{ thresholds.real_below * 100 }}%"></i>
  <i class="zone fake" style="left:{{ thresholds.fake_above * 100 }}%"></i>
  <i class="mark" style="left:{{ probability * 100 }}%"></i>
</div>
{%- endmacro -%}
{%- macro facts(pairs) -%}
<dl class="facts">
  {%- for name, value in pairs %}
  <dt>{{ name }}</dt><dd{% if "SHA" in name %} class="mono"{% endif %}><bdi>{{ value }}</bdi></dd>
  {%- endfor %}
</dl>
{%- endmacro %}
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Evidence on {{ name }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<header>
<h1>Is the face in this {{ noun }} real? What a detector found</h1>
<p class="name"><bdi>{{ name }}</bdi></p>
{%- if checked_at %}<p class="small">Checked on {{ checked_at }} with CADDM-HF</p>{% endif %}
</header>
{%- if untrained %}<p class="banner">{{ untrained }}</p>{% endif %}
<section class="verdict {{ verdict.kind }}">
<p class="words">{{ verdict.words }}</p>
{%- if verdict.probability is not none %}
<p>Probability of fake: <b>{{ verdict.percent }}</b></p>
{{ meter(verdict.probability) }}
{%- endif %}
<p>{{ meaning }}</p>
{%- if probability_meaning %}<p>{{ probability_meaning }}</p>{% endif %}
{%- if warnings %}
<ul class="warnings" aria-label="Warnings">
  {%- for warning in warnings %}<li>{{ warning }}</li>{% endfor %}
</ul>
{%- endif %}
<p><b>{{ evidence_not_proof }}</b></p>
</section>
{%- if people %}
<h2>People</h2>
{%- for person in people %}
<article class="person {{ person.verdict.kind }}">
  {%- if person.face %}
  <img src="{{ person.face }}" width="112" height="112"
    alt="Person {{ person.id }}, the most suspicious face">
  {%- else %}<div class="no-face"></div>{% endif %}
  <div>
    <h3>Person {{ person.id }}: <span class="words">{{ person.verdict.words }}</span></h3>
    {%- if person.verdict.probability is not none %}
    <p>Probability of fake: <b>{{ person.verdict.percent }}</b></p>
    {{ meter(person.verdict.probability) }}
    {%- endif %}
    {%- if person.reason %}<p>{{ person.reason }}</p>{% endif %}
    {%- for sentence in person.seen %}<p class="small">{{ sentence }}</p>{% endfor %}
  </div>
  {%- if person.plots %}
  <div class="plot">
    <p class="small">Score of each frame over time; the ring marks the highest.</p>
    {%- for name, svg in person.plots %}<div class="{{ name }}">{{ svg }}</div>{% endfor %}
  </div>
  {%- endif %}
</article>
{%- endfor %}
{%- if more_people %}<p>{{ more_people }} more people are in the table below.</p>{% endif %}
{%- endif %}
{%- if faces %}
<h2>{{ "The faces" if is_picture else "The most suspicious moments" }}</h2>
<p class="legend small">
  <span>Heatmap: 0 <img src="{{ legend }}" width="128" height="12"
    alt="from the face as it is to bright yellow"> 1</span>
  <span>{{ heatmap_meaning }}</span>
</p>
<div class="faces">
{%- for face in faces %}
<figure>
  <div class="triple">
    {%- for picture, alt in face.pictures %}<img src="{{ picture }}" alt="{{ alt }}">{% endfor %}
  </div>
  <figcaption>{{ face.caption }}</figcaption>
</figure>
{%- endfor %}
</div>
{%- endif %}
<h2>What was checked</h2>
{{ facts(file_facts) }}
<h2>With what</h2>
{{ facts(model_facts) }}
{%- if settings %}
<h2>Settings</h2>
<div class="table"><table class="settings">
<thead><tr><th scope="col">Setting</th><th scope="col">Value</th></tr></thead>
<tbody>
{%- for setting, value in settings %}<tr><td>{{ setting }}</td><td>{{ value }}</td></tr>{% endfor %}
</tbody></table></div>
{%- endif %}
<h2>Limits</h2>
<ul class="limits">{% for limit in limits %}<li>{{ limit }}</li>{% endfor %}</ul>
{%- if rows %}
<h2>Every frame that was scored</h2>
<p class="small">The score of one frame, calibrated; box in pixels (left, top, right, bottom);
places: how many the detector marks in the face.</p>
<div class="table"><table>
<thead><tr><th scope="col">Person</th><th scope="col">Frame</th><th scope="col">Time</th>
<th scope="col">Score</th><th scope="col">Face, px</th><th scope="col">Box</th>
<th scope="col">Places</th></tr></thead>
<tbody>
{%- for row in rows %}
<tr><td>{{ row.person }}</td><td>{{ row.frame }}</td><td>{{ row.time }}</td>
<td class="score {{ row.kind }}">{{ row.probability }}</td><td>{{ row.size }}</td>
<td>{{ row.box }}</td><td>{{ row.marked }}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- if rows_left_out %}<p>{{ rows_left_out }} more are in report.json.</p>{% endif %}
{%- endif %}
</main>
</body>
</html>
"""
