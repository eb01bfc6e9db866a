"""The default model."""

from pathlib import Path

from ..core.errors import ModelError

BUNDLED_MODEL = Path(__file__).resolve().parents[2] / "checkpoints" / "caddm-lite0"


def bundled_model() -> Path:
    """Return the folder of the checkpoint that is part of the repository.

    Raises:
        ModelError: the folder is missing, e.g. if only the package was installed.
    """
    if not BUNDLED_MODEL.is_dir():
        raise ModelError(
            f"The model that comes with the repository, 'checkpoints/{BUNDLED_MODEL.name}', is "
            "not here: name another one."
        )
    return BUNDLED_MODEL
