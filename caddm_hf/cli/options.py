"""The options of `cli.score_many`, apart from it so that help need not wait for its imports."""

import argparse

from ..guard.engines import ENGINES
from ..runtime.names import BACKENDS

OUTPUT_FORMATS = ("jsonl", "parquet")


def add_scale_options(parser: argparse.ArgumentParser) -> None:
    """The options of `score` that belong to speed and to many videos."""
    add_backend_option(parser)
    group = parser.add_argument_group("many videos")
    group.add_argument(
        "--output",
        metavar="DIR",
        help="write results to this folder (a path or fsspec URL) instead of printing them; the "
        "same command again scores what is missing there",
    )
    group.add_argument(
        "--output-format", choices=OUTPUT_FORMATS, default="jsonl", help="default: jsonl"
    )
    group.add_argument(
        "--engine", choices=ENGINES, default="processes", help="runs the jobs, with --output"
    )
    group.add_argument("--workers", type=int, metavar="N", help="videos at once (one a core)")
    group.add_argument("--ray-address", metavar="ADDRESS", help="of an existing Ray cluster")


def add_backend_option(parser: argparse._ActionsContainer) -> None:
    """`--backend`, which `runtime.backends.open_network` understands."""
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        metavar="NAME",
        help="what computes the network: torch, onnx or openvino (auto: the fastest that is "
        f"installed), or one of {', '.join(n for n in BACKENDS if '-' in n)}",
    )
