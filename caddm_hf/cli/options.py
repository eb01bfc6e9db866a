"""The options of `score`, in a module of their own so that `--help` appears at once."""

from dataclasses import dataclass

from ..core.options import option
from ..guard.limits import ENGINES
from ..runtime.names import BACKENDS, describe_backends

OUTPUT_FORMATS = ("jsonl", "parquet")
MANY = "many videos"


@dataclass(kw_only=True)
class ScoreOptions:
    """Options of `score`."""

    videos: list[str] = option("file, folder or http(s) URL", positional=True, metavar="VIDEO")
    json: bool = option("print one JSON object a line", False)
    frames: int = option("frames sampled (default 32)", 32, low=1, high=4096, metavar="N")
    model: str | None = option(
        "model folder or Hub id (default: the bundled model)", None, metavar="ID"
    )
    revision: str | None = option("branch, tag or commit of the model on the Hub", None)
    device: str | None = option("torch device (default: a GPU if there is one)", None)
    allow_private_addresses: bool = option(
        "let URLs lead to this machine and private networks", False
    )
    backend: str = option(describe_backends(), "auto", choices=BACKENDS, metavar="NAME")
    output: str | None = option(
        "write results to this folder (a path or fsspec URL) instead of printing them; the same "
        "command again scores what is missing there",
        None,
        metavar="DIR",
        group=MANY,
    )
    output_format: str = option("default: jsonl", "jsonl", choices=OUTPUT_FORMATS, group=MANY)
    engine: str = option("where jobs run, with --output", "processes", choices=ENGINES, group=MANY)
    workers: int | None = option("videos at once (one per core)", None, metavar="N", group=MANY)
    ray_address: str | None = option(
        "of an existing Ray cluster", None, metavar="ADDRESS", group=MANY
    )
