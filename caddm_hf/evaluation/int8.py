"""The loss of AUC by int8: a model and its quantised network on the same faces.

The videos of a collection are divided at random. Some supply the ranges of values for quantisation,
the AUC is measured on the others.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from scipy.special import expit

from ..checkpoint.loading import LoadedModel
from ..dataset.schema import FrameDataError
from ..metrics.statistics import bootstrap_interval
from ..metrics.video_metrics.video_scores import area_under_roc
from ..runtime.network import CropNetwork, TorchNetwork
from .data import EvaluationData, choose_videos, open_evaluation_data
from .faces import FaceCrops, FaceFinder
from .figures import check_both_classes
from .models import scaling_of
from .scoring import FrameScorer

MOST_RANGING_VIDEOS = 64
MOST_RANGING_CROPS = 128
BOOTSTRAP_SAMPLES = 1000


def divided_data(
    name: str, split: str | None, frames: int, at_most: int, seed: int
) -> tuple[EvaluationData, EvaluationData]:
    """Open data for ranges, and other videos for measuring.

    Args:
        name, split, frames: as in `open_evaluation_data`.
        at_most: total number of videos, drawn at random.
        seed: of the draws.

    Raises:
        FrameDataError: the data cannot be used, or has too few videos.
    """
    halves = []
    for part in range(2):
        data = open_evaluation_data(name, frames, split)
        rng = np.random.default_rng(seed)
        choose_videos(data, at_most, rng)
        videos = list(dict.fromkeys(data.facts))
        count = min(MOST_RANGING_VIDEOS, len(videos) // 4)
        order = [videos[n] for n in rng.permutation(len(videos))]
        chosen = set(order[count:] if part else order[:count])
        if not chosen:
            raise FrameDataError(f"Data '{data.name}' has too few videos to quantise by.")
        data.keep([item for item, facts in enumerate(data.facts) if facts in chosen])
        halves.append(data)
    ranging, measured = halves
    labels = np.array([facts.label for facts in measured.facts])
    check_both_classes(labels, f"Data '{measured.name}', without what gives the ranges,")
    return ranging, measured


def ranging_crops(loaded: LoadedModel, data: EvaluationData, frames: int) -> list[np.ndarray]:
    """Return at most `MOST_RANGING_CROPS` aligned faces, (S, S, 3) uint8.

    Raises:
        FrameDataError: there is no face.
    """
    crops = []
    for _, of_item in _crops_by_item(loaded, data, frames):
        crops += of_item
        if len(crops) >= MOST_RANGING_CROPS:
            break
    if not crops:
        raise FrameDataError(f"No face was found in '{data.name}' to quantise by.")
    return crops[:MOST_RANGING_CROPS]


def auc_change(
    loaded: LoadedModel, network: CropNetwork, data: EvaluationData, frames: int, seed: int
) -> str:
    """Return a line with both video-level AUCs, and the change with its 95% bootstrap interval.

    Each resample uses the same videos for both networks, so the interval is that of the change.

    Raises:
        FrameDataError: no faces were found in one of the classes.
    """
    exact = TorchNetwork(loaded.model, torch.device("cpu"))
    scorers = [FrameScorer(loaded, one) for one in (exact, network)]
    scaling = scaling_of(loaded)
    scores: dict = defaultdict(list)
    for item, crops in _crops_by_item(loaded, data, frames):
        both = [expit(scaling.scaled(scorer.logit_differences(crops))) for scorer in scorers]
        scores[data.facts[item]].append(np.stack(both, axis=1))
    labels = np.array([facts.label for facts in scores])
    check_both_classes(labels, f"Faces found in '{data.name}'")
    means = np.array([np.concatenate(rows).mean(axis=0) for rows in scores.values()])

    def change(videos: np.ndarray, labels: np.ndarray) -> float:
        before, after = (area_under_roc(means[videos.astype(int), n], labels) for n in range(2))
        return after - before

    rng = np.random.default_rng(seed)
    found = bootstrap_interval(change, np.arange(len(labels)), labels, rng, BOOTSTRAP_SAMPLES)
    before, after = (area_under_roc(means[:, n], labels) for n in range(2))
    return (
        f"AUC on {len(labels):,} videos of {data.name}: float32 {before:.4f}, int8 {after:.4f}, "
        f"change {found.estimate:+.4f} (95% interval {found.low:+.4f} to {found.high:+.4f}); "
        f"largest change of a video's probability {np.abs(means[:, 1] - means[:, 0]).max():.3f}"
    )


def _crops_by_item(
    loaded: LoadedModel, data: EvaluationData, frames: int
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Return the aligned faces of each item with a face."""
    cpu = torch.device("cpu")
    without_points = data.items_without_points()
    found = FaceFinder(cpu).find(data, without_points) if without_points else ()
    faces = dict(zip(without_points, found, strict=True))
    cut = FaceCrops(loaded, TorchNetwork(loaded.model, cpu), data, frames, faces)
    for item in range(len(data.facts)):
        crops = [face.crop_rgb for face in cut.of_item(item) if face.failure is None]
        if crops:
            yield item, crops
