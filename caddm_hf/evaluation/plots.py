"""One plot for each measurement, drawn from the same JSON as the text."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from .localisation import FORGERIES, SCALES
from .score_table import Videos

# Okabe and Ito's colours, which colour-blind readers can distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#999999"
LOCALISATION_PANELS = (
    ("pointing_accuracy", "peak inside the forged area"),
    ("energy_share", "energy inside the forged area"),
    ("oracle_iou", "IoU at each map's best threshold"),
)


def evaluation_plot(report: dict, videos: Sequence[Videos]) -> Figure:
    """Plot ROC curves, and the AUC of every dataset and method with its interval.

    Args:
        report: the JSON of `evaluate`.
        videos: of each result in the report.
    """
    rows = []
    for number, result in enumerate(report["results"]):
        name = f"{result['model']}: {result['collection']}"
        rows.append((name, result["overall"]["ranking"]["video_auc"], number, True))
        rows += [
            (f"{block['dataset']}, {block['method']}", block["ranking"]["video_auc"], number, False)
            for block in result["methods"]
        ]
    fig = Figure(figsize=(11, max(4.5, 1.2 + 0.28 * len(rows))), layout="constrained")
    curves, dots = fig.subplots(1, 2)
    for number, (result, found) in enumerate(zip(report["results"], videos, strict=True)):
        scored = found.select(found.scored)
        if len(set(scored.labels.tolist())) < 2:
            continue
        false_positive, true_positive, _ = roc_curve(scored.labels, scored.scores)
        curves.plot(
            false_positive,
            true_positive,
            color=_colour(number),
            label=f"{result['model']}: {result['collection']}",
        )
    curves.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    curves.set(xlabel="genuine videos called fake", ylabel="fake videos found", title="ROC, videos")
    curves.set_aspect("equal")
    curves.legend(fontsize=7, loc="lower right")
    for position, (_, figure, number, whole) in enumerate(rows):
        _dot(dots, figure, position, _colour(number), "o" if whole else "s")
    dots.axvline(0.5, color=GREY, linestyle=":", linewidth=1)
    dots.set_yticks(range(len(rows)), [row[0] for row in rows], fontsize=7)
    dots.invert_yaxis()
    dots.set(xlabel="video AUC with 95% interval", title="whole data (dots) and methods (squares)")
    return fig


def robustness_plot(report: dict) -> Figure:
    """Plot the AUC by level of each distortion, with the clean AUC."""
    names = [curve["distortion"] for curve in report["results"][0]["curves"]]
    fig = Figure(figsize=(12, 6), layout="constrained")
    panels = fig.subplots(2, 4, sharex=True, sharey=True).ravel()
    for panel, name in zip(panels, names, strict=False):
        for number, result in enumerate(report["results"]):
            curve = next(c for c in result["curves"] if c["distortion"] == name)
            figures = [result["clean"], *curve["video_auc"]]
            levels = [0, *curve["levels"]]
            values = [figure["estimate"] for figure in figures]
            label = f"{result['model']}: {result['collection']}"
            panel.plot(levels, values, color=_colour(number), marker="o", label=label)
            if all(figure["low"] is not None for figure in figures):
                panel.fill_between(
                    levels,
                    [figure["low"] for figure in figures],
                    [figure["high"] for figure in figures],
                    color=_colour(number),
                    alpha=0.15,
                    linewidth=0,
                )
            panel.axhline(values[0], color=_colour(number), linestyle="--", linewidth=0.8)
        panel.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        panel.set_title(name)
    handles, labels = panels[0].get_legend_handles_labels()
    for panel in panels[len(names) :]:
        panel.axis("off")
        panel.legend(handles, labels, loc="center", fontsize=8)
    fig.supxlabel("level (0: clean)")
    fig.supylabel("video AUC with 95% interval")
    return fig


def calibration_plot(report: dict) -> Figure:
    """Plot the reliability before and after, and the distribution of the videos."""
    found = report["calibration"]
    fig = Figure(figsize=(10, 5.5), layout="constrained")
    upper, lower = fig.subplots(2, 2, height_ratios=[3, 1], sharex=True)
    for column, name in enumerate(("before", "after")):
        block = found[name]
        curve = block["reliability"]
        error = block["expected_calibration_error"]
        plot = upper[column]
        plot.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        plot.plot(
            curve["mean_probabilities"], curve["fake_shares"], color=_colour(column), marker="o"
        )
        thresholds = found["thresholds"][name]
        for axes in (plot, lower[column]):
            axes.axvspan(thresholds["real_below"], thresholds["fake_above"], color=GREY, alpha=0.2)
        plot.set(
            title=f"{name}: temperature {found['temperature'][name]:.3g}, bias "
            f"{found['bias'][name]:.3g}, calibration error {error:.3f}",
            ylabel="share of fakes",
            ylim=(-0.02, 1.02),
        )
        edges = np.array(curve["bin_edges"])
        lower[column].bar(
            edges[:, 0], curve["counts"], np.diff(edges)[:, 0], align="edge", color=_colour(column)
        )
        lower[column].set(xlabel="probability of fake (grey: undecided band)", ylabel="videos")
    return fig


def probe_plot(report: dict) -> Figure:
    """Plot the probe's accuracy on every set of features, with the chance level."""
    rows = report["results"]
    fig = Figure(figsize=(9, 1.5 + 0.4 * len(rows)), layout="constrained")
    plot = fig.subplots()
    for position, row in enumerate(rows):
        figure = row["accuracy"]
        colour = _colour(0) if row["role"] == "model" else GREY
        plot.barh(position, figure["estimate"], color=colour, alpha=0.7)
        _dot(plot, figure, position, "black", "|")
    chance = report["chance"]
    plot.axvline(chance, color=_colour(1), linestyle="--", label=f"chance, {chance:.1%}")
    plot.set_yticks(range(len(rows)), [row["features"] for row in rows], fontsize=8)
    plot.invert_yaxis()
    plot.set(xlabel="accuracy of naming the person, held-out photographs, 95% interval", xlim=0)
    plot.legend()
    return fig


