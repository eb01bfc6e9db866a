"""The plot of a video's scores over time, as SVG."""

from itertools import pairwise

import numpy as np

from ..core.formats import show_percent, show_time
from .verdicts import Thresholds
from .video_report import FaceScore, PersonReport

# The plot's colours; a page may set the variables, for instance for its dark mode.
FAKE = "var(--verdict-fake, #b83210)"
REAL = "var(--verdict-real, #0b6e63)"
UNDECIDED = "var(--verdict-undecided, #5b6472)"
INK = "var(--plot-ink, #333a45)"
PAPER = "var(--plot-paper, #ffffff)"
TICK_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


def score_plot_svg(
    person: PersonReport,
    thresholds: Thresholds,
    duration_s: float,
    size_px: tuple[int, int] = (720, 190),
) -> str:
    """A person's score over time with the two thresholds, as an `<svg>` element.

    Points carry `data-time` (seconds), so that a page can jump to the moment.

    Args:
        person: must have a face with a score.
        thresholds: drawn as dashed lines with their bands.
        duration_s: length of the time axis, extended if a face comes later.
        size_px: width and height.
    """
    width, height = size_px
    left, right, top, bottom = 44, 12, 10, 26
    end_s = max(duration_s, person.faces[-1].time_s, 1e-3)

    def x_of(time_s: float) -> float:
        return left + (width - left - right) * time_s / end_s

    def y_of(probability: float) -> float:
        return top + (height - top - bottom) * (1 - probability)

    faces = person.scored_faces
    points = [(x_of(face.time_s), y_of(face.fake_probability)) for face in faces]
    worst = person.most_suspicious
    low = min(face.fake_probability for face in faces)
    summary = (
        f"Score of person {person.id} over time: {len(faces)} frames, from "
        f"{show_percent(low)} to {show_percent(worst.fake_probability)}, highest at "
        f"{show_time(worst.time_s)}."
    )
    parts = [
        f'<svg class="score-plot" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{summary}" font-size="12" '
        'font-family="inherit">',
        *_bands(thresholds, left, width - right, y_of),
        *_time_axis(end_s, width - left - right, x_of, y_of(0)),
        *_passages(person, x_of, y_of),
        *_lines(faces, points),
    ]
    for face, (x, y) in zip(faces, points, strict=True):
        colour = _colour(face.fake_probability, thresholds)
        ring = (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7.5" fill="none" stroke="{colour}" '
            'stroke-width="1.5"/>'
            if face is worst
            else ""
        )
        parts.append(
            f'<g class="moment" data-time="{face.time_s:.3f}">{ring}'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}" stroke="{PAPER}"/>'
            # A larger, invisible disc, as a touch target.
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="10" fill="transparent"/>'
            f"<title>{show_time(face.time_s)}: {show_percent(face.fake_probability)}</title></g>"
        )
    parts += _threshold_labels(thresholds, width - right, y_of)
    return "".join([*parts, "</svg>"])


def _colour(probability: float, thresholds: Thresholds) -> str:
    if probability > thresholds.fake_above:
        return FAKE
    return REAL if probability < thresholds.real_below else UNDECIDED


def _passages(person: PersonReport, x_of, y_of) -> list[str]:
    """Bars at the top of the plot over the stretches that stand out."""
    return [
        f'<rect class="passage" x="{x_of(passage.start_s):.1f}" y="{y_of(1) - 4:.1f}" '
        f'width="{max(2.0, x_of(passage.end_s) - x_of(passage.start_s)):.1f}" height="4" '
        f'fill="{FAKE}"><title>{passage.words} stands out</title></rect>'
        for passage in person.passages
    ]


def _bands(thresholds: Thresholds, x0: float, x1: float, y_of) -> list[str]:
    """The coloured zones, the threshold lines and the scale on the left."""
    fake_y, real_y = y_of(thresholds.fake_above), y_of(thresholds.real_below)
    parts = []
    for y, height, colour in (
        (y_of(1), fake_y - y_of(1), FAKE),
        (real_y, y_of(0) - real_y, REAL),
    ):
        parts.append(
            f'<rect x="{x0}" y="{y:.1f}" width="{x1 - x0}" height="{height:.1f}" '
            f'fill="{colour}" opacity="0.09"/>'
        )
    for y, colour in ((fake_y, FAKE), (real_y, REAL)):
        parts.append(
            f'<line x1="{x0}" x2="{x1}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" '
            'stroke-dasharray="5 4"/>'
        )
    parts += [
        f'<text x="{x0 - 6}" y="{y_of(probability) + 4:.1f}" text-anchor="end" '
        f'fill="{INK}">{probability:.0%}</text>'
        for probability in (0, 0.5, 1)
    ]
    return parts


def _threshold_labels(thresholds: Thresholds, x: float, y_of) -> list[str]:
    """Labels of the dashed lines, outlined to be readable on top of the score."""
    return [
        f'<text x="{x - 4}" y="{y:.1f}" text-anchor="end" fill="{colour}" stroke="{PAPER}" '
        f'stroke-width="3" paint-order="stroke" pointer-events="none">{label}</text>'
        for y, colour, label in (
            (y_of(thresholds.fake_above) - 5, FAKE, f"fake above {thresholds.fake_above:.0%}"),
            (y_of(thresholds.real_below) + 14, REAL, f"real below {thresholds.real_below:.0%}"),
        )
    ]


def _time_axis(end_s: float, width_px: float, x_of, y: float) -> list[str]:
    """The baseline and its ticks, as many as fit."""
    wanted = max(2, width_px / 70)
    step = next((step for step in TICK_STEPS_S if end_s / step <= wanted), end_s)
    parts = [
        f'<line x1="{x_of(0):.1f}" x2="{x_of(end_s):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="{INK}" opacity="0.5"/>'
    ]
    for number in range(int(end_s / step + 1e-9) + 1):
        x = x_of(number * step)
        # A centred last label would extend beyond the picture.
        anchor = "end" if x > x_of(end_s) - 24 else "middle"
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{y + 4:.1f}" stroke="{INK}"/>'
            f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="{anchor}" fill="{INK}">'
            f"{_tick_label(number * step, end_s)}</text>"
        )
    return parts


def _tick_label(seconds: float, end_s: float) -> str:
    """Format a tick: in seconds, or in minutes and seconds on the axis of a longer video."""
    if end_s < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _lines(faces: list[FaceScore], points: list[tuple[float, float]]) -> list[str]:
    """The line through the points, broken where the person was not seen for a while."""
    steps_s = [later.time_s - earlier.time_s for earlier, later in pairwise(faces)]
    longest_s = 2.5 * float(np.median(steps_s)) if steps_s else 0.0
    parts, run = [], points[:1]
    for step_s, point in zip([*steps_s, np.inf], [*points[1:], None], strict=True):
        if point is not None and step_s <= longest_s:
            run.append(point)
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.5" '
            'opacity="0.7"/>'
        )
        run = [point]
    return parts
