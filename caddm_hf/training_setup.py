"""What a training run is made of besides its data: the accelerator and the model."""

import os
import platform
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedType, ProjectConfiguration

from .configuration_caddm import CaddmConfig
from .depthwise_gradients import DepthwiseGradients
from .imagenet_weights import load_imagenet_weights
from .model_loading import ModelError, load_model
from .modeling_caddm import CaddmForDeepfakeDetection
from .training_config import TrainingConfig, TrainingError

PLAIN_DATA_PARALLEL = (
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
    DistributedType.MULTI_NPU,
    DistributedType.MULTI_XPU,
    DistributedType.MULTI_MLU,
)


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """The accelerator, or a TrainingError where it cannot do what is asked for."""
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
        # Accelerate would train in full precision without a word.
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
    """What the forward pass is to run in: `DepthwiseGradients` where they help, else nothing."""
    on_cpu = accelerator.device.type == "cpu"
    return (
        DepthwiseGradients() if on_cpu and accelerator.mixed_precision == "bf16" else nullcontext()
    )


def make_model(config: TrainingConfig) -> CaddmForDeepfakeDetection:
    """The model with its first weights, a function of the options.

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
        _take_weights(model, config.initial_model)
    return model.to(memory_format=torch.channels_last)


def _take_weights(model: CaddmForDeepfakeDetection, name: str) -> None:
    """Start from the weights of a finished model."""
    try:
        other = load_model(name).model
    except ModelError as error:
        raise TrainingError(f"--initial_model: {error}") from error
    try:
        model.load_state_dict(other.state_dict())
    except RuntimeError as error:
        raise TrainingError(
            f"--initial_model '{name}' has backbone {other.config.backbone} and artifact width "
            f"{other.config.artifact_width}, which are not those of this run."
        ) from error


def trackable(options: dict) -> dict:
    """Options as trackers take them: numbers and text."""
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
    """Where the backbone's first weights came from."""
    if config.initial_model:
        name = Path(config.initial_model).name
        mixed = (
            f" The weights here are {config.initial_share:.0%} those of {name} and "
            f"{1 - config.initial_share:.0%} what became of them."
        )
        return (
            f"Training went on from the weights of {name}.{mixed if config.initial_share else ''}"
        )
    if config.imagenet_weights is None:
        return "All weights started from random numbers."
    name = Path(config.imagenet_weights).name
    return f"The backbone started from ImageNet weights ({name})."
