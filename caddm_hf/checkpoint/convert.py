"""The authors' released checkpoint -> a model folder.

    python -m caddm_hf convert resnet34.pkl models/caddm-resnet34

An authors' `.pkl` contains `{"network": state_dict, "opt_state": ..., "epoch": int}`. It is read
with `weights_only=True`, so no code in it is executed; a file that needs more than tensors and
plain containers is refused. The backbone is recognised from the tensors.
"""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..core.atomic_files import make_folder_atomically
from ..core.errors import UserError, first_line
from ..model.configuration_caddm import CaddmConfig
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection

MAX_CHECKPOINT_BYTES = 8 * 1024**3
NAMES_SHOWN = 8

# The authors' two backbone families, recognised by their first tensor. EfficientNets are then
# distinguished by the channels of their last map.
RESNET_STEM = "base_model.conv1.weight"
EFFICIENTNET_STEM = "base_model._conv_stem.weight"
EFFICIENTNET_BY_CHANNELS = {1536: "tf_efficientnet_b3", 1792: "tf_efficientnet_b4"}
# The ImageNet classifier, which the authors' files contain but their network never uses.
UNUSED = re.compile(r"base_model\.(?:fc|_fc)\.(?:weight|bias)")

ARTIFACT_MODULE_RENAMES = (
    (r"^adm\.adm_extra_layers\.([012])\.0\.", r"artifact_module.blocks.\1."),
    (r"^adm\.adm_extra_layers\.3\.", r"artifact_module.blocks.3."),
    (r"^adm\.multi_scale_detection_module\.ms_dets\.", "artifact_module.offset_heads."),
    (r"^adm\.multi_scale_detection_module\.ms_cls\.", "artifact_module.logit_heads."),
    (r"(artifact_module\.blocks\.\d\.)bn([12])\.", r"\1norm\2."),
    (r"(artifact_module\.blocks\.[012]\.)downsample\.0\.", r"\1shortcut_conv."),
    (r"(artifact_module\.blocks\.[012]\.)downsample\.1\.", r"\1shortcut_norm."),
    (r"(artifact_module\.blocks\.3\.)downsample\.", r"\1shortcut_conv."),
    (r"^fc\.", "classifier."),
)
EFFICIENTNET_RENAMES = (
    (r"^_conv_stem\.", "conv_stem."),
    (r"^_bn0\.", "bn1."),
    (r"^_conv_head\.", "conv_head."),
    (r"^_bn1\.", "bn2."),
    (r"^_blocks\.(\d+)\._se_(reduce|expand)\.", r"_blocks.\1.se.conv_\2."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"_blocks.\1.conv_dw."),
)
# timm numbers a block's 1x1 convolutions and norms. In blocks without an expansion (the first
# stage) the projection is the first 1x1 convolution, and its norm is the second norm.
EXPANDING_RENAMES = (
    ("_expand_conv.", "conv_pw."),
    ("_project_conv.", "conv_pwl."),
    ("_bn2.", "bn3."),
    ("_bn1.", "bn2."),
    ("_bn0.", "bn1."),
)
PLAIN_RENAMES = (("_project_conv.", "conv_pw."), ("_bn1.", "bn1."), ("_bn2.", "bn2."))


class CheckpointError(UserError):
    """A checkpoint that cannot be converted; the message says why in one sentence."""


def read_authors_checkpoint(path: str | os.PathLike) -> dict[str, Tensor]:
    """Return the state dict of an authors' file, without `module.` prefixes in the names.

    Raises:
        CheckpointError: the file is missing, too large, not a checkpoint, would run code, or
            contains values other than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path.name}: there is no such checkpoint file")
    if path.stat().st_size > MAX_CHECKPOINT_BYTES:
        raise CheckpointError(f"{path.name}: larger than {MAX_CHECKPOINT_BYTES >> 30} GiB")
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            # torch warns about pickles that it may not read; the errors below cover that.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name}: refused, because reading it would run code stored in it or because "
            f"it is no PyTorch checkpoint ({first_line(error)})"
        ) from error
    except Exception as error:  # damaged files make torch raise many types
        raise CheckpointError(
            f"{path.name}: not a readable PyTorch checkpoint ({first_line(error)})"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("network"), Mapping):
        content = content["network"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path.name}: holds no state dict under 'network'")
    strange = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise CheckpointError(f"{path.name}: entries that are not tensors: {_listed(strange)}")
    unusual = [str(key) for key, value in content.items() if not _is_plain(value)]
    if unusual:
        raise CheckpointError(f"{path.name}: tensors without plain values: {_listed(unusual)}")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        name = re.sub(r"^(?:module\.)+", "", str(key))
        if name in tensors:
            raise CheckpointError(f"{path.name}: two tensors are called {name}")
        tensors[name] = value
    return tensors


def _check_archive(path: Path) -> None:
    """Refuse a compressed archive, which could expand on reading; PyTorch writes none."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # a damaged directory makes zipfile raise many types
        raise CheckpointError(f"{path.name}: a damaged archive ({first_line(error)})") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(f"{path.name}: a compressed archive, which PyTorch never writes")
    if sum(entry.file_size for entry in entries) > MAX_CHECKPOINT_BYTES:
        raise CheckpointError(f"{path.name}: claims more than {MAX_CHECKPOINT_BYTES >> 30} GiB")


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense and has all its values in memory."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    if tensor.is_quantized or tensor.is_complex():
        return False
    return tensor.untyped_storage().nbytes() >= tensor.nbytes