def localisation_plot(report: dict) -> Figure:
    """Plot three scores of every heatmap by scale of the swap."""
    fig = Figure(figsize=(12, 6.5), layout="constrained")
    panels = fig.subplots(len(FORGERIES), len(LOCALISATION_PANELS), sharey=True, sharex=True)
    for row, forgery in zip(panels, FORGERIES, strict=True):
        blocks = [block for block in report["results"] if block["forgery"] == forgery]
        places = [list(SCALES).index(block["scale"]) for block in blocks]
        for panel, (score, title) in zip(row, LOCALISATION_PANELS, strict=True):
            for number, name in enumerate(blocks[0]["methods"] if blocks else ()):
                if "why" in blocks[0]["methods"][name]:
                    continue
                figures = [block["methods"][name][score] for block in blocks]
                values = [figure["estimate"] for figure in figures]
                shift = 0.08 * number - 0.12
                shifted = [place + shift for place in places]
                panel.plot(shifted, values, "o-", color=_colour(number), label=name, markersize=4)
                for place, figure in zip(shifted, figures, strict=True):
                    if figure["low"] is not None:
                        panel.plot([place] * 2, [figure["low"], figure["high"]], c=_colour(number))
            panel.plot(
                places,
                [block["mask_share"] for block in blocks],
                color=GREY,
                linestyle=":",
                label="an even map",
            )
            panel.set_xticks(range(len(SCALES)), SCALES)
            panel.set_title(f"{forgery}: {title}", fontsize=9)
    panels[0][0].legend(fontsize=7)
    fig.supxlabel("scale of the swap, pixels of a 224 px crop")
    return fig


def false_alarms_plot(report: dict) -> Figure:
    """Plot the probabilities of genuine pictures with the thresholds."""
    fig = Figure(figsize=(7, 4), layout="constrained")
    axes = fig.subplots()
    axes.hist(report["probabilities"], bins=np.linspace(0, 1, 41), color=COLOURS[0])
    for name, colour in (("real_below", COLOURS[2]), ("fake_above", COLOURS[1])):
        axes.axvline(report["thresholds"][name], color=colour, label=name.replace("_", " "))
    axes.set(xlabel="probability of fake", ylabel="genuine pictures", xlim=(0, 1))
    axes.legend()
    return fig


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _dot(axes, figure: dict, position: float, colour: str, marker: str) -> None:
    if figure["estimate"] is None:
        return
    axes.plot(figure["estimate"], position, marker=marker, color=colour)
    if figure["low"] is not None:
        axes.plot([figure["low"], figure["high"]], [position, position], color=colour)
