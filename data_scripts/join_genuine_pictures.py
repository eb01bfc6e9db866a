"""Put genuine pictures of several origins into one file, for `--genuine-data` of the training.

    python data_scripts/join_genuine_pictures.py PORTRAITS PRESS --rows 400 620 --out PICTURES

takes the first 400 pictures of PORTRAITS and the first 620 of PRESS; the others stay unseen.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # the repository, not this folder, is where modules are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import datasets

from caddm_hf.cli.arguments import WRONG_USE, Parser
from caddm_hf.core.atomic_files import write_atomically
from caddm_hf.core.errors import UserError
from caddm_hf.dataset.genuine import open_genuine_pictures


def join_pictures(names: Sequence[str], rows: Sequence[int | None], out: Path) -> list[int]:
    """Write the file, with the one column `image`.

    Args:
        names: folders or files of Parquet or dataset ids on the Hub.
        rows: for each name, how many rows to take from the beginning; None for all.
        out: the file, replaced when the new one is complete.

    Returns:
        how many pictures were taken from each.

    Raises:
        FrameDataError: there are no such pictures, or some are labelled fake.
    """
    parts = [open_genuine_pictures(*part) for part in zip(names, rows, strict=True)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(out) as file:
        datasets.concatenate_datasets(parts).to_parquet(file)
    return [len(part) for part in parts]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = Parser(
        prog="join_genuine_pictures.py",
        description="Put genuine pictures of several origins into one Parquet file.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="folder or file of Parquet, or a Hub id"
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        type=int,
        metavar="N",
        help="for each DATA, take the first N rows (default: all)",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="Parquet file")
    options = parser.parse_args(arguments)
    rows = options.rows or [None] * len(options.data)
    if len(rows) != len(options.data):
        parser.error(f"--rows wants {len(options.data)} numbers, one for each DATA.")
    if any(row is not None and row < 1 for row in rows):
        parser.error("--rows must be at least 1.")
    try:
        counts = join_pictures(options.data, rows, options.out)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    for name, count in zip(options.data, counts, strict=True):
        print(f"{name}: {count} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
