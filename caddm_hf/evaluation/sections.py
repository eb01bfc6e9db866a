"""The text of each measurement: a section of the model card, in Markdown."""

from ..metrics.reliability import BINS
from .figures import LEVEL
from .localisation import THRESHOLDS
from .output import data_lines, domains_table, markdown_table, model_lines, shown

SURE = (
    f"Intervals are {LEVEL:.0%}. Those of ranking figures are percentile bootstraps over videos "
    "({samples} resamples; a video and what was forged from it are drawn together), those of "
    "shares are Wilson's. They tell the doubt left by this many videos of this collection, not "
    "how the model does on other data."
)

RANKING_HEAD = (
    *("model", "data", "genuine + fake", "failed", "video AUC", "video EER", "video AP"),
    *("frame AUC", "frame EER"),
)
VERDICTS_HEAD = (
    *("model", "data", "real below / fake above", "false-positive rate", "fakes detected"),
    *("accuracy of the decided", "undecided", "failed", "right, of all videos"),
)


def evaluation_section(report: dict) -> str:
    """Return the section for the JSON of `evaluate`."""
    ranking, verdicts, probabilities, methods = [], [], [], []
    for result in report["results"]:
        who = (result["model"], result["collection"])
        overall = result["overall"]
        counts, figures = overall["counts"], overall["ranking"]
        ranking.append(
            (
                *who,
                f"{counts['genuine']} + {counts['fake']}",
                counts["failed"],
                *(
                    shown(figures[name])
                    for name in ("video_auc", "video_eer", "video_average_precision")
                ),
                shown(overall["frames"]["frame_auc"]),
                shown(overall["frames"]["frame_eer"]),
            )
        )
        if "verdicts" in overall:
            judged = overall["verdicts"]
            undecided = sum(row["undecided"] for row in judged["outcomes"].values())
            verdicts.append(
                (
                    *who,
                    f"{judged['thresholds']['real_below']:.3f} / "
                    f"{judged['thresholds']['fake_above']:.3f}",
                    *(
                        shown(judged[name], percent=True)
                        for name in ("false_positive_rate", "detection_rate", "accuracy")
                    ),
                    undecided,
                    counts["failed"],
                    shown(judged["right_of_all"], percent=True),
                )
            )
        if "calibration" in overall:
            found = overall["calibration"]
            probabilities.append(
                (
                    *who,
                    f"{found['fake_share']:.1%}",
                    f"{found['expected_calibration_error']:.3f}",
                    f"{found['error_if_calibrated']:.3f}",
                )
            )
        for block in result["methods"]:
            place = " ".join(filter(None, (block["dataset"], block["compression"])))
            methods.append(
                (
                    result["model"],
                    place,
                    block["method"],
                    block["counts"]["fake"],
                    shown(block["ranking"]["video_auc"]),
                    shown(block.get("verdicts", {}).get("detection_rate"), percent=True),
                )
            )
    protocol = report["protocol"]
    parts = [
        "## Evaluation",
        f"What was measured: how well the model tells fake videos from genuine ones. Protocol: at "
        f"most {protocol['frames']} frames a video, evenly spread; {protocol['aggregation']}.",
        model_lines(report["models"]),
        data_lines(report["collections"]),
        "### Ranking",
        markdown_table(
            RANKING_HEAD,
            ranking,
            words=2,
        ),
        "Failed videos have no score and are in none of these; they are counted in `failed`.",
    ]
    if verdicts:
        parts += [
            "### Verdicts at the model's thresholds",
            markdown_table(
                VERDICTS_HEAD,
                verdicts,
                words=2,
            ),
        ]
    if probabilities:
        parts += [
            "### Probabilities as served",
            markdown_table(
                ("model", "data", "fakes", "expected calibration error", "by chance alone"),
                probabilities,
                words=2,
            ),
            f"The error has {BINS} bins. Chance alone would show as much as the last column says, "
            "were the probabilities right; where fakes are rarer or more frequent than the model's "
            "calibration presumes, the error grows.",
        ]
    parts += [
        *_false_alarms_parts(report["results"]),
        "### By method",
        markdown_table(
            ("model", "dataset", "method", "fakes", "video AUC", "fakes detected"),
            methods,
            words=3,
        ),
        "Each method's fakes against all genuine videos of its dataset.",
    ]
    table = report["cross_dataset_table"]
    if len(table["columns"]) > 1 or len(table["rows"]) > 1:
        parts += [
            "### Across datasets, video AUC",
            markdown_table(
                ("model", *table["columns"]),
                ((row["model"], *map(shown, row["video_auc"])) for row in table["rows"]),
            ),
        ]
        if verdicts:
            parts += [
                "Genuine videos called fake there, at the same thresholds everywhere:",
                markdown_table(
                    ("model", *table["columns"]),
                    (
                        (
                            row["model"],
                            *(shown(f, percent=True) for f in row["false_positive_rate"]),
                        )
                        for row in table["rows"]
                    ),
                ),
            ]
    parts.append(SURE.format(samples=protocol["bootstrap_samples"]))
    return _joined(parts)


