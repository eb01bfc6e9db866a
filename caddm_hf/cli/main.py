"""The command line: `python -m caddm_hf COMMAND --help`.

Each command imports what it needs when it runs, so that help is there at once.
"""

import argparse
import sys
from pathlib import Path

from .evaluate import add_parsers
from .export import add_export_parser
from .options import add_scale_options

DESCRIPTION = (
    "Deepfake detection with CADDM: score videos, measure and calibrate models, convert the "
    "authors' checkpoints."
)

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="python -m caddm_hf", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    score = commands.add_parser(
        "score",
        help="say of each video or image whether it is real or fake",
        description="Judge videos and images. Exit status: 0 when every file could be read, 1 "
        "when one could not, 2 when the command or the model cannot be used.",
    )
    score.add_argument("videos", nargs="+", metavar="VIDEO", help="file, folder or http(s) URL")
    score.add_argument("--json", action="store_true", help="print one JSON object a line")
    score.add_argument(
        "--frames", type=_positive, default=32, metavar="N", help="frames sampled (default 32)"
    )
    score.add_argument(
        "--model", metavar="ID", help="model folder or Hub id (default: the bundled model)"
    )
    score.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    score.add_argument("--device", help="torch device (default: a GPU if there is one)")
    score.add_argument(
        "--allow-private-addresses",
        action="store_true",
        help="let URLs lead to this machine and private networks",
    )
    add_scale_options(score)

    convert = commands.add_parser(
        "convert",
        help="turn an authors' checkpoint into a model folder",
        description="Read an authors' checkpoint without running any code in it, recognise its "
        "backbone and write a model folder that from_pretrained loads.",
    )
    convert.add_argument("checkpoint", metavar="AUTHORS.pkl", type=Path)
    convert.add_argument("output", metavar="OUT", type=Path, help="new model folder")

    add_export_parser(commands)
    add_parsers(commands)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 4096:
        raise argparse.ArgumentTypeError("must lie between 1 and 4096")
    return value


def _convert(options: argparse.Namespace) -> int:
    from ..checkpoint.convert import write_model_folder
    from ..core.errors import UserError

    try:
        folder = write_model_folder(options.checkpoint, options.output)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        if options.command == "convert":
            return _convert(options)
        if options.command != "score":
            return options.run(options)
        if options.output is not None:
            from .score_many import score_at_scale

            return score_at_scale(options)
        if options.engine == "ray":
            print("error: --engine ray writes its results: give --output DIR", file=sys.stderr)
            return 2
        from .score import score

        return score(options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
