"""Robustness: the AUC on distorted crops compared with clean ones, from a scores table.

The seven distortions at five levels of `degradations.distort` are applied to the aligned crop, so a
level means the same for small and large faces, and the face search is not affected.
"""

import numpy as np
import pyarrow as pa

from ..augmentation.distortions import DISTORTION_LEVELS, DISTORTIONS
from ..metrics.video_metrics.video_scores import area_under_roc
from .figures import Bootstrap, check_both_classes
from .score_table import CLEAN, gather_videos, keep

VARIANTS: tuple[tuple[str, int], ...] = (
    (CLEAN, 0),
    *((name, level) for name in DISTORTIONS for level in DISTORTION_LEVELS),
)


def measure_robustness(table: pa.Table, bootstrap: Bootstrap = Bootstrap()) -> dict:
    """Compute the video AUC of one model on one collection, clean and with every distortion.

    Args:
        table: from `complete_table`, scored with `VARIANTS`.
        bootstrap: settings of the intervals; all use the same resamples of the videos.

    Returns:
        "clean": a figure; "curves": for each distortion "levels", "video_auc" (figures) and
        "mean_drop", the clean AUC minus the mean over the levels; "mean_video_auc" over all.

    Raises:
        FrameDataError: there are no videos, or only genuine or only fake ones.
    """
    figures = {}
    for name, level in VARIANTS:
        videos = gather_videos(keep(table, distortion=name, level=level))
        check_both_classes(videos.labels, "The data")
        scored = videos.select(videos.scored)
        check_both_classes(scored.labels, "What could be scored of the data")
        figures[name, level] = bootstrap.figure(
            area_under_roc, scored.scores, scored.labels, scored.groups
        )
    clean = figures[CLEAN, 0]
    curves = []
    for name in DISTORTIONS:
        chosen = [figures[name, level] for level in DISTORTION_LEVELS]
        mean = float(np.mean([figure["estimate"] for figure in chosen]))
        curves.append(
            {
                "distortion": name,
                "levels": list(DISTORTION_LEVELS),
                "video_auc": chosen,
                "mean_drop": clean["estimate"] - mean,
            }
        )
    means = [clean["estimate"] - curve["mean_drop"] for curve in curves]
    return {"clean": clean, "curves": curves, "mean_video_auc": float(np.mean(means))}
