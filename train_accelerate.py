"""Train a CADDM detector: from a frame collection to an evaluated model folder.

    accelerate launch train_accelerate.py --data DATA --output_dir runs/first
    python train_accelerate.py --help

The steps, from top to bottom: read the data and plan every epoch; make the model; resume from a
checkpoint, if there is one; train, evaluate and save; turn the best checkpoint into a model
folder; push it. See docs/training.md.
"""

import copy
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from caddm_hf.cli.arguments import INTERRUPTED
from caddm_hf.core.errors import TrainingError, UserError
from caddm_hf.training.arguments import parse_training_config
from caddm_hf.training.config import TrainingConfig

if __name__ == "__main__":
    # Before the imports, which take seconds, so that help and errors appear at once.
    parse_training_config()

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from tqdm.auto import tqdm

from caddm_hf.checkpoint.card import TrainingFacts
from caddm_hf.checkpoint.publish import open_repository, push_model_folder, write_model_folder
from caddm_hf.core.atomic_files import write_atomically
from caddm_hf.dataset.schema import FrameDataError
from caddm_hf.training.checkpoints import (
    LOG_FILE,
    PREDICTIONS_FILE,
    Checkpoint,
    Checkpoints,
    TrainingLog,
    TrainingState,
    WeightAverage,
    mixed_weights,
)
from caddm_hf.training.checks import check_resumable
from caddm_hf.training.contact_sheet import make_contact_sheet
from caddm_hf.training.data import TrainingData
from caddm_hf.training.samples import KINDS
from caddm_hf.training.setup import (
    depthwise_gradients,
    describe_device,
    describe_weights,
    make_accelerator,
    make_model,
    set_training_mode,
    trackable,
    weights_to_mix_in,
)
from caddm_hf.training.validation import evaluation_loader, predict, video_metrics

LOSSES = ("loss", "classification_loss", "localisation_loss", "confidence_loss")
WORKER_ERROR_PREFIX = f"{FrameDataError.__module__}.{FrameDataError.__qualname__}: "