def _false_alarms_parts(results: list[dict]) -> list[str]:
    """Tabulate genuine videos called fake, by origin and face size; empty without verdicts."""
    rows = [
        (result["model"], result["collection"], what, name, figure["trials"], figure)
        for result in results
        for what, key in (("origin", "by_origin"), ("face, px", "by_face_size"))
        for name, figure in result.get("false_alarms", {}).get(key, {}).items()
    ]
    if not rows:
        return []
    return [
        "### False alarms by domain and by face size",
        markdown_table(
            ("model", "data", "by", "", "genuine videos", "called fake"),
            [(*row, shown(figure, True)) for *row, figure in rows],
            words=4,
        ),
        "Sizes: the longer side of the face's box in videos, of the picture in collections.",
    ]


def robustness_section(report: dict) -> str:
    """Return the section for the JSON of `evaluate --robustness`."""
    parts = [
        "## Robustness",
        "What was measured: the video AUC after seven distortions at five levels (after "
        "DeeperForensics-1.0), applied to the aligned crop; faces are found on the clean frame.",
        model_lines(report["models"]),
        data_lines(report["collections"]),
    ]
    for result in report["results"]:
        rows = [
            (
                curve["distortion"],
                *(f"{figure['estimate']:.3f}" for figure in curve["video_auc"]),
                f"{-curve['mean_drop']:+.3f}",
            )
            for curve in result["curves"]
        ]
        head = ("distortion", *(f"level {n}" for n in range(1, 6)), "mean, against clean")
        parts += [
            f"**{result['model']}** on {result['collection']}: clean "
            f"{shown(result['clean'])}, mean over all distortions "
            f"{result['mean_video_auc']:.3f}.",
            markdown_table(head, rows),
        ]
    parts.append(SURE.format(samples=report["protocol"]["bootstrap_samples"]))
    return _joined(parts)


def calibration_section(report: dict) -> str:
    """Return the section for the JSON of `calibrate`."""
    found = report["calibration"]
    before, after, held = found["before"], found["after"], found["held_out"]

    def row(name: str, key: str, percent: bool) -> tuple:
        cells = []
        for block in (before, after, held):
            value = block.get(key)
            if isinstance(value, float):
                value = {"estimate": value}
            cells.append(shown(value, percent))
        return (name, *cells)

    rates = [
        (
            f"{row_['rate']:.1%}",
            f"{row_['threshold']:.4f}",
            shown(row_["false_positive_rate"], percent=True),
            shown(row_["detection_rate"], percent=True),
        )
        for row_ in found["at_rates"]
    ]
    thresholds = found["thresholds"]["after"]
    stated = found["stated_rates"]
    held_words = (
        f"Held out: {held['folds']} folds, each judged by a fit on the others."
        if held["folds"]
        else f"Nothing was held out: {held['why'].rstrip('.')}."
    )
    return _joined(
        [
            "## Calibration",
            "What was measured: whether the probabilities are what they say, and which thresholds "
            "keep the stated error rates.",
            model_lines([report["model"]]),
            data_lines([report["collection"]]),
            f"Temperature {found['temperature']['before']:.4g} and bias "
            f"{found['bias']['before']:.4g} became {found['temperature']['after']:.4g} and "
            f"{found['bias']['after']:.4g}. A video is called real below "
            f"{thresholds['real_below']:.4f} and fake above {thresholds['fake_above']:.4f} "
            f"(stated rates: {stated['false_positive']:.1%} of genuine videos called fake, "
            f"{stated['miss']:.1%} of fakes called real); between them nothing is decided.",
            markdown_table(
                ("", "before", "after, same videos", "after, held out"),
                [
                    row("expected calibration error", "expected_calibration_error", False),
                    row("the same by chance alone", "error_if_calibrated", False),
                    row("negative log likelihood", "negative_log_likelihood", False),
                    row("video AUC, as served", "video_auc", False),
                    row("genuine called fake", "false_positive_rate", True),
                    row("fakes called real", "miss_rate", True),
                    row("undecided", "undecided", True),
                ],
            ),
            f"{held_words} A probability presumes that {found['prior']['fake_share']:.1%} of "
            f"videos are fake{', as here' if found['prior']['as_found'] else ''} "
            f"({found['videos']['genuine']} genuine and {found['videos']['fake']} fake videos). "
            f"The error has {BINS} bins; right probabilities of so few videos show the one below.",
            markdown_table(
                ("stated rate", "threshold", "genuine called fake", "fakes detected"), rates
            ),
            domains_table(found["domains"]),
        ]
    )


