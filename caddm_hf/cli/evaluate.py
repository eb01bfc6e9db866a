"""The measuring commands: evaluate, calibrate, probe-identity."""

import argparse
from collections.abc import Callable

from ..evaluation.options import CalibrateOptions, EvaluateOptions, ProbeOptions
from .arguments import add_options, read_options, run_quietly

EPILOG = "docs/evaluation.md explains every number."


def add_parsers(commands: argparse._SubParsersAction) -> None:
    """Add the sub-commands to those of `python -m caddm_hf`."""
    _add(
        commands,
        "evaluate",
        EvaluateOptions,
        "measure how well a model tells fake from genuine",
        "Score frame collections or folders of videos and write the figures with their intervals: "
        "evaluation.json, .png and .md, and scores.parquet. The same command resumes an "
        "interrupted run. Several processes: accelerate launch -m caddm_hf evaluate ...",
    )
    _add(
        commands,
        "calibrate",
        CalibrateOptions,
        "fit a model's calibration and thresholds on a validation collection",
        "Fit temperature, bias, and thresholds that keep stated error rates, on data the model "
        "was not trained on, and store them in the model's config.json, which the detector reads. "
        "Writes calibration.json, .png and .md.",
    )
    _add(
        commands,
        "probe-identity",
        ProbeOptions,
        "measure how much of a person's identity a model's features give away",
        "Train a linear probe over identities on frozen features and test it on held-out "
        "photographs, beside an ImageNet backbone, random weights, the pixels and, if given, a "
        "plain classifier. Writes identity-probe.json, .png and .md.",
    )


def _add(
    commands: argparse._SubParsersAction,
    name: str,
    options_class: type,
    help: str,
    description: str,
) -> None:
    parser = commands.add_parser(name, help=help, description=description, epilog=EPILOG)
    add_options(parser, options_class)
    parser.set_defaults(run=_runner(name, options_class))


def _runner(name: str, options_class: type) -> Callable[[argparse.Namespace], int]:
    def run(found: argparse.Namespace) -> int:
        def work() -> None:
            from ..evaluation.runs import COMMANDS

            COMMANDS[name](read_options(options_class, found))

        return run_quietly(work)

    return run