class TrainingRun:
    """One run, from its options to a model folder.

    The constructor checks options, data and model before any work.

    Raises:
        TrainingError, FrameDataError, WeightsError: a check failed; the message is one sentence.
    """

    def __init__(self, config: TrainingConfig):
        self.config = config
        self.accelerator = accelerator = make_accelerator(config)
        self.micro_batch = config.micro_batch_size(accelerator.num_processes)
        on_cpu = accelerator.device.type == "cpu"
        self.workers = config.workers(accelerator.num_processes, on_cpu)
        self.output = Path(config.output_dir)
        if self.output.exists() and not self.output.is_dir():
            raise TrainingError(f"--output_dir '{self.output}' is a file.")
        with accelerator.main_process_first():
            self.data = TrainingData(config)
        self.options = config.fixed_options() | {"data_digest": self.data.digest}
        self.checkpoints = Checkpoints(self.output / "checkpoints", config.save_total_limit)
        resumed = self._checkpoint_to_resume()
        self.state = resumed.state if resumed else TrainingState()
        self.total_steps = self._total_steps()
        self.last_step = min(self.total_steps, config.stop_after_steps or self.total_steps)
        model = make_model(config)
        self.mixed_in = weights_to_mix_in(config, model)
        if config.push_to_hub and accelerator.is_main_process:
            open_repository(config.hub_model_id, config.hub_private_repo)

        with accelerator.main_process_first():
            self.data.find_points(self._draws_left())
        self.average = WeightAverage(model, config.ema_decay).to(accelerator.device)
        optimizer = torch.optim.AdamW(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            config.learning_rate,
            weight_decay=config.weight_decay,
        )
        saved = self.checkpoints.load(resumed, model, self.average) if resumed else None
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        if saved:
            self.optimizer.load_state_dict(saved["optimizer"])
            if accelerator.scaler is not None:
                accelerator.scaler.load_state_dict(saved["scaler"])
        self.evaluation = accelerator.prepare(
            evaluation_loader(self.data.evaluation_frames, config.eval_batch_size, self.workers)
        )
        # Samples made in this process since the start or the last checkpoint, by kind.
        self.kinds = torch.zeros(len(KINDS), dtype=torch.int64, device=accelerator.device)
        self.log: TrainingLog | None = None

    def _checkpoint_to_resume(self) -> Checkpoint | None:
        name = self.config.resume_from_checkpoint
        if name is None:
            if self.checkpoints.steps():
                raise TrainingError(
                    f"'{self.output}' holds checkpoints of an earlier run: give "
                    "--resume_from_checkpoint latest to go on, or another --output_dir."
                )
            return None
        found = self.checkpoints.find(name)
        if found is not None:
            check_resumable(self.config, found.options, found.state.step)
            if found.options["data_digest"] != self.data.digest:
                raise TrainingError(
                    f"The training data has changed since the checkpoint of step "
                    f"{found.state.step}; start anew in another --output_dir."
                )
        return found

    def _total_steps(self) -> int:
        config = self.config
        if config.max_steps is not None:
            return config.max_steps
        return math.ceil(config.num_epochs * self.data.epoch_length / config.batch_size)

    def _draws_left(self) -> range:
        """The numbers of the samples still to make, counted over the whole run."""
        batch_size = self.config.batch_size
        return range(self.state.step * batch_size, self.last_step * batch_size)

    def train(self) -> None:
        """Run the remaining steps, with evaluations and checkpoints in between."""
        accelerator, config, state = self.accelerator, self.config, self.state
        if accelerator.is_main_process:
            self.output.mkdir(parents=True, exist_ok=True)
            self.checkpoints.clean()
            self.log = TrainingLog(self.output / LOG_FILE, state.step)
        if config.trackers():
            accelerator.init_trackers("caddm", config=trackable(self.options))
        self.announce()
        epoch_length = self.data.epoch_length
        eval_steps = config.eval_steps or max(1, epoch_length // config.batch_size)
        batches = self.data.batches(self._draws_left(), self.micro_batch, self.workers, accelerator)
        first_step = state.step
        progress = tqdm(
            total=self.total_steps,
            initial=first_step,
            disable=not accelerator.is_main_process,
            desc="training",
            unit="step",
        )
        set_training_mode(self.model)
        with progress:
            while state.step < self.last_step:
                start = time.perf_counter()
                losses, waited = self.step(batches)
                if state.step > first_step + 1:  # the first waits for the loader to start
                    state.seconds += time.perf_counter() - start
                    state.waiting_seconds += waited
                progress.update()
                if state.step % config.logging_steps == 0:
                    self.report(losses, progress)
                if state.step % eval_steps == 0:
                    self.evaluate()
                elif state.step % config.save_steps == 0:
                    self.check_weights()
                    self.save()
        if not state.evaluated:
            self.evaluate()

    def step(self, batches: Iterator[dict]) -> tuple[torch.Tensor, float]:
        """Run one optimiser step.

        Args:
            batches: batches of this process, on its device.

        Returns:
            (4,) the `LOSSES` over this process's samples, and the seconds waited for the loader.
        """
        config, accelerator, step = self.config, self.accelerator, self.state.step
        rate = config.learning_rate_at(step, self.total_steps, self.data.epoch_length)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Randomness in the network is a function of the step, so no state needs saving.
        stream = np.random.SeedSequence([config.seed, step, accelerator.process_index])
        torch.manual_seed(int(stream.generate_state(1)[0]))
        losses, waited = [], 0.0
        for _ in range(config.gradient_accumulation_steps):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            kinds = batch.pop("kinds")
            self.kinds.index_add_(0, kinds, torch.ones_like(kinds))
            # Channels last: several times faster for depthwise convolutions on a CPU.
            pixel_values = batch["pixel_values"].contiguous(memory_format=torch.channels_last)
            with accelerator.accumulate(self.model):
                with depthwise_gradients(accelerator):
                    output = self.model(**batch | {"pixel_values": pixel_values})
                accelerator.backward(output.loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_value_(self.model.parameters(), config.max_grad_value)
                self.optimizer.step()
                self.optimizer.zero_grad()
            losses.append(torch.stack([output[name].detach() for name in LOSSES]))
        self.average.update_parameters(accelerator.unwrap_model(self.model))
        self.state.step += 1
        return torch.stack(losses).mean(dim=0), waited

    def report(self, losses: torch.Tensor, progress: tqdm) -> None:
        """Log the step's losses, averaged over all processes.

        Raises:
            TrainingError: the loss is not finite.
        """
        state = self.state
        values = self.accelerator.reduce(losses, "mean").tolist()
        line = dict(zip(LOSSES, values, strict=True))
        if not all(map(math.isfinite, values)):
            raise self.not_finite("loss is")
        line["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        progress.set_postfix(loss=f"{line['loss']:.3f}")
        self.accelerator.log({f"train/{name}": v for name, v in line.items()}, step=state.step)
        if self.log is not None:
            self.log.add({"step": state.step} | line)

    def check_weights(self) -> None:
        """Raise a TrainingError, on every process, if the weights are not finite."""
        weights = self.accelerator.unwrap_model(self.model).parameters()
        if not all(bool(weight.isfinite().all()) for weight in weights):
            raise self.not_finite("weights are")

    def not_finite(self, subject: str) -> TrainingError:
        """Return the error that ends a diverged run, with advice on a new start."""
        steps = self.checkpoints.steps()
        start = f" and --initial_model {self.checkpoints.path(steps[-1])}" if steps else ""
        return TrainingError(
            f"The {subject} not finite at step {self.state.step}: start anew in another "
            f"--output_dir, with a lower --learning_rate{start}."
        )

    def evaluate(self) -> None:
        """Score the validation split with the weights to be published, and save a checkpoint.

        Raises:
            TrainingError: the weights are not finite.
        """
        self.check_weights()
        accelerator, state = self.accelerator, self.state
        table = self.data.evaluation_frames.table
        model = self.average.module
        if self.mixed_in:
            model = copy.deepcopy(model)
            model.load_state_dict(self.published(model.state_dict()))
        predictions = predict(accelerator, model, self.evaluation, self.config.eval_batch_size)
        found = [None]
        if accelerator.is_main_process:
            found = [video_metrics(predictions, table, self.config.seed)]
        (metrics,) = broadcast_object_list(found)  # all processes must agree on the best one
        state.record(metrics)
        if accelerator.is_main_process:
            interval = metrics["interval"]
            tqdm.write(
                f"step {state.step}: video AUC {metrics['video_auc']:.4f} "
                f"({interval['low']:.4f} to {interval['high']:.4f}), "
                f"frame AUC {metrics['frame_auc']:.4f}"
            )
            numbers = {f"eval/{k}": v for k, v in metrics.items() if k != "interval"}
            accelerator.log(numbers, step=state.step)
        self.save(lambda folder: predictions.write_csv(table, folder / PREDICTIONS_FILE))

    def published(self, averaged: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the weights to evaluate and publish: with `initial_share`, a mixture."""
        if not self.mixed_in:
            return averaged
        return mixed_weights(averaged, self.mixed_in, self.config.initial_share)

    def save(self, write_more=None) -> None:
        """Write a checkpoint, on the first process only."""
        accelerator, state = self.accelerator, self.state
        counts = accelerator.reduce(self.kinds, "sum").tolist()
        self.kinds.zero_()
        if accelerator.is_main_process:
            for kind, count in zip(KINDS, counts, strict=True):
                state.kinds[kind] = state.kinds.get(kind, 0) + count
            optimizer_state = {"optimizer": self.optimizer.state_dict()}
            if accelerator.scaler is not None:
                optimizer_state["scaler"] = accelerator.scaler.state_dict()
            model = accelerator.unwrap_model(self.model)
            self.checkpoints.save(
                state, self.options, model, self.average, optimizer_state, write_more
            )
        accelerator.wait_for_everyone()

    def announce(self) -> None:
        """Print what the run is going to do."""
        for line in self.data.described():
            self.accelerator.print(line)
        self.accelerator.print(
            f"steps {self.state.step} to {self.last_step}, {self.config.batch_size} samples "
            f"each: {self.accelerator.num_processes} process(es) x "
            f"{self.config.gradient_accumulation_steps} x {self.micro_batch}"
        )

    def publish(self) -> None:
        """Turn the best checkpoint into the model folder, and push it if requested."""
        if not self.accelerator.is_main_process:
            return
        state, config = self.state, self.config
        best = self.checkpoints.read(state.best_step)
        metrics = next(e for e in state.evaluations if e["step"] == state.best_step)
        model = self.accelerator.unwrap_model(self.model)
        facts = TrainingFacts(
            name=config.hub_model_id or self.output.resolve().name,
            options=self.options,
            command=["accelerate", "launch", "train_accelerate.py", *config.as_arguments()],
            train=self.data.training_facts(),
            evaluation=self.data.validation_facts(),
            metrics={key: value for key, value in metrics.items() if key != "step"},
            best_step=state.best_step,
            steps=state.step,
            evaluations=len(state.evaluations),
            kinds=state.kinds,
            seconds=state.seconds,
            waiting_seconds=state.waiting_seconds,
            device=describe_device(self.accelerator),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            weights=describe_weights(config),
        )
        files = write_model_folder(
            self.output,
            model.config,
            self.published(best.weights()),
            self.data.processor,
            facts,
            config.weights_precision == "half",
        )
        with write_atomically(self.output / PREDICTIONS_FILE) as file:
            file.write((best.folder / PREDICTIONS_FILE).read_bytes())
        share = state.waiting_seconds / max(state.seconds, 1e-9)
        print(
            f"{self.output}: video AUC {metrics['video_auc']:.4f} at step {state.best_step}; "
            f"{share:.1%} of the training time was spent waiting for data"
        )
        if config.push_to_hub:
            print(push_model_folder(self.output, files, config.hub_model_id, state.best_step))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2 for a wrong option, 1 for a failed run."""
    config = parse_training_config(arguments)
    status = 2
    try:
        if config.contact_sheet:
            make_contact_sheet(config)
            print(config.contact_sheet)
            return 0
        run = TrainingRun(config)
        status = 1
        run.train()
        run.publish()
        run.accelerator.end_training()
    except UserError as error:
        # In a loader's worker, a traceback precedes the sentence.
        sentence = str(error).strip().splitlines()[-1].removeprefix(WORKER_ERROR_PREFIX)
        print(f"error: {sentence}", file=sys.stderr)
        return status
    except (OSError, SafetensorError) as error:  # for example, the disk is full
        reason = " ".join(str(error).split())[:200]
        print(
            f"error: {reason}; once that is mended, --resume_from_checkpoint latest goes on",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("stopped: --resume_from_checkpoint latest goes on", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
