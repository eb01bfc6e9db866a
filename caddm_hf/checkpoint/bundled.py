"""The model that serves when none is named."""

from pathlib import Path

from ..core.errors import ModelError

BUNDLED_MODEL = Path(__file__).resolve().parents[2] / "checkpoints" / "caddm-lite0"


def bundled_model() -> Path:
    """The folder of the checkpoint that comes with the repository.

    Raises:
        ModelError: it is not there, as where the package alone was installed.
    """
    if not BUNDLED_MODEL.is_dir():
        raise ModelError(
            f"The model that comes with the repository, 'checkpoints/{BUNDLED_MODEL.name}', is "
            "not here: name another one."
        )
    return BUNDLED_MODEL
