"""A checkpoint by folder or Hub id -> a model and its processor, or one sentence why not.

Our own classes are used, never code from the checkpoint, and weights are read from safetensors
only, so loading a stranger's model executes nothing of theirs.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError

from .configuration_caddm import CaddmConfig
from .hub_ids import HUB_ID
from .image_processing_caddm import CaddmImageProcessor
from .modeling_caddm import CaddmForDeepfakeDetection

# The slim CPU model that stands in while no trained checkpoint is at hand.
STAND_IN_BACKBONE = "tf_efficientnet_lite0"
STAND_IN_ARTIFACT_WIDTH = 192


class ModelError(ValueError):
    """A model that cannot be used; the message is one sentence for the person who chose it."""


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint ready for use.

    Attributes:
        model: in eval mode.
        image_processor: the checkpoint's input contract.
        name: folder, Hub id or description.
        revision: the Hub commit it came from, if it came from there.
    """

    model: CaddmForDeepfakeDetection
    image_processor: CaddmImageProcessor
    name: str
    revision: str | None = None


def untrained_model(seed: int = 0) -> LoadedModel:
    """A slim model with random weights from a seed: everything works, its scores mean nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CaddmForDeepfakeDetection(
            CaddmConfig(
                backbone=STAND_IN_BACKBONE, artifact_width=STAND_IN_ARTIFACT_WIDTH, trained=False
            )
        )
    return LoadedModel(model.eval(), CaddmImageProcessor(), f"untrained (seed {seed})")


def load_model(
    model_id: str | os.PathLike,
    revision: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
) -> LoadedModel:
    """Load a checkpoint.

    Args:
        model_id: a model folder, or `user/name` on the Hub.
        revision: branch, tag or commit on the Hub.
        token: for private repositories; by default the one huggingface_hub knows.
        local_files_only: do not ask the Hub, use its cache.

    Raises:
        ModelError: there is no such model, it cannot be reached, or it is not a CADDM model.
    """
    name = os.fspath(model_id)
    folder = Path(name)
    if folder.exists():
        _check_folder(folder)
    elif not HUB_ID.fullmatch(name):
        raise ModelError(f"Model '{name}' is neither a folder nor a Hub id of the form user/name.")
    options = {"revision": revision, "token": token, "local_files_only": local_files_only}
    try:
        config = CaddmConfig.from_pretrained(name, **options)
        if config.model_type != CaddmConfig.model_type or "backbone" not in config.to_dict():
            raise ModelError(f"Model '{name}' is not a CADDM model.")
        model, report = CaddmForDeepfakeDetection.from_pretrained(
            name, config=config, use_safetensors=True, output_loading_info=True, **options
        )
        image_processor = CaddmImageProcessor.from_pretrained(name, **options)
    except ModelError:
        raise
    except (
        OSError,
        ValueError,
        TypeError,
        RuntimeError,
        SafetensorError,
        HfHubHTTPError,
        HFValidationError,
    ) as error:
        raise ModelError(_explanation(name, folder.exists(), error)) from error
    incomplete = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if incomplete:
        raise ModelError(
            f"Model '{name}' is incomplete: {len(incomplete)} tensors are missing or misshaped, "
            f"such as {incomplete[0]}."
        )
    return LoadedModel(model.eval(), image_processor, name, _commit(name, revision))


def _commit(name: str, revision: str | None) -> str | None:
    """The commit a model was just loaded from: its files lie in the cache under that name."""
    if Path(name).exists():
        return None
    cached = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(cached).parent.name if isinstance(cached, str) else None


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is no CADDM model before transformers reads it."""
    if not folder.is_dir():
        raise ModelError(
            f"Model '{folder}' is a file; a model is a folder. An authors' .pkl becomes one with "
            "python -m caddm_hf convert FILE FOLDER."
        )
    try:
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise ModelError(f"Folder '{folder}' holds no readable config.json of a model.") from None
    if kind != CaddmConfig.model_type:
        raise ModelError(f"Folder '{folder}' holds a model of type {kind!r}, not a CADDM model.")


def _explanation(name: str, is_folder: bool, error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, OSError) and error.__cause__ else error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return (
            f"Model '{name}' was not found on the Hub, or is private and no token with access to "
            "it was given."
        )
    if status is not None:
        return f"The Hub answered {status} when asked for model '{name}'; try again later."
    if isinstance(error, LocalEntryNotFoundError) or "couldn't connect" in str(error):
        return (
            f"Model '{name}' is not in the cache and the Hub cannot be reached: check the "
            "connection, or give a model folder."
        )
    detail = " ".join(str(error).split())[:200]
    if is_folder or isinstance(error, (ValueError, TypeError)):
        return f"Model '{name}' cannot be loaded: {detail}"
    return f"Model '{name}' could not be fetched from the Hub: {detail}"
