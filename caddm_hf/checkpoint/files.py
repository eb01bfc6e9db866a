"""The three files of a model, from a folder or the Hub, checked before they are used.

A model from outside is untrusted: its config.json can make `transformers` load kernels, adapters
and quantizers from other repositories, and build a network of any size before it finds that the
weights do not fit. Therefore only these files are read. Only values of a CADDM model are taken from
the configuration, and the header of the weights is checked first.
"""

import inspect
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..core.errors import ModelError, first_line
from ..core.hub_ids import HUB_ID
from ..model.configuration_caddm import CaddmConfig
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection

CONFIG_FILE = "config.json"
PROCESSOR_FILE = "preprocessor_config.json"
WEIGHTS_FILE = "model.safetensors"
MAX_JSON_BYTES = 2**20
MAX_WEIGHTS_BYTES = 8 * 2**30  # the paper's largest network has 1.2
FLOATS = ("F16", "BF16", "F32", "F64")

# Values taken from the files; `python -m caddm_hf calibrate` writes `calibration`.
THRESHOLD_KEYS = ("real_below", "fake_above")
CONFIG_KEYS = (*(set(inspect.signature(CaddmConfig).parameters) - {"kwargs"}), "calibration")
PROCESSOR_KEYS = (*(set(inspect.signature(CaddmImageProcessor).parameters) - {"kwargs"}),)
LARGEST_NUMBER = 1e6  # in either file; sensible values are far below
LEAST_TEMPERATURE = 1e-3
LARGEST_BIAS = 1e3  # logits of double-precision probabilities reach 745


@dataclass(frozen=True)
class ModelFiles:
    """Paths of a model's files on this machine.

    Attributes:
        name: folder or Hub id, for messages.
        revision: their commit on the Hub; None for a folder.
    """

    name: str
    config: Path
    processor: Path
    weights: Path
    revision: str | None = None


def find_model_files(
    name: str, revision: str | None, token: str | None, local_files_only: bool
) -> ModelFiles:
    """Find the files of a model folder, or download those of a repository that are not cached.

    The sizes of all three are checked before any is downloaded. No other file is downloaded.

    Args:
        name: a model folder, or `user/name` on the Hub.
        revision: branch, tag or commit on the Hub.
        token: for private repositories; by default huggingface_hub's stored token.
        local_files_only: use only the local cache of the Hub.

    Raises:
        ModelError: there is no such model, a file is too large, or the Hub cannot be reached.
    """
    folder = Path(name)
    if folder.exists():
        return _folder_files(folder)
    if not HUB_ID.fullmatch(name):
        raise ModelError(f"Model '{name}' is neither a folder nor a Hub id of the form user/name.")

    options = {"token": token, "local_files_only": local_files_only}

    def ask(file: str, revision: str | None) -> str:
        """Check the size of a file and return its commit."""
        with _explained(name, file, revision):
            found = hf_hub_download(name, file, revision=revision, dry_run=True, **options)
        limit = MAX_WEIGHTS_BYTES if file == WEIGHTS_FILE else MAX_JSON_BYTES
        if found.file_size is None or found.file_size > limit:
            raise ModelError(f"'{file}' of model '{name}' is too large to be fetched.")
        return found.commit_hash

    def fetch(file: str, revision: str | None) -> Path:
        with _explained(name, file, revision):
            return Path(hf_hub_download(name, file, revision=revision, **options))

    asked = None
    if not local_files_only:  # check all sizes before any download
        asked = ask(CONFIG_FILE, revision)
        for file in (PROCESSOR_FILE, WEIGHTS_FILE):
            ask(file, asked)
    # Use the revision's own name, so that the cache can resolve it without the Hub.
    config = fetch(CONFIG_FILE, revision)
    # The cache names folders by commit. The other files must come from the same one.
    commit = config.parent.name
    if asked not in (None, commit):
        raise ModelError(f"Model '{name}' was changed while it was fetched; try again.")
    return ModelFiles(
        name, config, fetch(PROCESSOR_FILE, commit), fetch(WEIGHTS_FILE, commit), commit
    )


@contextmanager
def _explained(name: str, file: str, revision: str | None) -> Iterator[None]:
    """Turn any error of the Hub client into a sentence."""
    try:
        yield
    except Exception as error:
        raise ModelError(_explanation(name, file, revision, error)) from error


def _folder_files(folder: Path) -> ModelFiles:
    if not folder.is_dir():
        raise ModelError(
            f"Model '{folder}' is a file; a model is a folder. An authors' .pkl becomes one with "
            "python -m caddm_hf convert FILE FOLDER."
        )
    files = ModelFiles(
        str(folder), folder / CONFIG_FILE, folder / PROCESSOR_FILE, folder / WEIGHTS_FILE
    )
    read_config(files)  # raises for another kind of model
    for path in (files.processor, files.weights):
        if not path.is_file():
            raise ModelError(
                f"Model '{folder}' cannot be loaded: it holds no {path.name}; pickled weights are "
                "not read."
            )
    return files


