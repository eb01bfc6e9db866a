"""A checkpoint by folder or Hub id -> a model and its processor, or one sentence why not.

Our own classes are used, never code from the checkpoint, and weights are read from safetensors
only, so loading a model from outside executes none of its code.
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

# The slim CPU model that stands in while no trained checkpoint is at hand.
STAND_IN_BACKBONE = "tf_efficientnet_lite0"
STAND_IN_ARTIFACT_WIDTH = 192


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint ready for use.

    Attributes:
        model: in eval mode.
        image_processor: the checkpoint's input contract.
        name: folder, Hub id or description.
        revision: the Hub commit it came from, if it came from there.
        stated: the values that its config.json states; None for a model that was not read.
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
    files = find_model_files(name, revision, token, local_files_only)
    config, stated = read_config(files)
    image_processor = read_processor(files)
    tensors = read_weights(files, config)
    try:
        # Without a name to look up nothing else is read.
        model = CaddmForDeepfakeDetection.from_pretrained(
            None, config=config, state_dict=tensors, dtype=torch.float32
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"Model '{name}' cannot be loaded: {first_line(error)}") from error
    return LoadedModel(model.eval(), image_processor, name, files.revision, stated)
