"""How well a detector's features identify a person: the measurement of the paper.

A linear classifier (ridge regression on standardised features, one output per person) is trained on
frozen features of genuine faces to identify the person. It is tested by five-fold cross-validation;
photographs of one video are in one fold. The penalty is chosen among a few on part of the training
folds, separately for every set of features.

A detector that ignores identity has a low accuracy. Compare it with the same probe on an ImageNet
backbone, on a plain classifier of the same backbone, on random weights, on the pixels, and on
shuffled names.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..dataset.schema import FrameDataError
from .figures import Bootstrap

FOLDS = 5
PENALTIES = (1e0, 1e1, 1e2, 1e3, 1e4, 1e5)  # strengths to choose from
FEATURE_SETS = {
    "global": "the backbone's average",
    "artifact": "the artifact module's vector",
    "pooled": "what the classifier sees",
}


@dataclass(frozen=True, eq=False)
class ProbeData:
    """Photographs of known people.

    Attributes:
        identities: (N,) int64, a number for each person.
        groups: N names; photographs of one video, or copies of one picture, share a name and
            are never divided between training and test.
        left_out: reason -> number of unused photographs.
    """

    identities: np.ndarray
    groups: list[Hashable]
    left_out: dict[str, int]


def prepare_probe(names: Sequence[str], groups: Sequence[Hashable]) -> tuple[ProbeData, np.ndarray]:
    """Number the people, and omit those with too few photographs for training and test.

    Args:
        names: N identities.
        groups: N names, as in `ProbeData`.

    Returns:
        the data, and the (M,) numbers of the rows used.

    Raises:
        FrameDataError: fewer than two people are left.
    """
    videos: dict[str, set] = {}
    for name, group in zip(names, groups, strict=True):
        videos.setdefault(name, set()).add(group)
    kept = [n for n, name in enumerate(names) if len(videos[name]) >= 2]
    people = sorted({names[n] for n in kept})
    if len(people) < 2:
        raise FrameDataError(
            "The identity probe needs at least two people with two photographs (or videos) each."
        )
    number = {name: position for position, name in enumerate(people)}
    lacking = len(names) - len(kept)
    data = ProbeData(
        identities=np.array([number[names[n]] for n in kept]),
        groups=[groups[n] for n in kept],
        left_out={"only one photograph or video of the person": lacking} if lacking else {},
    )
    return data, np.array(kept)


def probe_identity(
    features: np.ndarray,
    data: ProbeData,
    bootstrap: Bootstrap = Bootstrap(),
    shuffled: bool = True,
) -> dict:
    """Measure the accuracy of a linear probe over identities on held-out photographs.

    Args:
        features: (N, D), frozen.
        data: of the N photographs.
        bootstrap: settings of the interval; people are resampled.
        shuffled: also probe once with the names shuffled among the photographs, as a baseline
            without information.

    Returns:
        "accuracy" (a figure), "top5", "dimensions", "penalties" (of the folds),
        "shuffled_accuracy".

    Raises:
        FrameDataError: the features are not finite, or people have too few photographs.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) != len(data.identities):
        raise ValueError(
            f"{len(data.identities)} photographs need (N, D) features, got {features.shape}"
        )
    if not np.isfinite(features).all():
        raise FrameDataError("The model gives features that are not finite.")
    seed = bootstrap.seed
    ranks, chosen = _held_out_ranks(features, data.identities, data.groups, seed)
    hits = (ranks == 0).astype(float)
    accuracy = bootstrap.figure(_mean_score, hits, np.zeros(len(hits)), data.identities.tolist())
    result = {
        "accuracy": accuracy,
        "top5": float(np.mean(ranks < 5)),
        "dimensions": features.shape[1],
        "penalties": chosen,
    }
    if shuffled:
        # Shuffle the names of whole groups, so that photographs of one video keep one name.
        rng = np.random.default_rng([seed, 1])
        distinct = list(dict.fromkeys(data.groups))
        of_group = dict(zip(data.groups, data.identities, strict=True))
        drawn = rng.permutation([of_group[group] for group in distinct])
        renamed = dict(zip(distinct, drawn, strict=True))
        identities = np.array([renamed[group] for group in data.groups])
        common = max(set(chosen), key=chosen.count)
        ranks, _ = _held_out_ranks(features, identities, data.groups, seed, (common,))
        result["shuffled_accuracy"] = float(np.mean(ranks == 0))
    return result


