"""Frame and video metrics of a deepfake detector, as a module of Hugging Face `evaluate`.

    evaluate.load("<path to>/caddm_hf/metrics/video_metrics")   # works offline

Notes on the imports: the loader reads them line by line, and copies this file and the siblings
that it imports, but not their imports. Write one module per line, no comment after an import, and
do not import an `evaluate` class by name: the loader uses the first metric class that it finds in
this module.
"""

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from .video_scores import (
    Aggregation,
    aggregate_by_video,
    area_under_roc,
    average_precision,
    check_probabilities,
    equal_error_rate,
    require_both_classes,
)

_DESCRIPTION = """
AUC and equal error rate of frames and of videos, and average precision and accuracy of videos,
for detectors that score frames: a video's score is the mean (or another summary) of its frames.
"""

_INPUTS_DESCRIPTION = """
Args:
    predictions: the probability of fake of each frame, in [0, 1].
    references: 0 for a frame of a genuine video, 1 for one of a fake video.
    video_ids: the full id of each frame's video, unique across manipulation methods and datasets.
    threshold: a video is called fake if its score lies above this; in [0, 1], default 0.5.
    aggregation: "mean" (default), "max", or "top_k": the mean of the top_k highest frames.
    top_k: a positive number, with aggregation="top_k" only.

Returns:
    frame_auc, frame_eer: over all frames, each counting once.
    video_auc, video_eer, video_average_precision: over the videos' scores.
    video_accuracy: share of videos on the right side of the threshold.
    video_balanced_accuracy: the mean of that share among genuine and among fake videos.
    n_frames, n_videos, n_genuine_videos, n_fake_videos: counts.

Raises:
    ValueError: on scores that are NaN or outside [0, 1], labels other than 0 and 1, a video with
        both labels, no frames, or videos of one class only.
"""

_CITATION = """
@inproceedings{dong2023implicit,
  title = {Implicit Identity Leakage: The Stumbling Block to Improving Deepfake Detection
           Generalization},
  author = {Dong, Shichao and Wang, Jin and Ji, Renhe and Liang, Jiajun and Fan, Haoqiang and
            Ge, Zheng},
  booktitle = {CVPR},
  year = {2023}
}
"""


class VideoMetrics(evaluate.Metric):
    """Ranking and accuracy of frame scores and of the video scores made from them."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("float64"),
                    # An integer feature would silently turn a label of 0.7 into 0.
                    "references": datasets.Value("float64"),
                    "video_ids": datasets.Value("string"),
                }
            ),
        )

    def _compute(
        self,
        predictions: Sequence[float],
        references: Sequence[float],
        video_ids: Sequence[str],
        threshold: float = 0.5,
        aggregation: Aggregation = "mean",
        top_k: int | None = None,
    ) -> dict[str, float | int]:
        if not 0 <= threshold <= 1:
            raise ValueError(f"the threshold must lie in [0, 1], got {threshold}")
        probabilities = check_probabilities(predictions)
        videos = aggregate_by_video(probabilities, references, video_ids, aggregation, top_k)
        require_both_classes(videos.labels, "AUC, EER and average precision need", "videos")

        fake = videos.labels == 1
        correct = (videos.scores > threshold) == fake
        return {
            "frame_auc": area_under_roc(probabilities, references),
            "frame_eer": equal_error_rate(probabilities, references),
            "video_auc": area_under_roc(videos.scores, videos.labels),
            "video_eer": equal_error_rate(videos.scores, videos.labels),
            "video_average_precision": average_precision(videos.scores, videos.labels),
            "video_accuracy": float(np.mean(correct)),
            "video_balanced_accuracy": float(correct[fake].mean() + correct[~fake].mean()) / 2,
            "n_frames": len(probabilities),
            "n_videos": len(videos.labels),
            "n_genuine_videos": int(np.sum(~fake)),
            "n_fake_videos": int(np.sum(fake)),
        }
