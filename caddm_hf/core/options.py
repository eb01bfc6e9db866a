"""Options of a command as the fields of a dataclass, with their help.

    @dataclass(kw_only=True)
    class Options:
        frames: int = option("frames of a video at most", 32, low=1)

`cli.arguments` derives the command line from such a class. `HfArgumentParser` of `transformers`,
which training uses, does the same, but importing it takes a second, which would delay `--help`.
"""

from collections.abc import Sequence
from dataclasses import MISSING, field
from typing import Any

MOST = 1_000_000  # of anything that is counted


def option(
    help: str,
    default: Any = MISSING,
    *,
    metavar: str | None = None,
    low: int | None = None,
    high: int | None = None,
    is_share: bool = False,
    choices: Sequence[str] | None = None,
    positional: bool = False,
    exclusive: str | None = None,
    group: str | None = None,
) -> Any:
    """Return the field of an option.

    Args:
        help: shown by `--help`.
        default: without one, the option must be given. A list is copied.
        metavar: placeholder of the value in the help.
        low, high: bounds of a whole number.
        is_share: whether the number must lie between 0 and 1, both excluded.
        choices: the allowed words.
        positional: whether the value is given without the option's name.
        exclusive: options with the same name here cannot be given together.
        group: title under which the help lists the option.
    """
    metadata = {
        "help": help,
        "metavar": metavar,
        "low": low,
        "high": high,
        "is_share": is_share,
        "choices": choices,
        "positional": positional,
        "exclusive": exclusive,
        "group": group,
    }
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)