def _listed(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def recognise_backbone(tensors: Mapping[str, Tensor]) -> str:
    """Return the timm name of the backbone of an authors' state dict."""
    if RESNET_STEM in tensors:
        return "resnet34"
    if EFFICIENTNET_STEM in tensors:
        head = tensors.get("base_model._conv_head.weight")
        channels = head.shape[0] if head is not None and head.dim() else None
        if channels in EFFICIENTNET_BY_CHANNELS:
            return EFFICIENTNET_BY_CHANNELS[channels]
        raise CheckpointError(
            f"an EfficientNet whose last map has {channels} channels: the authors' have 1536 "
            "(b3) or 1792 (b4)"
        )
    raise CheckpointError(
        f"no CADDM checkpoint: neither {RESNET_STEM} nor {EFFICIENTNET_STEM} is in it"
    )


def _efficientnet_blocks(backbone: str) -> list[str]:
    """Return timm's block names in order: `blocks.0.0`, `blocks.0.1`, `blocks.1.0`, ..."""
    with torch.device("meta"):
        stages = timm.create_model(backbone).blocks
    return [f"blocks.{s}.{b}" for s, stage in enumerate(stages) for b in range(len(stage))]


def rename_tensors(tensors: Mapping[str, Tensor], backbone: str) -> dict[str, Tensor]:
    """Rename the tensors of an authors' state dict as in `CaddmForDeepfakeDetection`.

    The unused ImageNet classifier is dropped. A name that fits no rule is kept, so that the
    comparison with the model reports it.
    """
    renamed: dict[str, Tensor] = {}
    efficientnet = backbone.startswith("tf_efficientnet")
    block_names = _efficientnet_blocks(backbone) if efficientnet else []
    expanding = {name.split(".")[2] for name in tensors if "._expand_conv." in name}
    for name, tensor in tensors.items():
        if UNUSED.fullmatch(name):
            continue
        if name.startswith("base_model."):
            inner = name.removeprefix("base_model.")
            if efficientnet:
                inner = _rename_efficientnet(inner, block_names, expanding)
            renamed[f"backbone.{inner}"] = tensor
            continue
        for pattern, replacement in ARTIFACT_MODULE_RENAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def _rename_efficientnet(name: str, block_names: list[str], expanding: set[str]) -> str:
    for pattern, replacement in EFFICIENTNET_RENAMES:
        name = re.sub(pattern, replacement, name)
    match = re.match(r"_blocks\.(\d+)\.(.*)", name)
    if match is None or int(match[1]) >= len(block_names):
        return name
    inner = match[2]
    for old, new in EXPANDING_RENAMES if match[1] in expanding else PLAIN_RENAMES:
        if inner.startswith(old):
            inner = new + inner.removeprefix(old)
            break
    return f"{block_names[int(match[1])]}.{inner}"


def convert_checkpoint(path: str | os.PathLike) -> CaddmForDeepfakeDetection:
    """Load an authors' checkpoint into our model.

    Raises:
        CheckpointError: the file is unreadable or unsafe, or tensors are missing, extra or
            misshaped; the message lists them by the names in our model.
    """
    tensors = read_authors_checkpoint(path)
    backbone = recognise_backbone(tensors)
    renamed = rename_tensors(tensors, backbone)
    with torch.device("meta"):
        model = CaddmForDeepfakeDetection(CaddmConfig(backbone=backbone))
    expected = model.state_dict()
    problems = []
    if missing := [name for name in expected if name not in renamed]:
        problems.append(f"missing {_listed(missing)}")
    if extra := [name for name in renamed if name not in expected]:
        problems.append(f"extra {_listed(extra)}")
    misshaped = [
        f"{name} is {tuple(renamed[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in renamed and renamed[name].shape != tensor.shape
    ]
    if misshaped:
        problems.append(f"misshaped {_listed(misshaped)}")
    if problems:
        raise CheckpointError(f"{Path(path).name} is not a {backbone} CADDM: {'; '.join(problems)}")
    typed = {name: renamed[name].to(tensor.dtype) for name, tensor in expected.items()}
    not_finite = [name for name, tensor in typed.items() if not torch.isfinite(tensor).all()]
    if not_finite:
        raise CheckpointError(f"{Path(path).name}: not finite: {_listed(not_finite)}")
    model.load_state_dict(typed, assign=True)
    return model.eval()


def authors_image_processor() -> CaddmImageProcessor:
    """Return the authors' image processor: aligned 224 px crops, raw BGR 0..255."""
    return CaddmImageProcessor(channel_order="bgr", do_rescale=False, do_normalize=False)


def write_model_folder(path: str | os.PathLike, output_folder: str | os.PathLike) -> Path:
    """Convert a checkpoint and write the model folder atomically.

    Raises:
        CheckpointError: as in `convert_checkpoint`, or the output folder is not empty.
    """
    output_folder = Path(output_folder)
    if output_folder.exists() and (not output_folder.is_dir() or any(output_folder.iterdir())):
        raise CheckpointError(f"{output_folder} exists already and is not an empty folder")
    model = convert_checkpoint(path)
    try:
        output_folder.parent.mkdir(parents=True, exist_ok=True)
        with make_folder_atomically(output_folder) as made:
            model.save_pretrained(made)
            authors_image_processor().save_pretrained(made)
            if output_folder.exists():
                output_folder.rmdir()
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{output_folder} cannot be written ({first_line(error)}); nothing is left of it"
        ) from error
    return output_folder
