"""Load a model and its image processor from a folder or Hub id.

Only our own classes are used, never code from the checkpoint, and weights are read only from
safetensors. Loading a model from outside therefore runs none of its code.
"""

import hashlib
import os
from dataclasses import dataclass

import torch

from ..core.errors import ModelError, first_line
from ..model import auto_classes  # noqa: F401  (so that the Auto classes know CADDM)
from ..model.configuration_caddm import CaddmConfig
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from .files import find_model_files, read_config, read_processor, read_weights

# The slim CPU model that is used if no trained checkpoint is available.
STAND_IN_BACKBONE = "tf_efficientnet_lite0"
STAND_IN_ARTIFACT_WIDTH = 192


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint ready for use.

    Attributes:
        model: in eval mode.
        image_processor: of the checkpoint.
        name: folder, Hub id or description.
        revision: the commit on the Hub; None for a local model.
        stated: names of the values stated in config.json; None for a model made in memory.
    """

    model: CaddmForDeepfakeDetection
    image_processor: CaddmImageProcessor
    name: str
    revision: str | None = None
    stated: frozenset[str] | None = None


def weights_digest(model: torch.nn.Module, beginning: bytes = b"") -> str:
    """Return a digest of a model's tensors, after `beginning`, as 32 hexadecimal digits."""
    digest = hashlib.blake2b(beginning, digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def untrained_model(seed: int = 0) -> LoadedModel:
    """Return a slim model with random weights from a seed. Its scores mean nothing."""
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
        token: for private repositories; by default huggingface_hub's stored token.
        local_files_only: use only the local cache of the Hub.

    Raises:
        ModelError: there is no such model, the Hub cannot be reached, or it is not a CADDM model.
    """
    name = os.fspath(model_id)
    files = find_model_files(name, revision, token, local_files_only)
    config, stated = read_config(files)
    image_processor = read_processor(files)
    tensors = read_weights(files, config)
    try:
        # With None for the name, `from_pretrained` reads no file.
        model = CaddmForDeepfakeDetection.from_pretrained(
            None, config=config, state_dict=tensors, dtype=torch.float32
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"Model '{name}' cannot be loaded: {first_line(error)}") from error
    return LoadedModel(model.eval(), image_processor, name, files.revision, stated)