def chance_level(identities: np.ndarray) -> float:
    """Return the accuracy of always choosing the person with the most photographs."""
    return max(Counter(identities.tolist()).values()) / len(identities)


def _mean_score(scores: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(scores))


def _held_out_ranks(
    features: np.ndarray,
    identities: np.ndarray,
    groups: Sequence[Hashable],
    seed: int,
    penalties: Sequence[float] = PENALTIES,
) -> tuple[np.ndarray, list[float]]:
    """Return the rank of each photograph's person (0: correct), and each fold's penalty."""
    numbers: dict[Hashable, int] = {}
    group_index = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    per_person = [len(set(group_index[identities == p])) for p in np.unique(identities)]
    folds = min(FOLDS, min(per_person))
    ranks = np.empty(len(identities), np.int64)
    chosen = []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for training, test in splitter.split(features, identities, group_index):
        penalty = penalties[0]
        if len(penalties) > 1:
            penalty = _choose_penalty(
                features[training], identities[training], group_index[training], penalties, seed
            )
        chosen.append(penalty)
        ranks[test] = _ranks(
            features[training], identities[training], features[test], identities[test], penalty
        )
    return ranks, chosen


def _choose_penalty(
    features: np.ndarray,
    identities: np.ndarray,
    groups: np.ndarray,
    penalties: Sequence[float],
    seed: int,
) -> float:
    """Choose the penalty with the best accuracy on a quarter of the training photographs."""
    with warnings.catch_warnings():  # about people with fewer groups than folds
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
        try:
            fitted, judged = next(splitter.split(features, identities, groups))
        except ValueError:  # too few groups
            return penalties[0]
    scores = [
        np.mean(
            _ranks(
                features[fitted],
                identities[fitted],
                features[judged],
                identities[judged],
                penalty,
            )
            == 0
        )
        for penalty in penalties
    ]
    return penalties[int(np.argmax(scores))]


def _ranks(
    features: np.ndarray,
    identities: np.ndarray,
    test_features: np.ndarray,
    test_identities: np.ndarray,
    penalty: float,
) -> np.ndarray:
    probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty))
    probe.fit(features, identities)
    known = probe[-1].classes_
    scores = probe.decision_function(test_features)
    if scores.ndim == 1:  # two people: one score, positive for the second
        scores = np.stack([-scores, scores], axis=1)
    position = np.searchsorted(known, test_identities)
    own = scores[np.arange(len(scores)), np.minimum(position, len(known) - 1)]
    ranks = (scores > own[:, None]).sum(axis=1)
    unseen = ~np.isin(test_identities, known)
    ranks[unseen] = len(known)
    return ranks


def pixel_features(crops_rgb: Sequence[np.ndarray], side: int = 16) -> np.ndarray:
    """Return (N, side * side) grey levels of aligned crops, reduced to side x side pixels."""
    import cv2

    size = (side, side)
    return np.stack(
        [
            cv2.resize(
                cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA
            ).ravel()
            for crop in crops_rgb
        ]
    ).astype(np.float64)


def model_features(
    outputs: Callable, crops_rgb: Sequence[np.ndarray], is_slim: bool
) -> dict[str, np.ndarray]:
    """Return frozen features of aligned crops.

    Args:
        outputs: `FrameScorer.outputs`.
        crops_rgb: (S, S, 3) uint8 each.
        is_slim: whether the artifact module's width differs from the backbone's, so that the
            classifier gets both vectors concatenated and not their sum.

    Returns:
        name of `FEATURE_SETS` -> (N, D) float32.
    """

    def both(output):
        return torch.cat([output.global_features, output.artifact_features], dim=1)

    width = 0

    def take(output):
        nonlocal width
        width = output.global_features.shape[1]
        return both(output)

    rows = np.stack(outputs(crops_rgb, take))
    features = {"global": rows[:, :width], "artifact": rows[:, width:]}
    features["pooled"] = rows if is_slim else features["global"] + features["artifact"]
    return features
