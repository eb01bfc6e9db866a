"""Write a trained model to a folder for `from_pretrained`, and push it to the Hub."""

import shutil
from pathlib import Path

import torch
from huggingface_hub import HfApi, get_token
from safetensors.torch import save_file
from torch import Tensor

from ..core.atomic_files import PARTIAL_PREFIX, sync_folder
from ..core.errors import UserError
from ..model.configuration_caddm import CaddmConfig
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from .card import TrainingFacts, write_model_card

LIST_FILE = "config.json"  # moved last: without it the folder is no model
# Store tensors with at least this many values in half precision. Depthwise kernels and batch
# normalisation are smaller, and the output is most sensitive to their rounding.
HALVED_FROM = 100_000


class PublishError(UserError):
    """A model cannot be pushed; the message is one sentence for the user."""


def write_model_folder(
    folder: Path,
    config: CaddmConfig,
    weights: dict[str, Tensor],
    processor: CaddmImageProcessor,
    facts: TrainingFacts,
    half_precision: bool = False,
) -> list[str]:
    """Write weights, processor, the model's code, card and results into a folder.

    Other files in the folder are kept. Each file is moved into place when complete, `config.json`
    last. With `half_precision` large tensors are stored as float16; `config.json` still states
    float32, and `from_pretrained` converts them.

    Returns:
        the files written, relative to the folder.
    """
    partial = folder / f"{PARTIAL_PREFIX}model"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with torch.device("meta"):
        model = CaddmForDeepfakeDetection(config)
    model.load_state_dict(weights, assign=True)
    model.save_pretrained(partial)
    if half_precision:
        weights = {
            name: tensor.half() if is_halved(tensor) else tensor for name, tensor in weights.items()
        }
        save_file(weights, partial / "model.safetensors", {"format": "pt"})
    processor.save_pretrained(partial)
    write_model_card(partial, facts)
    files = sorted(str(p.relative_to(partial)) for p in partial.rglob("*") if p.is_file())
    for name in sorted(files, key=lambda name: name == LIST_FILE):
        (folder / name).parent.mkdir(exist_ok=True)
        (partial / name).replace(folder / name)
    shutil.rmtree(partial)
    sync_folder(folder)
    return files


def is_halved(tensor: Tensor) -> bool:
    """Whether a tensor is large enough to be stored in half precision."""
    return tensor.is_floating_point() and tensor.numel() >= HALVED_FROM


def open_repository(repo_id: str, private: bool) -> None:
    """Check that the model can be pushed, and create the repository if necessary.

    Raises:
        PublishError: there is no token, or the Hub refuses or cannot be reached.
    """
    if get_token() is None:
        raise PublishError("--push_to_hub needs a token: run hf auth login, or set HF_TOKEN.")
    try:
        HfApi().create_repo(repo_id, private=private or None, exist_ok=True)
    except Exception as error:  # the Hub client raises many types
        raise PublishError(
            f"The Hub does not let us push to '{repo_id}': {_cause(error)}"
        ) from error


def push_model_folder(folder: Path, files: list[str], repo_id: str, step: int) -> str:
    """Upload the given files of a model folder in one commit, and return its URL.

    Raises:
        PublishError: the upload failed; the local folder is complete.
    """
    try:
        commit = HfApi().upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            allow_patterns=files,
            commit_message=f"Upload CADDM model of training step {step}",
        )
    except Exception as error:  # as above
        raise PublishError(
            f"The upload to '{repo_id}' failed ({_cause(error)}); the model is complete in "
            f"'{folder}': run again with --resume_from_checkpoint latest to push it."
        ) from error
    return commit.commit_url


def _cause(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"it answered {response.status_code}"
    return "it cannot be reached"
