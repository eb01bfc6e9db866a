"""How the page looks, and its fixed words.

System fonts only: the page loads nothing from anywhere but its own server.
"""

import gradio as gr

HEADER = """<header class="page-header"><h1>Is this face real?</h1>
<p>Give a video or a picture with a face. It is searched for the traces that swapping or
re-enacting a face leaves, and you see where they are.</p></header>"""

BANNER = """<div class="banner" role="note"><b>No trained model is in use.</b> A model with
random weights stands in, to show how the page works: <b>its scores mean nothing.</b></div>"""

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
.gradio-container .html-container { padding: 0; }
.gradio-container .page-header h1 { font-size: 1.6rem; font-weight: 700; margin: 0 0 .25rem; }
.page-header p { margin: 0; max-width: 48rem; }
.banner, .result .warnings {
  color: var(--warn-ink); background: var(--warn-fill); border: 1px solid var(--warn-line);
  border-radius: 8px; padding: .6rem .9rem;
}
.banner b { color: inherit; }
#video-preview:not(:has(video)):not(:has(p)) { display: none; }
#picture-preview:not(:has(img)):not(:has(p)) { display: none; }
#video-preview video, #picture-preview img {
  /* Of one height from the start: the buttons below stay where they are. */
  display: block; width: 100%; height: 260px; object-fit: contain; background: #000;
  border-radius: 8px;
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
.result .person-facts { display: grid; gap: .35rem; align-content: start; min-width: 0; }
.result .plot { grid-column: 1 / -1; min-width: 0; }
.result .plot svg { display: block; width: 100%; height: auto; }
.result .plot .narrow { display: none; }
.result svg .moment { cursor: pointer; }

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
.result details { margin-top: 1rem; }
.result summary { cursor: pointer; }
.result pre { max-height: 24rem; overflow: auto; font-size: .8rem; margin: .5rem 0 0;
  padding: .6rem; border-radius: 6px; background: var(--background-fill-secondary); }
.result a { color: var(--link-text-color); text-decoration: underline; }

@media (max-width: 640px) {
  .result .plot .wide { display: none; }
  .result .plot .narrow { display: block; }
  .result .person { grid-template-columns: 84px 1fr; padding: .8rem; }
  .result .person .face { width: 84px; height: 84px; }
}
"""
