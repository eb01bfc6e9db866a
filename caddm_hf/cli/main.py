"""The command line: `python -m caddm_hf COMMAND --help`.

Each command imports its modules when it runs, so that `--help` appears at once.
"""

import argparse
import sys
from pathlib import Path

from .arguments import FAILED, INTERRUPTED, WRONG_USE, Parser, add_options, read_options
from .evaluate import add_parsers
from .export import add_export_parser
from .options import ScoreOptions

DESCRIPTION = (
    "Deepfake detection with CADDM: score videos, measure and calibrate models, convert the "
    "authors' checkpoints."
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="python -m caddm_hf", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    score = commands.add_parser(
        "score",
        help="judge whether each video or image is real or fake",
        description="Judge videos and images. Exit status: 0 when every file could be read, 1 "
        "when one could not, 2 when the command or the model cannot be used.",
    )
    add_options(score, ScoreOptions)
    score.set_defaults(run=lambda found: _score(read_options(ScoreOptions, found)))

    convert = commands.add_parser(
        "convert",
        help="turn an authors' checkpoint into a model folder",
        description="Read an authors' checkpoint without running any code in it, recognise its "
        "backbone and write a model folder that from_pretrained loads.",
    )
    convert.add_argument("checkpoint", metavar="AUTHORS.pkl", type=Path)
    convert.add_argument("output", metavar="OUT", type=Path, help="new model folder")
    convert.set_defaults(run=_convert)

    add_export_parser(commands)
    add_parsers(commands)
    return parser


def _convert(options: argparse.Namespace) -> int:
    from ..checkpoint.convert import write_model_folder
    from ..core.errors import UserError

    try:
        folder = write_model_folder(options.checkpoint, options.output)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    print(folder)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED


def _score(options: ScoreOptions) -> int:
    if options.output is not None:
        from .score_many import score_at_scale

        return score_at_scale(options)
    if options.engine == "ray":
        print("error: --engine ray writes its results: give --output DIR", file=sys.stderr)
        return WRONG_USE
    from .score import score

    return score(options)
