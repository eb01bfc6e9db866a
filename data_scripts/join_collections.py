"""Join frame collections, each divided into parts, into one collection.

    python data_scripts/join_collections.py RECIPE.yaml --root DIR --out JOINED

writes `train-00000.parquet`, `choose.parquet` and `calibrate.parquet`; the recipe is described in
docs/data.md.
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # the repository, not this folder, is where modules are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from caddm_hf.cli.arguments import WRONG_USE, Parser
from caddm_hf.core.errors import UserError
from caddm_hf.preparation.joining import join_collections, read_recipe


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = Parser(
        prog="join_collections.py",
        description="Join frame collections, each divided into parts, into one collection.",
        allow_abbrev=False,
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="YAML file, see docs/data.md")
    parser.add_argument(
        "--root", type=Path, required=True, metavar="DIR", help="folder of the sources' data"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the three files"
    )
    options = parser.parse_args(arguments)
    if not options.root.is_dir():
        parser.error(f"--root '{options.root}' is not a folder.")
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"--out '{options.out}' is a file.")
    try:
        counts = join_collections(read_recipe(options.recipe), options.root, options.out)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    for part, by_source in counts.items():
        print(f"{part}: {sum(by_source.values())} rows")
        for name, count in by_source.items():
            print(f"    {name}: {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
