"""The command line of train_accelerate.py.

Nothing heavy is imported here, so `--help` and wrong options are answered at once.
"""

import sys
from typing import NoReturn

from transformers import HfArgumentParser

from ..core.errors import UserError
from .checks import check_options
from .config import TrainingConfig


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one sentence, without the usage, and exit with status 2."""
        self.exit(2, f"error: {message}\n")


def parse_training_config(arguments: list[str] | None = None) -> TrainingConfig:
    """Read and check the command line; a wrong option ends the process with status 2.

    Args:
        arguments: the words after the script's name; by default those of `sys.argv`.
    """
    parser = _Parser(
        TrainingConfig,
        prog="train_accelerate.py",
        description="Train a CADDM deepfake detector on a frame collection.",
        allow_abbrev=False,
    )
    arguments = sys.argv[1:] if arguments is None else arguments
    config, unknown = parser.parse_args_into_dataclasses(arguments, return_remaining_strings=True)
    if unknown:
        parser.error(f"{unknown[0]} is no option: --help lists them.")
    try:
        check_options(config)
    except UserError as error:
        parser.error(str(error))
    return config
