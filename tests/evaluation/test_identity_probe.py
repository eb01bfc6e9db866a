"""The identity probe on features that encode identity by construction, and on those that do not."""

import numpy as np
import pytest

from caddm_hf.dataset.schema import FrameDataError
from caddm_hf.evaluation.figures import Bootstrap
from caddm_hf.evaluation.identity_probe import (
    chance_level,
    pixel_features,
    prepare_probe,
    probe_identity,
)

PEOPLE, PHOTOGRAPHS, WIDTH = 20, 10, 64
QUICK = Bootstrap(samples=100)


def people(count: int = PEOPLE, photographs: int = PHOTOGRAPHS) -> list[str]:
    return [f"person {n}" for n in range(count) for _ in range(photographs)]


def made_features(rng: np.random.Generator, names: list[str], strength: float) -> np.ndarray:
    """Noise, plus `strength` times a fixed direction for each person."""
    distinct = sorted(set(names))
    directions = rng.normal(size=(len(distinct), WIDTH))
    own = directions[[distinct.index(name) for name in names]]
    return rng.normal(size=(len(names), WIDTH)) + strength * own


def test_features_that_encode_identity_score_near_one():
    names = people()
    data, kept = prepare_probe(names, range(len(names)))
    assert len(kept) == len(names)
    features = made_features(np.random.default_rng(0), names, strength=2.0)
    found = probe_identity(features, data, QUICK)
    assert found["accuracy"]["estimate"] > 0.97
    assert found["top5"] >= found["accuracy"]["estimate"]
    assert found["shuffled_accuracy"] < 0.15
    assert found["dimensions"] == WIDTH


@pytest.mark.parametrize("seed", range(2))
def test_features_without_identity_score_near_chance(seed):
    names = people()
    data, _ = prepare_probe(names, range(len(names)))
    features = made_features(np.random.default_rng(seed), names, strength=0.0)
    found = probe_identity(features, data, QUICK)
    # 200 photographs at a chance of 5%: four standard errors are 6 points.
    assert found["accuracy"]["estimate"] < 0.05 + 0.06
    assert chance_level(data.identities) == pytest.approx(0.05)


def test_scale_and_useless_numbers_do_not_matter_much():
    rng = np.random.default_rng(1)
    names = people()
    data, _ = prepare_probe(names, range(len(names)))
    features = made_features(rng, names, strength=2.0)
    noisy = np.concatenate([features * 1e-4, 1e3 * rng.normal(size=(len(names), 200))], axis=1)
    assert probe_identity(noisy, data, QUICK, shuffled=False)["accuracy"]["estimate"] > 0.8


def test_photographs_of_one_video_are_never_divided():
    """Features tell the video and not the person: only a divided video would give it away."""
    rng = np.random.default_rng(0)
    names, videos, rows = [], [], []
    for person in range(8):
        for video in range(6):
            base = rng.normal(size=WIDTH) * 5
            for _ in range(4):
                names.append(f"p{person}")
                videos.append(f"{person}-{video}")
                rows.append(base + 0.1 * rng.normal(size=WIDTH))
    features = np.array(rows)
    together, _ = prepare_probe(names, videos)
    divided, _ = prepare_probe(names, range(len(names)))
    assert probe_identity(features, divided, QUICK)["accuracy"]["estimate"] > 0.9
    found = probe_identity(features, together, QUICK)
    assert found["accuracy"]["estimate"] < 0.3
    assert found["shuffled_accuracy"] < 0.3


def test_two_people_and_few_photographs():
    names = ["a"] * 3 + ["b"] * 2
    data, _ = prepare_probe(names, range(5))
    features = np.array([[0.0], [0.1], [-0.1], [9.0], [9.1]])
    assert probe_identity(features, data, QUICK)["accuracy"]["estimate"] == 1.0


def test_people_who_cannot_be_both_learned_and_tested_are_left_out():
    names = ["a", "a", "b", "b", "c", "d", "d"]
    groups = [0, 1, 2, 3, 4, "same video", "same video"]
    data, kept = prepare_probe(names, groups)
    assert kept.tolist() == [0, 1, 2, 3]
    assert data.identities.tolist() == [0, 0, 1, 1]
    assert data.left_out == {"only one photograph or video of the person": 3}


def test_one_person_is_not_enough():
    with pytest.raises(FrameDataError, match="at least two people"):
        prepare_probe(["a", "a", "b"], [0, 1, 2])


def test_wrong_features():
    data, _ = prepare_probe(people(3, 3), range(9))
    with pytest.raises(ValueError, match="9 photographs need"):
        probe_identity(np.zeros((8, 4)), data, QUICK)
    with pytest.raises(FrameDataError, match="not finite"):
        probe_identity(np.full((9, 4), np.nan), data, QUICK)


def test_accuracy_is_repeated_by_its_seed():
    names = people(6, 6)
    data, _ = prepare_probe(names, range(len(names)))
    features = made_features(np.random.default_rng(0), names, strength=0.5)
    assert probe_identity(features, data, QUICK) == probe_identity(features, data, QUICK)


def test_pixels_are_grey_means_in_order():
    crop = np.zeros((64, 64, 3), np.uint8)
    crop[:32, 32:] = 200
    pixels = pixel_features([crop], side=2)
    assert pixels.tolist() == [[0.0, 200.0, 0.0, 0.0]]
