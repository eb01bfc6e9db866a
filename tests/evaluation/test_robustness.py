"""Robustness curves from scores tables with known answers."""

import json

import pytest

from caddm_hf.augmentation.distortions import DISTORTION_LEVELS, DISTORTIONS
from caddm_hf.dataset.schema import FrameDataError
from caddm_hf.evaluation.figures import Bootstrap
from caddm_hf.evaluation.plots import robustness_plot
from caddm_hf.evaluation.robustness import VARIANTS, measure_robustness
from support.made_scores import MadeVideo, made_table


def videos_of(name: str, level: int, misplaced: int) -> list[MadeVideo]:
    """Four genuine and four fake videos; of the fakes `misplaced` rank below all genuine ones."""
    genuine = [MadeVideo(f"g{n}", 0, [0.1 * n], distortion=name, level=level) for n in range(4)]
    fake = [
        MadeVideo(f"f{n}", 1, [-2.0 if n < misplaced else 2.0], distortion=name, level=level)
        for n in range(4)
    ]
    return genuine + fake


def made_robustness_table(extra: tuple[MadeVideo, ...] = ()):
    videos = []
    for name, level in VARIANTS:
        misplaced = 1 if name == "none" else 0
        if name == "blur":
            misplaced = level - 1
        if name == "jpeg":
            misplaced = 2
        videos += videos_of(name, level, misplaced)
        videos += [
            MadeVideo(v.video_id, v.label, v.logits, distortion=name, level=level) for v in extra
        ]
    return made_table(videos)


def test_curves_by_hand():
    found = measure_robustness(made_robustness_table(), Bootstrap(50))
    assert found["clean"]["estimate"] == 0.75
    curves = {curve["distortion"]: curve for curve in found["curves"]}
    assert list(curves) == list(DISTORTIONS)
    blur = [figure["estimate"] for figure in curves["blur"]["video_auc"]]
    assert blur == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert curves["blur"]["levels"] == list(DISTORTION_LEVELS)
    assert curves["blur"]["mean_drop"] == pytest.approx(0.25)
    assert curves["jpeg"]["mean_drop"] == pytest.approx(0.25)
    assert curves["noise"]["mean_drop"] == pytest.approx(-0.25)
    assert found["mean_video_auc"] == pytest.approx((5 * 1.0 + 0.5 + 0.5) / 7)
    json.dumps(found, allow_nan=False)
    report = {"results": [{"model": "m", "collection": "c", **found}]}
    assert len(robustness_plot(report).axes) == 8


def test_every_distortion_and_level_is_measured_once():
    assert len(VARIANTS) == len(set(VARIANTS)) == 1 + 7 * 5


def test_failed_videos_are_left_out():
    found = measure_robustness(
        made_robustness_table((MadeVideo("lost", 1, [None]),)), Bootstrap(20)
    )
    assert found["clean"]["estimate"] == 0.75


def test_nothing_but_genuine_videos():
    videos = [MadeVideo("g", 0, [1.0], distortion=name, level=level) for name, level in VARIANTS]
    with pytest.raises(FrameDataError, match="no fake videos"):
        measure_robustness(made_table(videos), Bootstrap(20))
