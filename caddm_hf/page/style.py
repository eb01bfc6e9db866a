"""How the page looks, and its fixed words.

System fonts only: the page loads nothing from anywhere but its own server.
"""

import gradio as gr

HEADER = """<header class="page-header"><h1>Is this face real?</h1>
<p>Give a video or a picture with a face. It is searched for the traces that swapping or
re-enacting a face leaves, and you see where they are.</p></header>"""

BANNER = """<div class="banner" role="note"><b>This model was not trained:</b>
its weights are random, and <b>its scores mean nothing.</b></div>"""

LIMITS = """
- **The score** is the probability of "fake", averaged over the frames in which a person's face
  is large enough, then calibrated. The two thresholds belong to the model; between them it says
  "cannot tell".
- **What it looks for:** the local traces that swapping or re-enacting a face leaves inside it. It
  knows nothing of sound, of wholly generated scenes, or of a true video with a false story.
- **It errs.** Methods it was not trained on, strong compression, small or blurred faces and
  filters mislead it, in both directions. Published detectors of this kind, good in the
  laboratory, do much worse in the wild.
- **The heatmap** shows what the detector's 168 overlapping windows say about their part of the
  face: where it sees traces, not who left them.
- **Your file** is kept on the server for about an hour, then deleted.
"""

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "Consolas", "Liberation Mono", "monospace")


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


