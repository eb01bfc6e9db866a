"""Divide the validation split of a collection: a part for choices, a part for the final report.

    python data_scripts/split_by_source.py DATA --out DIR

writes `DIR/validation.parquet` (for choosing checkpoints, thresholds and recipes) and
`DIR/test.parquet` (for a single final evaluation). A forged video is in the same part as its
genuine source. A hash of the source's id decides the part: the same in every run, whatever else is
in the data.
"""

import hashlib
import sys
from pathlib import Path

if __name__ == "__main__":  # the repository, not this folder, is where modules are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from caddm_hf.cli.arguments import WRONG_USE, Parser
from caddm_hf.core.atomic_files import write_atomically
from caddm_hf.core.errors import UserError
from caddm_hf.dataset.frame_table import FrameTable
from caddm_hf.dataset.opening import open_split
from caddm_hf.dataset.schema import FrameDataError
from caddm_hf.dataset.splits import SPLITS


def in_first_part(source_id: str, share: float) -> bool:
    """Whether a source video belongs to the first part, which gets about `share` of them."""
    digest = hashlib.sha256(source_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def split_by_source(data: str, split: str, out: Path, share: float) -> dict[str, int]:
    """Write both parts; returns the number of rows of each.

    Args:
        data: a folder or file of Parquet, or a dataset id on the Hub.
        split: the split to divide.
        out: folder for the two files.
        share: share of the source videos in "validation".

    Raises:
        FrameDataError: the data cannot be used, or a part would be empty.
    """
    rows = open_split(data, split)
    table = FrameTable(rows)
    sources = [
        source or video for source, video in zip(table.source_ids, table.video_ids, strict=True)
    ]
    first = np.array([in_first_part(source, share) for source in sources])
    parts = {"validation": np.flatnonzero(first), "test": np.flatnonzero(~first)}
    for name, numbers in parts.items():
        if not len(numbers):
            raise FrameDataError(f"No row is left for '{name}': the data has too few videos.")
    out.mkdir(parents=True, exist_ok=True)
    for name, numbers in parts.items():
        with write_atomically(out / f"{name}.parquet") as file:
            rows.select(numbers).to_parquet(file)
    return {name: len(numbers) for name, numbers in parts.items()}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = Parser(
        prog="split_by_source.py",
        description="Divide a split of a frame collection in two, by source video.",
        allow_abbrev=False,
    )
    parser.add_argument("data", metavar="DATA", help="folder or file of Parquet, or a Hub id")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the two files")
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument(
        "--share",
        type=float,
        default=0.5,
        metavar="S",
        help="share of the source videos in validation.parquet (default 0.5)",
    )
    options = parser.parse_args(arguments)
    if not 0 < options.share < 1:
        parser.error(f"--share must lie between 0 and 1, got {options.share}.")
    try:
        counts = split_by_source(options.data, options.split, Path(options.out), options.share)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    for name, count in counts.items():
        print(f"{Path(options.out) / name}.parquet: {count} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
