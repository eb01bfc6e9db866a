"""Set up the accelerator and the model of a training run."""

import copy
import os
import platform
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedType, ProjectConfiguration
from timm.models import group_parameters

from ..checkpoint.imagenet import load_imagenet_weights
from ..checkpoint.loading import load_model
from ..core.errors import ModelError, TrainingError
from ..model.configuration_caddm import CaddmConfig
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from .checkpoints import is_checkpoint, read_averaged_weights
from .config import TrainingConfig
from .depthwise import DepthwiseGradients

PLAIN_DATA_PARALLEL = (
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
    DistributedType.MULTI_NPU,
    DistributedType.MULTI_XPU,
    DistributedType.MULTI_MLU,
)


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """Return the accelerator; raise a TrainingError if it does not support the options."""
    missing = set(config.trackers()) - {str(name) for name in get_available_trackers()}
    if missing:
        raise TrainingError(f"--report_to {min(missing)}: that package is not installed.")
    if config.output_dir is None:
        logging = None
    else:
        logging = ProjectConfiguration(config.output_dir, str(Path(config.output_dir) / "logs"))
    try:
        accelerator = Accelerator(
            cpu=config.use_cpu,
            mixed_precision=config.mixed_precision,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            log_with=config.trackers() or None,
            project_config=logging,
        )
    except ValueError as error:
        raise TrainingError(f"Accelerate refuses: {error}") from error
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        # Accelerate would train in full precision without a warning.
        raise TrainingError("--mixed_precision fp16 needs a GPU; a CPU can do bf16.")
    if accelerator.distributed_type not in PLAIN_DATA_PARALLEL:
        raise TrainingError(
            f"{accelerator.distributed_type} is not supported: the model fits one device, so "
            "launch plain data-parallel processes."
        )
    launched_alone = "MASTER_ADDR" in os.environ and accelerator.num_processes == 1
    if launched_alone and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        print(
            "note: accelerate launch --cpu starts a single process; for several: accelerate launch "
            "--multi_gpu --num_processes N train_accelerate.py --use_cpu ...",
            file=sys.stderr,
        )
    return accelerator


def depthwise_gradients(accelerator: Accelerator) -> AbstractContextManager:
    """Return the context of the forward pass: `DepthwiseGradients` on a CPU in bfloat16."""
    on_cpu = accelerator.device.type == "cpu"
    return (
        DepthwiseGradients() if on_cpu and accelerator.mixed_precision == "bf16" else nullcontext()
    )


def make_model(config: TrainingConfig) -> CaddmForDeepfakeDetection:
    """Return the model with its initial weights, a function of the options.

    Raises:
        TrainingError, WeightsError: the backbone does not exist or does not fit.
    """
    torch.manual_seed(config.seed)
    try:
        model = CaddmForDeepfakeDetection(
            CaddmConfig(
                backbone=config.backbone,
                artifact_width=config.artifact_width,
                image_size=config.image_size,
                detection_loss_weight=config.detection_loss_weight,
                genuine_negatives=config.genuine_negatives,
            )
        )
    except ValueError as error:
        raise TrainingError(f"The model cannot be made: {error}.") from error
    if config.imagenet_weights:
        load_imagenet_weights(model, config.imagenet_weights)
    if config.initial_model:
        model.load_state_dict(_weights_of("initial_model", config, model))
    if config.frozen_stages:
        freeze_stages(model, config.frozen_stages)
    return model.to(memory_format=torch.channels_last)


def freeze_stages(model: CaddmForDeepfakeDetection, count: int) -> None:
    """Freeze the weights of the first `count` stages of the backbone; the stem is the first.

    Raises:
        TrainingError: the backbone has fewer stages.
    """
    backbone = model.backbone
    groups = group_parameters(backbone, backbone.group_matcher(coarse=True))
    if count >= len(groups):
        raise TrainingError(
            f"--frozen_stages {count}: this backbone has {len(groups)} stages, and one must learn."
        )
    parameters = dict(backbone.named_parameters())
    for stage in sorted(groups)[:count]:
        for name in groups[stage]:
            parameters[name].requires_grad_(False)


def set_training_mode(model: torch.nn.Module) -> None:
    """Put a model in training mode, but keep modules with frozen weights in evaluation mode.

    Frozen batch normalisation then keeps its statistics, too.
    """
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def weights_to_mix_in(
    config: TrainingConfig, model: CaddmForDeepfakeDetection
) -> dict[str, torch.Tensor]:
    """Return the weights to mix in with `initial_share`; none if that is 0.

    Args:
        config: its `mixed_model` names the weights; by default those of `model` are used.
        model: from `make_model`, not trained yet.

    Raises:
        TrainingError: `mixed_model` cannot be loaded or has another shape.
    """
    if not config.initial_share:
        return {}
    if config.mixed_model:
        return _weights_of("mixed_model", config, model)
    return copy.deepcopy(model.state_dict())


def _weights_of(
    option: str, config: TrainingConfig, model: CaddmForDeepfakeDetection
) -> dict[str, torch.Tensor]:
    """Read the weights of a finished model or a checkpoint that an option names.

    Raises:
        TrainingError: the weights cannot be read or do not fit the model of this run.
    """
    name = getattr(config, option)
    if is_checkpoint(name):
        weights = read_averaged_weights(Path(name))
        described = "another backbone or artifact width than"
    else:
        try:
            other = load_model(name).model
        except ModelError as error:
            raise TrainingError(f"--{option}: {error}") from error
        weights = other.state_dict()
        described = (
            f"backbone {other.config.backbone} and artifact width {other.config.artifact_width}, "
            "which are not those of"
        )
    own = model.state_dict()
    if {n: w.shape for n, w in weights.items()} != {n: w.shape for n, w in own.items()}:
        raise TrainingError(f"--{option} '{name}' has {described} this run.")
    return weights


def trackable(options: dict) -> dict:
    """Convert options to what trackers accept: numbers and text."""
    return {
        name: value if isinstance(value, int | float | str) else str(value)
        for name, value in options.items()
    }


def describe_device(accelerator: Accelerator) -> str:
    """The hardware in words."""
    processes = accelerator.num_processes
    if accelerator.device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name()}"
    return (
        f"{processes} process(es) of {torch.get_num_threads()} CPU threads ({platform.machine()})"
    )


def describe_weights(config: TrainingConfig) -> str:
    """Describe the source of the initial weights, and the weights mixed in at the end."""
    if config.initial_model:
        start = f"Training went on from the weights of {Path(config.initial_model).name}."
    elif config.imagenet_weights is None:
        start = "All weights started from random numbers."
    else:
        name = Path(config.imagenet_weights).name
        start = f"The backbone started from ImageNet weights ({name})."
    if not config.initial_share:
        return start
    return (
        f"{start} The weights here are {config.initial_share:.0%} those of "
        f"{Path(config.mixed_model or config.initial_model).name} and "
        f"{1 - config.initial_share:.0%} what became of them."
    )