# Gradio splits selectors at every comma, so none may stand inside :not() or :has().
CSS = """
:root {
  --verdict-fake: #b83210; --verdict-real: #0b6e63; --verdict-undecided: #5b6472;
  --plot-ink: #333a45; --plot-paper: #ffffff;
  --warn-ink: #6b4300; --warn-fill: #fff6e0; --warn-line: #e0a92e;
}
:root.dark, :root .dark {
  --verdict-fake: #ff8b63; --verdict-real: #41c9b4; --verdict-undecided: #aab4c2;
  --plot-ink: #cdd5df; --plot-paper: #1e293b;
  --warn-ink: #ffd98a; --warn-fill: #33270a; --warn-line: #a87b14;
}
.gradio-container { max-width: 1240px !important; margin: 0 auto; }
.gradio-container :is(.main, .wrap, .contain, .tabs, .tabitem, .html-container) { min-width: 0; }
.gradio-container .html-container { padding: 0; }
.gradio-container .page-header h1 { font-size: 1.6rem; font-weight: 700; margin: 0 0 .25rem; }
.page-header p { margin: 0; max-width: 48rem; }
.banner, .result .warnings {
  color: var(--warn-ink); background: var(--warn-fill); border: 1px solid var(--warn-line);
  border-radius: 8px; padding: .6rem .9rem;
}
.banner b { color: inherit; }
.dark button[role=tab][aria-selected=true] { color: var(--primary-300); }
.gradio-container :focus-visible { outline: 2px solid var(--link-text-color) !important;
  outline-offset: 2px; }
.gradio-container button.label-wrap { text-align: left; gap: .5rem; }
.preview:not(:has(.stage)):not(:has(p)) { display: none; }
.stage { position: relative; overflow: hidden; border-radius: 8px; background: #000; }
.stage video, .stage img:not(.heat) {
  /* Of one height from the start: what is below stays where it is. */
  display: block; width: 100%; height: 300px; object-fit: contain;
}
.overlay { position: absolute; inset: 0 auto auto 0; transform-origin: 0 0; pointer-events: none; }
.overlay .crop { position: absolute; left: 0; top: 0; transform-origin: 0 0; }
.overlay .face-box, .mark-box { position: absolute; box-sizing: border-box;
  border-style: solid; }
.overlay .face-box { border-color: #fff; outline: 1px solid #000; }
.overlay .face-box span { position: absolute; left: 0; bottom: 100%; padding: 0 .3em;
  white-space: nowrap; color: #fff; background: #000b; }
.mark-box { border-color: #40e0ff; }
.stack { position: relative; overflow: hidden; border-radius: 4px; }
.stack img { display: block; width: 100%; height: auto; }
img.heat { position: absolute; left: 0; top: 0; width: 100%; height: 100%;
  opacity: var(--heat, 1); }

.moment-view { display: grid; gap: .5rem; color: var(--body-text-color); }
.moment-view[hidden] { display: none; }
.moment-head { display: flex; align-items: center; gap: .5rem; }
.moment-head b { margin-right: auto; }
.moment-head .step { font-size: 1.2rem; line-height: 1; width: 2.2rem; height: 2rem;
  border-radius: 6px; border: 1px solid var(--border-color-primary); cursor: pointer;
  background: var(--button-secondary-background-fill);
  color: var(--button-secondary-text-color); }
.moment-head .step:disabled { opacity: .4; cursor: default; }
.moment-faces { display: grid; gap: .5rem; grid-template-columns: repeat(4, 1fr); }
.moment-faces figure { margin: 0; min-width: 0; }
.moment-faces figcaption { font-size: .85rem; }
@media (min-width: 900px) and (min-height: 760px) {
  /* The player stays in sight while one looks at the result beside it. What is around it must
     not be "hidden", which would make it a box of its own to scroll in. */
  .gradio-container { overflow: clip !important; min-width: 0; }
  .stay-column { align-self: stretch !important; }
  .stay { position: sticky; top: 8px; flex-grow: 0 !important; }
}
.no-preview { margin: 0; padding: .6rem .9rem; border-radius: 8px;
  border: 1px solid var(--border-color-primary); color: var(--body-text-color-subdued); }

.result { color: var(--body-text-color); line-height: 1.45; }
.result h2, .result h3, .result h4, .result p, .result dl, .result figure { margin: 0; }
.result h2 { font-size: 1.5rem; font-weight: 700; }
.result h3 { font-size: 1.1rem; font-weight: 650; margin: 1.25rem 0 .5rem; }
.result h4 { font-size: 1rem; font-weight: 650; }
.result .small { font-size: .85rem; color: var(--body-text-color-subdued); }
.result .fake { --tone: var(--verdict-fake); }
.result .real { --tone: var(--verdict-real); }
.result .cannot_tell { --tone: var(--verdict-undecided); }
.result .words { color: var(--tone); }
.result .verdict, .result .notice, .result .person {
  border: 1px solid var(--border-color-primary); border-radius: 8px;
  background: var(--block-background-fill); padding: 1rem 1.1rem;
}
.result .verdict { border-left: 6px solid var(--tone); display: grid; gap: .5rem; }
.result .score { font-size: 1.05rem; }
.result .notice.empty { min-height: 12rem; display: grid; place-items: center;
  border-style: dashed; background: none; color: var(--body-text-color-subdued); }
.result .notice.error { border-left: 6px solid var(--verdict-fake); display: grid; gap: .4rem; }
.result .notice.error h2 { font-size: 1.2rem; }
.result .warnings { margin: 0; padding-left: 2rem; list-style: disc; }
.result .facts { display: flex; flex-wrap: wrap; gap: .4rem 1.5rem; margin: .75rem 0 0; }
.result .facts > div { display: flex; gap: .4rem; min-width: 0; }
.result .facts dt { color: var(--body-text-color-subdued); white-space: nowrap; }
.result .facts dd { margin: 0; overflow-wrap: anywhere; }

.result .meter { position: relative; height: 10px; border-radius: 5px; overflow: visible;
  background: color-mix(in srgb, var(--verdict-undecided) 25%, transparent); }
.result .meter i { position: absolute; top: 0; bottom: 0; }
.result .meter .zone.real { left: 0; border-radius: 5px 0 0 5px;
  background: color-mix(in srgb, var(--verdict-real) 45%, transparent); }
.result .meter .zone.fake { right: 0; border-radius: 0 5px 5px 0;
  background: color-mix(in srgb, var(--verdict-fake) 45%, transparent); }
.result .meter .mark { width: 4px; margin-left: -2px; top: -4px; bottom: -4px;
  border-radius: 2px; background: var(--body-text-color); }

.result .person { display: grid; grid-template-columns: 112px 1fr; gap: .9rem;
  margin-bottom: .75rem; }
.result .person .face { width: 112px; height: 112px; border-radius: 6px; }
.result .person .face.none { display: grid; place-items: center; text-align: center;
  font-size: .8rem; border: 1px dashed var(--border-color-primary); }
.result .person-facts { display: grid; gap: .35rem; align-content: start; min-width: 0; }
.result .plot { grid-column: 1 / -1; min-width: 0; }
.result .plot svg { display: block; width: 100%; height: auto; }
.result .plot .narrow { display: none; }
.result .timeline { cursor: pointer; border-radius: 6px; }
.result svg .chosen circle:nth-last-of-type(2) { stroke: var(--body-text-color);
  stroke-width: 3; }
.result .scale-words { display: flex; justify-content: space-between; gap: 1rem; }

.result .legend { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .5rem;
  margin-bottom: .5rem; }
.result .legend img { width: 128px; height: 12px; border-radius: 2px; display: inline-block; }
.result .legend .scale { white-space: nowrap; }
.result .faces { display: grid; gap: .9rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }
.result .faces figure:first-child { grid-column: 1 / -1; }
.result .triple { display: grid; grid-template-columns: repeat(3, 1fr); gap: 3px; }
.result .triple img { width: 100%; height: auto; display: block; border-radius: 4px; }
.result figcaption { font-size: .85rem; margin-top: .3rem; }
.result button.moment { font: inherit; cursor: pointer; padding: 0 .5rem; border-radius: 5px;
  border: 1px solid var(--border-color-primary);
  background: var(--button-secondary-background-fill);
  color: var(--button-secondary-text-color); }
.result .table-frame { overflow-x: auto; border: 1px solid var(--border-color-primary);
  border-radius: 8px; }
.result table { width: 100%; border-collapse: collapse; }
.result th, .result td { text-align: left; vertical-align: top; padding: .45rem .6rem;
  border-bottom: 1px solid var(--border-color-primary); }
.result tr:last-child td { border-bottom: 0; }
.result th button { font: inherit; font-weight: 650; white-space: nowrap; color: inherit;
  background: none; border: 0; padding: 0; cursor: pointer; }
.result th[aria-sort=ascending] button::after { content: " \\25B4"; }
.result th[aria-sort=descending] button::after { content: " \\25BE"; }
.result td.file { overflow-wrap: anywhere; min-width: 7rem; }
.result td.file button { font: inherit; text-align: left; color: var(--link-text-color);
  text-decoration: underline; background: none; border: 0; padding: 0; cursor: pointer; }
.result td.file [aria-current] { font-weight: 650; text-decoration: none; }
.result td.remarks { overflow-wrap: anywhere; font-size: .85rem;
  color: var(--body-text-color-subdued); }
.result td.percent, .result td.people { white-space: nowrap; }
.status:empty { display: none; }
.result details { margin-top: 1rem; }
.result summary { cursor: pointer; }
.result pre { max-height: 24rem; overflow: auto; font-size: .8rem; margin: .5rem 0 0;
  padding: .6rem; border-radius: 6px; background: var(--background-fill-secondary); }
.result a { color: var(--link-text-color); text-decoration: underline; }

@media (max-width: 640px) {
  .result .people, .result .number { display: none; }
  .result th, .result td { padding: .4rem; }
  /* A row of the table becomes a card, so that names and remarks have the whole width. */
  .result .table-frame thead tr { display: flex; flex-wrap: wrap; }
  .result .table-frame tbody tr { display: grid; grid-template-columns: 1fr auto;
    border-bottom: 1px solid var(--border-color-primary); }
  .result .table-frame td { border-bottom: 0; }
  .result .table-frame td:is(.file, .remarks) { grid-column: 1 / -1; }
  .result td.percent:not(:empty)::before { content: "Fake: "; }
  .result .facts > div { flex-wrap: wrap; }
  .result .plot .wide { display: none; }
  .result .plot .narrow { display: block; }
  .result .person { grid-template-columns: 84px 1fr; padding: .8rem; }
  .result .person .face { width: 84px; height: 84px; }
}
"""