def _explanation(name: str, file: str, revision: str | None, error: Exception) -> str:
    # Use the client's error, or its cause if the error only reports an empty cache.
    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(cause, GatedRepoError):
        return f"Model '{name}' is gated: ask for access on its page, and give a token that has it."
    if isinstance(cause, RevisionNotFoundError):
        return f"Model '{name}' has no revision '{revision}'."
    if isinstance(cause, EntryNotFoundError):
        return f"Model '{name}' is not a CADDM model: it has no file {file}."
    if status in (401, 403, 404):
        return (
            f"Model '{name}' was not found on the Hub, or is private and no token with access to "
            "it was given."
        )
    if status is not None:
        return f"The Hub answered {status} when asked for model '{name}'; try again later."
    if isinstance(error, HFValidationError):
        return f"Model '{name}' is neither a folder nor a Hub id of the form user/name."
    if isinstance(error, LocalEntryNotFoundError):
        return (
            f"Model '{name}' is not in the cache and the Hub cannot be reached: check the "
            "connection, or give a model folder."
        )
    return f"Model '{name}' could not be fetched from the Hub: {first_line(error)}"


def read_config(files: ModelFiles) -> tuple[CaddmConfig, frozenset[str]]:
    """Read the model's configuration; ignore other content of the file.

    Returns:
        the configuration, and the names of the values stated in the file; the others are
        defaults.

    Raises:
        ModelError: it is not the configuration of a CADDM model, or a value is absurd.
    """
    stated = _read_json(files, files.config)
    kind = stated.get("model_type")
    if kind != CaddmConfig.model_type or "backbone" not in stated:
        shown = f"holds a model of type {str(kind)[:40]!r}, " if isinstance(kind, str) else "is "
        raise ModelError(f"Model '{files.name}' {shown}not a CADDM model.")
    values = {key: stated[key] for key in CONFIG_KEYS if key in stated}
    null = [key for key in THRESHOLD_KEYS if values.get(key, 0) is None]
    if null:
        raise ModelError(
            f"Model '{files.name}' has no threshold: '{null[0]}' of its config.json is null. "
            "Remove the line and run python -m caddm_hf calibrate."
        )
    temperature = values.get("calibration_temperature", 1.0)
    bias = values.get("calibration_bias", 0.0)
    try:
        _check_numbers(values)
        if not temperature >= LEAST_TEMPERATURE:
            raise ValueError(f"calibration_temperature {temperature} is absurd")
        if not abs(bias) <= LARGEST_BIAS:
            raise ValueError(f"calibration_bias {bias} is absurd")
        return CaddmConfig(**values), frozenset(values)
    except (TypeError, ValueError) as error:
        raise _unloadable(files, error) from error


def read_processor(files: ModelFiles) -> CaddmImageProcessor:
    """Read the model's image processor.

    Raises:
        ModelError: a value is absurd.
    """
    stated = _read_json(files, files.processor)
    values = {key: stated[key] for key in PROCESSOR_KEYS if key in stated}
    try:
        _check_numbers(values)
        processor = CaddmImageProcessor(**values)
        shown = processor.pixel_values(np.zeros((1, processor.size, processor.size, 3), np.uint8))
        if shown.shape != (1, 3, processor.size, processor.size):
            raise ValueError("image_mean and image_std need three numbers each")
        return processor
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unloadable(files, error) from error


def read_weights(files: ModelFiles, config: CaddmConfig) -> dict[str, Tensor]:
    """Read the model's tensors, floating-point ones as float32.

    Names and shapes are checked in the header before memory is allocated, so that a small file
    cannot cause a large network to be built.

    Raises:
        ModelError: the file is damaged, does not fit the configuration, or has values that are
            not finite.
    """
    if files.weights.stat().st_size > MAX_WEIGHTS_BYTES:
        raise ModelError(f"The weights of model '{files.name}' are too large to be loaded.")
    try:
        with torch.device("meta"):  # shapes only
            expected = CaddmForDeepfakeDetection(config).state_dict()
        with safe_open(files.weights, framework="pt") as file:
            there = set(file.keys())
            wrong = sorted(
                name
                for name, tensor in expected.items()
                if name not in there
                or file.get_slice(name).get_shape() != list(tensor.shape)
                or (file.get_slice(name).get_dtype() in FLOATS) != tensor.is_floating_point()
            )
            if wrong:
                raise ModelError(
                    f"Model '{files.name}' is incomplete: {len(wrong)} tensors are missing or "
                    f"misshaped, such as {wrong[0]}."
                )
            tensors = {
                name: file.get_tensor(name).to(like.dtype) for name, like in expected.items()
            }
    except ModelError:
        raise
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise _unloadable(files, error) from error
    not_finite = sorted(name for name, tensor in tensors.items() if not tensor.isfinite().all())
    if not_finite:
        raise ModelError(
            f"Model '{files.name}' cannot be loaded: {len(not_finite)} tensors hold values that "
            f"are no numbers, such as {not_finite[0]}."
        )
    return tensors


def _read_json(files: ModelFiles, path: Path) -> dict:
    try:
        # Reading a pipe or a device might never end.
        if not path.is_file() or os.path.getsize(path) > MAX_JSON_BYTES:
            raise ValueError
        stated = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stated, dict):
            raise ValueError
    except (OSError, ValueError, RecursionError):
        raise ModelError(
            f"Folder '{files.name}' holds no readable {path.name} of a model."
        ) from None
    return stated


def _check_numbers(value: object, name: str = "a value") -> None:
    """Raise a ValueError for a number beyond any sensible value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_numbers(inner, str(key)[:40])
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner, name)
    elif isinstance(value, int | float) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise ValueError(f"{name} is not a sensible number")


def _unloadable(files: ModelFiles, error: Exception) -> ModelError:
    return ModelError(f"Model '{files.name}' cannot be loaded: {first_line(error)}")
