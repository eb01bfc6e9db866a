"""Frame and video scores of a deepfake detector, as an `evaluate` metric and as functions.

`evaluate.load` reads `video_metrics.py` and copies it, with `video_scores.py`, to a cache
of its own, so neither file may import from the rest of the package. The functions are
re-exported here for the package; the metric class is not, because importing `evaluate`
takes seconds.
"""

from .video_scores import (
    OneClassError,
    VideoScores,
    aggregate_by_video,
    area_under_roc,
    average_precision,
    check_labels,
    check_probabilities,
    check_scores,
    equal_error_rate,
    require_both_classes,
)

__all__ = [
    "OneClassError",
    "VideoScores",
    "aggregate_by_video",
    "area_under_roc",
    "average_precision",
    "check_labels",
    "check_probabilities",
    "check_scores",
    "equal_error_rate",
    "require_both_classes",
]
