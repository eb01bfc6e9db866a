"""Shared by all commands: parser, argument types, exit statuses, quiet libraries.

This module imports only fast modules, so that `--help` appears at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from inspect import get_annotations
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ..core.errors import UserError

FAILED = 1
WRONG_USE = 2
UNFINISHED = 3
INTERRUPTED = 130  # 128 + SIGINT, as shells report it

Options = TypeVar("Options")


class Parser(argparse.ArgumentParser):
    """A parser that accepts both `--max-videos` and `--max_videos`.

    Args:
        brief: report an error in one sentence, without the usage text.
    """

    def __init__(self, *arguments: Any, brief: bool = False, **options: Any):
        super().__init__(*arguments, **options)
        self._brief = brief

    def parse_known_args(self, args: Sequence[str] | None = None, namespace=None):
        """As in `argparse`, but underscores in option names count as hyphens."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args(hyphenated(words), namespace)

    def error(self, message: str):
        """Exit with status 2."""
        if self._brief:
            self.exit(WRONG_USE, f"error: {message}\n")
        super().error(message)


def hyphenated(words: Sequence[str]) -> list[str]:
    """Replace underscores by hyphens in the option names of a command line.

    Values, also those after `=`, and all words after `--` are not changed.
    """
    result = list(words)
    for number, word in enumerate(result):
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            result[number] = name.replace("_", "-") + equals + value
    return result


def whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return an argparse type for integers from `low` to `high`, both included."""

    def number(text: str) -> int:
        value = int(text)
        if value < low or (high is not None and value > high):
            span = f"be at least {low}" if high is None else f"lie between {low} and {high}"
            raise argparse.ArgumentTypeError(f"must {span}")
        return value

    return number


def share(text: str) -> float:
    """Parse a number between 0 and 1, both excluded (an argparse type)."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1, for example 0.05")
    return value


def add_options(parser: argparse.ArgumentParser, options_class: type) -> None:
    """Add an option for each field of a dataclass, its own fields before inherited ones.

    Args:
        parser: the options are added here.
        options_class: a dataclass with fields made by `core.options.option`.
    """
    hints = get_type_hints(options_class)
    groups: dict[str, argparse._ArgumentGroup] = {}
    known = {stated.name: stated for stated in fields(options_class)}
    own_first = [name for one in options_class.__mro__ for name in get_annotations(one)]
    for stated in (known[name] for name in own_first):
        about = stated.metadata
        place: Any = parser
        if title := about["group"]:
            groups[title] = groups.get(title) or parser.add_argument_group(title)
            place = groups[title]
        elif name := about["exclusive"]:
            groups[name] = groups.get(name) or parser.add_mutually_exclusive_group()
            place = groups[name]
        _add_option(place, stated, hints[stated.name])


def _add_option(place: Any, stated: Any, hint: Any) -> None:
    about = stated.metadata
    needed = stated.default is MISSING and stated.default_factory is MISSING
    default = stated.default_factory() if stated.default_factory is not MISSING else stated.default
    keywords: dict[str, Any] = {"help": about["help"], "default": None if needed else default}
    if get_origin(hint) is UnionType:
        hint = next(one for one in get_args(hint) if one is not NoneType)
    several = get_origin(hint) is list
    if several:
        (hint,) = get_args(hint)
    if hint is bool:
        place.add_argument(_flag(stated.name), action="store_true", help=about["help"])
        return
    keywords["metavar"] = about["metavar"]
    if about["choices"]:
        keywords["choices"] = about["choices"]
    elif about["is_share"]:
        keywords["type"] = share
    elif about["low"] is not None:
        keywords["type"] = whole_number(about["low"], about["high"])
    else:
        keywords["type"] = hint
    if about["positional"]:
        keywords["nargs"] = "+" if several else None if needed else "?"
        place.add_argument(stated.name, **keywords)
        return
    if several:
        keywords["nargs"] = "+"
    place.add_argument(_flag(stated.name), required=needed, **keywords)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def read_options(options_class: type[Options], found: argparse.Namespace) -> Options:
    """Return the dataclass of `add_options`, filled with the parsed values."""
    names = [stated.name for stated in fields(options_class)]
    return options_class(**{name: getattr(found, name) for name in names})


def run_quietly(work: Callable[[], None]) -> int:
    """Run a command; on failure print its error in one sentence.

    Returns:
        the exit status: 0, or `WRONG_USE` if `work` raised a UserError or an OSError.
    """
    quiet_libraries()
    try:
        work()
    except UserError as error:
        # If the command runs in several processes, only the first one prints.
        if os.environ.get("RANK", "0") == "0":
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG_USE
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        return WRONG_USE
    return 0


def quiet_libraries() -> None:
    """Silence libraries' progress bars and messages about retries; errors are still raised."""
    import datasets
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity(hub_logging.CRITICAL)
    datasets.disable_progress_bars()
