"""The moving average of a training run's weights, its checkpoints and its log.

A checkpoint is a folder `step-000123` with the weights, their average, the optimiser's state and
`state.json`. It is written under another name, flushed to disk and renamed, so a folder of that
name is always complete. It holds no random state: randomness is a function of the step.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..core.atomic_files import (
    make_folder_atomically,
    remove_folder_atomically,
    remove_partial,
    write_atomically,
)
from ..core.errors import TrainingError

STEP_FOLDER = re.compile(r"step-(\d{6,})")
MODEL_FILE = "model.safetensors"
AVERAGE_FILE = "average.safetensors"
OPTIMIZER_FILE = "optimizer.pt"
STATE_FILE = "state.json"
PREDICTIONS_FILE = "predictions.csv"
LOG_FILE = "training_log.jsonl"


class WeightAverage(AveragedModel):
    """Exponential moving average of weights and of batch normalisation's statistics.

    The decay is min(decay, (1 + n) / (10 + n)) at the n-th update, so that a short run is not
    dominated by its first weights. With a decay of 0 the average is a copy of the weights.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        super().__init__(model, multi_avg_fn=self._blend, use_buffers=True)
        self.module.eval().requires_grad_(False)

    def _blend(self, averaged: list[Tensor], current: list[Tensor], _: Tensor) -> None:
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)  # counters of seen batches
            return
        n = int(self.n_averaged)
        torch._foreach_lerp_(averaged, current, 1 - min(self.decay, (1 + n) / (10 + n)))


