"""Wrong and contradictory options of a training run, found before any work."""

import math

import av

from ..core.errors import TrainingError
from ..core.hub_ids import HUB_ID
from .config import TrainingConfig

TRACKERS = ("tensorboard", "trackio", "wandb")


def check_options(config: TrainingConfig) -> None:
    """Raise a TrainingError that names the first wrong or contradictory option."""
    if not config.data:
        raise TrainingError("--data is needed: a folder, a Parquet file or a Hub dataset id.")
    if not config.output_dir and not config.contact_sheet:
        raise TrainingError("--output_dir is needed: the folder that becomes the model.")
    _check_numbers(config)
    if config.fake_share + config.self_blend_share + config.cross_blend_share <= 0:
        raise TrainingError(
            "Forged samples need a source: make --fake_share, --self_blend_share or "
            "--cross_blend_share positive."
        )
    if config.h264_share > 0 and "libx264" not in av.codecs_available:
        raise TrainingError("--h264_share must be 0: this build of PyAV has no H.264 encoder.")
    if config.h264_mildest > config.h264_strongest:
        raise TrainingError("--h264_mildest must not be above --h264_strongest.")
    if config.shrink_smallest > config.shrink_largest:
        raise TrainingError("--shrink_smallest must not be above --shrink_largest.")
    config.shares_by_dataset()
    if config.frozen_stages and not (config.initial_model or config.imagenet_weights):
        raise TrainingError(
            "--frozen_stages needs trained weights: give --initial_model or --imagenet_weights."
        )
    if config.paired_batches and config.class_balance == "none":
        raise TrainingError("--paired_batches cannot be combined with --class_balance none.")
    if config.initial_model and config.imagenet_weights:
        raise TrainingError("--initial_model brings its own weights: leave --imagenet_weights out.")
    if config.initial_share and not (config.initial_model or config.mixed_model):
        raise TrainingError(
            "--initial_share has no effect without --initial_model or --mixed_model."
        )
    if config.mixed_model and not config.initial_share:
        raise TrainingError("--mixed_model has no effect without --initial_share.")
    if config.genuine_data_rows and not config.genuine_data:
        raise TrainingError("--genuine_data_rows has no effect without --genuine_data.")
    if config.streaming:
        _check_streaming(config)
    if config.push_to_hub and not HUB_ID.fullmatch(config.hub_model_id or ""):
        raise TrainingError("--push_to_hub needs --hub_model_id of the form user/name.")
    if config.hub_model_id and not config.push_to_hub:
        raise TrainingError("--hub_model_id has no effect without --push_to_hub.")
    if config.hub_dataset_id and not HUB_ID.fullmatch(config.hub_dataset_id):
        raise TrainingError("--hub_dataset_id must have the form user/name.")
    unknown = [name for name in config.trackers() if name not in TRACKERS]
    if unknown:
        raise TrainingError(
            f"--report_to {unknown[0]!r} is not known: choose from {', '.join(TRACKERS)} or none."
        )
    if config.contact_sheet and not config.contact_sheet.endswith((".png", ".jpg", ".jpeg")):
        raise TrainingError("--contact_sheet must name a .png or .jpg file.")
    if config.contact_sheet and (config.push_to_hub or config.streaming):
        other = "--push_to_hub" if config.push_to_hub else "--streaming"
        raise TrainingError(f"--contact_sheet cannot be combined with {other}.")


def _check_numbers(config: TrainingConfig) -> None:
    limits = {
        "max_train_samples": (2, None),
        "genuine_data_rows": (1, None),
        "max_eval_samples": (2, None),
        "artifact_width": (1, 4096),
        "image_size": (64, 1024),
        "align_scale": (0.3, 2),
        "eye_height": (0.05, 0.95),
        "jitter_strength": (0, 2),
        "detection_loss_weight": (0, None),
        "partial_share": (0, 1),
        "rendered_share": (0, 1),
        "initial_share": (0, 1),
        "shrink_share": (0, 1),
        "shrink_smallest": (16, None),
        "shrink_largest": (16, None),
        "retouch_share": (0, 1),
        "frozen_stages": (0, 100),
        "fake_share": (0, None),
        "self_blend_share": (0, None),
        "cross_blend_share": (0, None),
        "degradation_strength": (0, 2),
        "h264_share": (0, 1),
        "h264_mildest": (0, 51),
        "h264_strongest": (0, 51),
        "stop_after_steps": (1, None),
        "num_epochs": (1, None),
        "max_steps": (0, None),
        "batch_size": (2, None),
        "gradient_accumulation_steps": (1, None),
        "warmup_steps": (0, None),
        "weight_decay": (0, None),
        "ema_decay": (0, 0.999999),
        "seed": (0, 2**32 - 1),
        "dataloader_num_workers": (0, 256),
        "eval_batch_size": (1, None),
        "eval_steps": (1, None),
        "save_steps": (1, None),
        "save_total_limit": (1, None),
        "logging_steps": (1, None),
        "contact_sheet_samples": (1, 400),
    }
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        if value is None:
            continue
        if not math.isfinite(value) or value < low or (high is not None and value > high):
            span = f"at least {low}" if high is None else f"between {low} and {high}"
            raise TrainingError(f"--{name} must be {span}, got {value}.")
    for name in ("learning_rate", "max_grad_value"):
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            raise TrainingError(f"--{name} must be a positive number, got {value}.")


def _check_streaming(config: TrainingConfig) -> None:
    if config.max_steps is None:
        raise TrainingError("--streaming needs --max_steps: a stream does not tell its length.")
    if config.lr_scheduler_type == "paper":
        raise TrainingError(
            "--streaming needs --lr_scheduler_type cosine or constant: the paper's schedule "
            "counts epochs."
        )
    if config.eval_steps is None:
        raise TrainingError("--streaming needs --eval_steps: a stream does not tell its epoch.")
    for name in ("max_train_samples", "genuine_data", "paired_batches", "dataset_shares"):
        if getattr(config, name):
            raise TrainingError(f"--{name} cannot be combined with --streaming.")
    if config.cross_blend_share:
        raise TrainingError(
            "--cross_blend_share cannot be combined with --streaming: the donor is looked up."
        )


def check_resumable(config: TrainingConfig, earlier: dict, step: int) -> None:
    """Raise a TrainingError unless a run with the options `earlier` can go on with `config`.

    A run may be made longer, unless its learning rate depends on its length.

    Args:
        config: options of this run.
        earlier: options that the checkpoint was made with, by name.
        step: the step of the checkpoint, for the message.
    """
    now = config.fixed_options()
    changed = [name for name in now if now[name] != earlier.get(name, now[name])]
    if config.lr_scheduler_type != "cosine":
        changed = [name for name in changed if name not in ("num_epochs", "max_steps")]
    if changed:
        name = changed[0]
        raise TrainingError(
            f"The checkpoint of step {step} was made with --{name} {earlier[name]}, not "
            f"{now[name]}: resume with the same options, or start anew in another --output_dir."
        )