def probe_section(report: dict) -> str:
    """Return the section for the JSON of `probe-identity`."""
    rows = [
        (
            row["features"],
            row["dimensions"],
            shown(row["accuracy"], percent=True),
            f"{row['top5']:.1%}",
            f"{row['shuffled_accuracy']:.1%}",
        )
        for row in report["results"]
    ]
    data = report["collection"]
    return _joined(
        [
            "## Identity probe",
            "What was measured: how often a linear classifier on frozen features names the right "
            "person on photographs it has not seen. Lower is better for a detector: it cannot "
            "have learned who is who.",
            model_lines(report["models"]),
            f"- Data: **{data['name']}**, {data['people']} people, {data['photographs']} genuine "
            f"photographs; fingerprint `{data['fingerprint']}`.",
            f"Chance (always the most frequent person): {report['chance']:.1%}.",
            markdown_table(
                ("features", "numbers", "accuracy", "right among five", "names shuffled"), rows
            ),
            "Five folds, photographs of one video together; ridge classifier on standardised "
            "features, its penalty chosen inside the training folds. Intervals are "
            f"{LEVEL:.0%} bootstraps over people ({report['protocol']['bootstrap_samples']} "
            "resamples). Features of other lengths are not quite alike: more numbers can hold "
            "more. The pixels show how much the photographs of a person resemble each other "
            "anyway.",
        ]
    )


def localisation_section(report: dict) -> str:
    """Return the section for the JSON of `evaluate --localisation`."""
    data = report["collection"]
    parts = [
        "## Localisation",
        "What was measured: whether the heatmap points at the forged place. Genuine faces were "
        "forged in known places, by an altered copy of the face (self) or by another person's "
        "(cross).",
        model_lines([report["model"]]),
        f"- Data: **{data['name']}**, {data['faces']} genuine faces; fingerprint "
        f"`{data['fingerprint']}`.",
        "Swaps against the genuine crops they were made from: AUC "
        + ", ".join(f"{value:.3f} ({name})" for name, value in report["separation"].items())
        + ". Where this is near 0.5 the model does not see the swaps at all, and its heatmaps "
        "cannot be right but by luck.",
    ]
    rows = []
    for block in report["results"]:
        for name, scores in block["methods"].items():
            what = (f"{block['forgery']}, {block['scale']}", name)
            if "why" in scores:
                rows.append((*what, scores["why"], "", "", ""))
                continue
            rows.append(
                (
                    *what,
                    shown(scores["pointing_accuracy"], percent=True),
                    shown(scores["energy_share"], percent=True),
                    f"{scores['common_iou']:.3f}",
                    shown(scores["oracle_iou"]),
                )
            )
        rows.append(
            (
                f"{block['forgery']}, {block['scale']}",
                "an even map",
                *[f"{block['mask_share']:.1%}"] * 2,
                f"{block['mask_share']:.3f}",
                "",
            )
        )
    parts += [
        markdown_table(
            (
                "swap",
                "heatmap",
                "peak inside",
                "energy inside",
                "IoU, one threshold",
                "IoU, best threshold each",
            ),
            rows,
            words=2,
        ),
        f"IoU: the best of {len(THRESHOLDS)} thresholds, one for all maps or each map's own "
        "(which knows the answer and is optimistic). "
        + SURE.format(samples=report["protocol"]["bootstrap_samples"]),
    ]
    return _joined(parts)


def false_alarms_section(report: dict) -> str:
    """Return the section for the JSON of `evaluate --false-alarms`."""
    data, verdicts, limits = report["collection"], report["verdicts"], report["thresholds"]
    return _joined(
        [
            "## Genuine pictures",
            "What was measured: how many genuine pictures are called fake.",
            model_lines([report["model"]]),
            f"- Data: **{data['name']}**, {data['pictures']} genuine pictures with a face "
            f"({data['without_a_face']} without were left out, and the first "
            f"{report['protocol']['skipped_rows']} rows); fingerprint `{data['fingerprint']}`.",
            markdown_table(
                ("real below / fake above", "called fake", "undecided", "called real"),
                [
                    (
                        f"{limits['real_below']:.3f} / {limits['fake_above']:.3f}",
                        *(
                            shown(verdicts[name], percent=True)
                            for name in ("called_fake", "undecided", "called_real")
                        ),
                    )
                ],
            ),
            f"Intervals are Wilson's, {LEVEL:.0%}.",
        ]
    )


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