def mixed_weights(
    weights: dict[str, Tensor], others: dict[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Interpolate linearly between the weights of a fine-tuned network and of its start.

    Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (arXiv 2109.01903): such a
    mixture often keeps the strengths of both networks.

    Args:
        weights, others: same names and shapes, statistics of batch normalisation included.
        share: weight of `others`, in [0, 1].

    Returns:
        the mixture, on the devices of `weights`; counters are those of `weights`.
    """
    return {
        name: torch.lerp(value, others[name].to(value), share)
        if value.is_floating_point()
        else value
        for name, value in weights.items()
    }


@dataclass
class TrainingState:
    """The numbers of a run that go into its checkpoints.

    Attributes:
        step: optimiser steps done.
        best_step, best_video_auc: the best evaluation so far; None before the first.
        evaluations: step, metrics and interval of each evaluation.
        kinds: number of samples made of each kind.
        seconds: time spent in training steps; waiting_seconds: the part spent on the loader.
    """

    step: int = 0
    best_step: int | None = None
    best_video_auc: float | None = None
    evaluations: list[dict] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    waiting_seconds: float = 0.0

    def record(self, evaluation: dict) -> None:
        """Add an evaluation of the present step; of equal ones, the first is the best."""
        self.evaluations.append({"step": self.step, **evaluation})
        if self.best_video_auc is None or evaluation["video_auc"] > self.best_video_auc:
            self.best_step, self.best_video_auc = self.step, evaluation["video_auc"]

    @property
    def evaluated(self) -> bool:
        """Whether the present step has been evaluated."""
        return bool(self.evaluations) and self.evaluations[-1]["step"] == self.step


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    folder: Path
    state: TrainingState
    options: dict

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights, which are what is evaluated and published."""
        return load_file(self.folder / AVERAGE_FILE)


def is_checkpoint(name: str) -> bool:
    """Return whether a name is that of a checkpoint's folder, not of a finished model's."""
    return (Path(name) / STATE_FILE).is_file()


def read_averaged_weights(folder: Path) -> dict[str, Tensor]:
    """Read the averaged weights of a checkpoint's folder.

    Raises:
        TrainingError: the checkpoint is damaged.
    """
    try:
        return load_file(folder / AVERAGE_FILE)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"Checkpoint '{folder}' is damaged.") from error


class Checkpoints:
    """The checkpoints below an output folder.

    Args:
        folder: `checkpoints` of the output folder.
        kept: how many of the newest are kept, beside the best one.
    """

    def __init__(self, folder: Path, kept: int):
        self.folder = folder
        self.kept = kept

    def steps(self) -> list[int]:
        """Steps with a checkpoint, in order."""
        if not self.folder.is_dir():
            return []
        names = (STEP_FOLDER.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def path(self, step: int) -> Path:
        """Path of a step's checkpoint."""
        return self.folder / f"step-{step:06d}"

    def find(self, name: str) -> Checkpoint | None:
        """The checkpoint to resume from.

        Args:
            name: "latest", or the folder of one checkpoint; None if there is no latest.

        Raises:
            TrainingError: it is not there or damaged.
        """
        if name == "latest":
            steps = self.steps()
            return self.read(steps[-1]) if steps else None
        match = STEP_FOLDER.fullmatch(Path(name).name)
        if match is None or self.path(int(match[1])).resolve() != Path(name).resolve():
            raise TrainingError(
                f"--resume_from_checkpoint '{name}' is not a checkpoint in '{self.folder}'."
            )
        return self.read(int(match[1]))

    def read(self, step: int) -> Checkpoint:
        """The checkpoint of a step.

        Raises:
            TrainingError: it is not there or damaged.
        """
        folder = self.path(step)
        try:
            stored = json.loads((folder / STATE_FILE).read_text())
            return Checkpoint(folder, TrainingState(**stored["state"]), stored["options"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"Checkpoint '{folder}' is missing or damaged.") from error

    def save(
        self,
        state: TrainingState,
        options: dict,
        model: nn.Module,
        average: WeightAverage,
        optimizer_state: dict,
        write_more: Callable[[Path], None] | None = None,
    ) -> None:
        """Write the checkpoint of the present step, then remove those no longer kept.

        Args:
            options: those that decide the result.
            optimizer_state: tensors and plain values, for `torch.load(weights_only=True)`.
            write_more: may add files to the folder it is given.
        """
        folder = self.path(state.step)
        if folder.exists():
            remove_folder_atomically(folder)
        with make_folder_atomically(folder) as partial:
            save_file(_contiguous(model), partial / MODEL_FILE)
            save_file(_contiguous(average.module), partial / AVERAGE_FILE)
            numbers = {"averaged": average.n_averaged}
            with (partial / OPTIMIZER_FILE).open("wb") as file:  # so that faults are OSErrors
                torch.save(optimizer_state | numbers, file)
            if write_more is not None:
                write_more(partial)
            stored = {"state": asdict(state), "options": options}
            (partial / STATE_FILE).write_text(json.dumps(stored, indent=2))
        self._remove_old(state.best_step)

    def load(self, checkpoint: Checkpoint, model: nn.Module, average: WeightAverage) -> dict:
        """Restore weights and their average; returns the optimiser's state.

        Raises:
            TrainingError: the checkpoint is damaged, or of another model.
        """
        folder = checkpoint.folder
        try:
            model.load_state_dict(load_file(folder / MODEL_FILE))
            optimizer_state = torch.load(
                folder / OPTIMIZER_FILE, map_location="cpu", weights_only=True
            )
            average.module.load_state_dict(checkpoint.weights())
            average.n_averaged.copy_(optimizer_state.pop("averaged"))
        except (OSError, RuntimeError, SafetensorError, KeyError, EOFError) as error:
            raise TrainingError(f"Checkpoint '{folder}' is damaged.") from error
        return optimizer_state

    def clean(self) -> None:
        """Remove checkpoints that an interrupted run left incomplete."""
        if self.folder.is_dir():
            remove_partial(self.folder)

    def _remove_old(self, best_step: int | None) -> None:
        steps = self.steps()
        for step in steps[: -self.kept]:
            if step != best_step:
                remove_folder_atomically(self.path(step))


class TrainingLog:
    """`training_log.jsonl`: one JSON object for each logged step.

    Args:
        path: the file; its folder exists.
        step: lines of later steps, logged by a run that was killed since, are removed.
    """

    def __init__(self, path: Path, step: int):
        self.path = path
        kept = [line for line in read_log(path) if line["step"] <= step]
        with write_atomically(path) as file:
            file.writelines(json.dumps(line).encode() + b"\n" for line in kept)

    def add(self, line: dict) -> None:
        """Append a line; it has a "step"."""
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read_log(path: Path) -> list[dict]:
    """The lines of a log; a last line cut off by a kill is left out."""
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def _contiguous(module: nn.Module) -> dict[str, Tensor]:
    """Return a state dict as safetensors needs it: contiguous and on the CPU."""
    return {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
