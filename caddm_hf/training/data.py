"""The data of a run: both splits opened and checked, the plan, the loaders."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from ..augmentation.degradations import TrainingDegradations
from ..augmentation.facial_swap import FacialSwapConfig, TrainingSample
from ..checkpoint.imagenet import backbone_normalisation
from ..core.random_streams import RandomStream, random_generator
from ..dataset.frame_table import FrameTable
from ..dataset.genuine import join_genuine_pictures
from ..dataset.opening import FoundSplit, MissingSplitError, find_split, load_split, open_split
from ..dataset.point_search import default_cache_folder, search_points
from ..dataset.schema import FrameDataError
from ..dataset.splits import WHOLE
from ..metrics.video_metrics.video_scores import aggregate_by_video
from ..model.face_alignment import AlignmentJitter
from ..model.image_processing_caddm import CaddmImageProcessor
from .config import TrainingConfig
from .plan import ForgeryShares, Origins, TrainingPlan
from .samples import EvaluationFrames, SampleMaker, TrainingFrames, training_loader
from .stream import StreamedFrames, streaming_loader


class TrainingData:
    """The training and validation data of a run.

    Args:
        config: the run's options.
        evaluated: whether the validation split is needed, too.

    Attributes:
        processor: the processor of the model to be trained.
        epoch_length: samples of an epoch; None for a stream.
        evaluation_frames: the validation rows; None without `evaluated`.
        digest: changes when rows, labels or their order do.
        typical_points: training rows in which no face was found, once `find_points` was called.
        joined_pictures: training rows that come from `--genuine_data`.

    Raises:
        FrameDataError: the data cannot be used; raised before any work.
    """

    def __init__(self, config: TrainingConfig, evaluated: bool = True):
        self.config = config
        mean, std = backbone_normalisation(config.backbone)
        self.processor = CaddmImageProcessor(
            size=config.image_size,
            align_scale=config.align_scale,
            eye_height=config.eye_height,
            image_mean=mean,
            image_std=std,
        )
        self.shares = ForgeryShares(
            config.fake_share, config.self_blend_share, config.cross_blend_share
        )
        swap_config = FacialSwapConfig(
            image_size=config.image_size,
            align_scale=config.align_scale,
            eye_height=config.eye_height,
            global_probability=1 - config.partial_share,
            rendered_probability=config.rendered_share,
            jitter=AlignmentJitter().scaled(config.jitter_strength),
            degradations=TrainingDegradations(
                strength=config.degradation_strength,
                h264_probability=config.h264_share,
                h264_quantiser=(config.h264_mildest, config.h264_strongest),
                shrink_probability=config.shrink_share,
                shrink_side_px=(config.shrink_smallest, config.shrink_largest),
                retouch_probability=config.retouch_share,
            ),
        )
        self.maker = SampleMaker(
            swap_config, self.processor, config.seed, config.facial_swap == "multi_scale"
        )
        self.typical_points = 0
        self.joined_pictures = 0
        self.table: FrameTable | None = None
        self.plan: TrainingPlan | None = None
        self.evaluation_frames: EvaluationFrames | None = None
        self._open_training_split()
        if evaluated:
            self._open_validation_split()

    def _open_training_split(self) -> None:
        config = self.config
        self.stream = None
        split = open_split(config.data, "train", config.streaming)
        if config.streaming:
            self.stream = split
            StreamedFrames(split, self.maker, self.shares, range(0), 1)  # checks its columns
            self.digest = hashlib.sha256(str(split.features).encode()).hexdigest()[:16]
            return
        if config.genuine_data:
            collection_rows = len(split)
            split = join_genuine_pictures(split, config.genuine_data, config.genuine_data_rows)
            self.joined_pictures = len(split) - collection_rows
        self.table = FrameTable(split)
        rows = _some_rows(len(self.table), config.max_train_samples, config.seed)
        balanced = config.class_balance == "sampling"
        origins = Origins(
            np.array(self.table.source_ids),
            self.table.twins,
            np.array([name or "" for name in self.table.datasets]),
            config.shares_by_dataset(),
            config.paired_batches,
        )
        self.plan = TrainingPlan(
            self.table.labels, config.seed, self.shares, balanced, rows, origins
        )
        self.digest = self.table.digest()

    def _open_validation_split(self) -> None:
        config = self.config
        table = FrameTable(load_split(_find_validation_split(config)))
        rows = _some_rows(len(table), config.max_eval_samples, config.seed)
        labels = table.labels[rows]
        if labels.min() == labels.max():
            raise FrameDataError("The validation data needs both genuine and fake rows.")
        try:
            aggregate_by_video(labels, labels, [table.video_ids[row] for row in rows])
        except ValueError as error:
            raise FrameDataError(f"The validation data cannot be evaluated: {error}.") from None
        self.evaluation_frames = EvaluationFrames(table, rows, self.processor)

    @property
    def epoch_length(self) -> int | None:
        """Samples of an epoch; None for a stream."""
        return len(self.plan) if self.plan else None

    def shared_sources(self) -> int:
        """Count the validation rows whose source video is in the training split, too."""
        if self.table is None:
            return 0
        validation, rows = self.evaluation_frames.table, self.evaluation_frames.rows
        trained = set(self.table.source_ids) - {""}
        return sum(validation.source_ids[row] in trained for row in rows)

    def find_points(self, draws: range) -> None:
        """Find the missing facial points of the samples before `draws.stop` and of validation."""
        folder = Path(self.config.cache_dir) if self.config.cache_dir else default_cache_folder()
        if self.plan is not None:
            rows = self.plan.rows_drawn(draws.stop)
            self.typical_points = search_points(self.table, rows, folder)
        frames = self.evaluation_frames
        if frames is not None:
            search_points(frames.table, frames.rows, folder)

    def batches(
        self, draws: range, micro_batch: int, workers: int, accelerator: Accelerator
    ) -> Iterator[dict]:
        """Yield this process's batches of the samples numbered `draws`, on its device."""
        if self.plan is not None:
            frames = TrainingFrames(self.table, self.plan, self.maker)
            loader = training_loader(frames, draws.start, draws.stop, micro_batch, workers)
            yield from accelerator.prepare(loader)
            return
        stream = StreamedFrames(
            self.stream,
            self.maker,
            self.shares,
            draws,
            micro_batch,
            accelerator.num_processes,
            accelerator.process_index,
        )
        for batch in streaming_loader(stream, workers):
            yield {name: value.to(accelerator.device) for name, value in batch.items()}

    def first_samples(self, count: int) -> Iterator[TrainingSample]:
        """Yield the first samples of the run."""
        frames = TrainingFrames(self.table, self.plan, self.maker)
        for draw in self.plan.draws(0, count):
            yield frames.sample(draw)

    def described(self) -> list[str]:
        """Describe both splits in lines for the user, warnings included."""
        training, validation = self.training_facts(), self.validation_facts()
        lines = [
            f"training on {training['rows']} rows ({training['genuine']} genuine, "
            f"{training['forged']} fake, {training.get('forged_with_genuine_frame', 'some')} of "
            f"them with their genuine frame), validating on {validation['rows']}"
        ]
        if training["typical_points"]:
            lines.append(f"no face was found in {training['typical_points']} training rows")
        if validation["rows_with_source_in_training"]:
            lines.append(
                f"warning: {validation['rows_with_source_in_training']} validation rows come from "
                "source videos that are trained on"
            )
        return lines

    def training_facts(self) -> dict:
        """Return what the model card states about the training data."""
        facts = {"data": _shown_name(self.config.data), "typical_points": self.typical_points}
        if self.joined_pictures:
            facts["genuine_data"] = _shown_name(self.config.genuine_data)
            facts["genuine_data_rows"] = self.joined_pictures
        if self.plan is None:
            return facts | {"rows": "streamed", "genuine": "not counted", "forged": "not counted"}
        genuine, forged = len(self.plan.genuine_rows), len(self.plan.forged_rows)
        paired = int(self.table.has_source[self.plan.forged_rows].sum())
        return facts | {
            "rows": genuine + forged,
            "genuine": genuine,
            "forged": forged,
            "forged_with_genuine_frame": paired,
            "digest": self.digest,
        }

    def validation_facts(self) -> dict:
        """Return what the model card states about the validation data."""
        name = self.config.validation_data or self.config.data
        local = Path(name).exists()
        return {
            "data": _shown_name(name),
            "dataset_id": self.config.hub_dataset_id or _shown_name(name),
            "local": local and self.config.hub_dataset_id is None,
            "rows": len(self.evaluation_frames),
            "rows_with_source_in_training": self.shared_sources(),
            "digest": self.evaluation_frames.table.digest(),
        }


