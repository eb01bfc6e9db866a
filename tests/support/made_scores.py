"""Scores tables with known content, and a tiny model, for the tests of the measurements."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from datasets import Image

from caddm_hf.checkpoint.loading import LoadedModel
from caddm_hf.cli.main import main
from caddm_hf.evaluation.score_table import CLEAN, SCORED_SCHEMA, complete_table
from caddm_hf.model.configuration_caddm import CaddmConfig
from caddm_hf.model.image_processing_caddm import CaddmImageProcessor
from caddm_hf.model.modeling_caddm import CaddmForDeepfakeDetection
from caddm_hf.report.verdicts import LogitScaling


@dataclass(frozen=True)
class MadeVideo:
    """A video of a made-up table; a logit of None is a frame that failed."""

    video_id: str
    label: int
    logits: Sequence[float | None]
    method: str | None = None
    dataset: str = "made"
    compression: str | None = None
    source: str | None = None
    distortion: str = CLEAN
    level: int = 0
    origin: str | None = None
    face_px: float | None = 100.0


def made_table(videos: Sequence[MadeVideo], scaling: LogitScaling = LogitScaling()) -> pa.Table:
    """The table that scoring these videos would give."""
    rows = [
        (
            video.dataset,
            video.compression,
            (video.method or "patch") if video.label else None,
            video.video_id,
            video.source,
            video.label,
            index,
            video.distortion,
            video.level,
            video.origin,
            None if logit is None else video.face_px,
            logit,
            "no face found" if logit is None else None,
        )
        for video in videos
        for index, logit in enumerate(video.logits)
    ]
    columns = zip(*rows, strict=True)
    arrays = [
        pa.array(values, field.type) for values, field in zip(columns, SCORED_SCHEMA, strict=True)
    ]
    scored = pa.Table.from_arrays(arrays, schema=SCORED_SCHEMA)
    return complete_table(scored, "model", "collection", scaling)


def tiny_model(seed: int = 0, **settings) -> LoadedModel:
    """A network that scores a crop of 64 px in a millisecond; its weights are random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CaddmConfig(backbone="test_resnet", artifact_width=16, image_size=64, **settings)
        model = CaddmForDeepfakeDetection(config)
        # Heads start near zero; a detector has opinions, and they must differ between crops.
        torch.nn.init.normal_(model.classifier.weight, std=0.5)
    return LoadedModel(model.eval(), CaddmImageProcessor(size=64), "tiny")


def write_tiny_model(folder: Path, seed: int = 0, **settings) -> Path:
    """The same as a model folder."""
    loaded = tiny_model(seed, **settings)
    loaded.model.save_pretrained(folder)
    loaded.image_processor.save_pretrained(folder)
    return folder


def write_leaning_model(folder: Path, rows: Sequence[dict], blur: float = 0.7) -> Path:
    """The tiny model with a classifier that is right more often than wrong on some rows.

    Its weights point from the mean of the genuine crops' features to that of the forged ones',
    and `blur` times as far in a random direction.
    """
    loaded = tiny_model()
    model, processor = loaded.model, loaded.image_processor
    crops = [
        processor.align(np.array(Image().decode_example(row["image"])), np.array(row["landmarks"]))
        for row in rows
    ]
    fake = torch.tensor([row["label"] == "fake" for row in rows])
    with torch.no_grad():
        features = model(processor.pixel_values([crop for crop, _ in crops])).pooled_features
        spread = features.std(dim=0) + 1e-6
        way = (features[fake].mean(dim=0) - features[~fake].mean(dim=0)) / spread
        rng = np.random.default_rng(0)
        noise = torch.tensor(rng.normal(size=len(way)), dtype=way.dtype)
        way = (way / way.norm() + blur * noise / noise.norm()) / spread
        logits = features @ way
        scale = 4 / logits.std()
        model.classifier.weight.copy_(torch.stack([-way, way]) * scale / 2)
        middle = float(logits.median() * scale) / 2
        model.classifier.bias.copy_(torch.tensor([middle, -middle]))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def run(*arguments: object) -> int:
    """A measuring command in this process, on the CPU; returns the exit status."""
    return main([str(argument) for argument in (*arguments, "--device", "cpu")])