def _find_validation_split(config: TrainingConfig) -> FoundSplit:
    """Find the validation split in --validation_data or --data; a test split must be named.

    Raises:
        FrameDataError: there is none; the message says which option names one.
    """
    wanted = ("validation",)
    if config.validation_data:
        # Data that is named for validation may be one file, or one split, of any name.
        try:
            return find_split(config.validation_data, wanted, or_only=True)
        except MissingSplitError as error:
            raise error.with_advice("name one file of it as --validation_data") from None
    advice = "name the frames to validate on with --validation_data"
    try:
        found = find_split(config.data, wanted)
    except MissingSplitError as error:
        raise error.with_advice(advice) from None
    if Path(config.data).is_file() or found.name == WHOLE:
        raise FrameDataError(f"Data '{config.data}' has no validation split: {advice}.")
    return found


def _some_rows(count: int, limit: int | None, seed: int) -> np.ndarray:
    """Return all row numbers, or `limit` of them, drawn at random and sorted."""
    if limit is None or limit >= count:
        return np.arange(count)
    rng = random_generator(seed, RandomStream.SUBSET)
    return np.sort(rng.permutation(count)[:limit])


def _shown_name(name: str) -> str:
    """Return the Hub id, or only the last part of a local path."""
    path = Path(name)
    return path.resolve().name if path.exists() else name
