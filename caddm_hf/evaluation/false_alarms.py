"""How many genuine pictures a model calls fake, on data without forgeries.

A detector was not trained on portraits from other cameras or other centuries. The false-positive
rate on a collection's own genuine videos does not apply to them.
"""

import numpy as np
from scipy.special import expit

from ..checkpoint.loading import LoadedModel
from ..dataset.opening import open_rows
from ..dataset.schema import FrameDataError
from ..report.verdicts import Thresholds
from ..runtime.backends import open_network
from .faces import FaceFinder
from .figures import proportion
from .models import scaling_of, thresholds_of
from .options import EvaluateOptions
from .output import describe_model, envelope
from .picture_rows import find_points, first_rows_of_videos, genuine_rows
from .scoring import FrameScorer, make_accelerator


def count_verdicts(probabilities: np.ndarray, thresholds: Thresholds) -> dict:
    """Return the shares of genuine pictures called fake, undecided and called real.

    Args:
        probabilities: (N,) calibrated, of fake.
        thresholds: above `fake_above` is fake, below `real_below` is real.

    Returns:
        {"called_fake", "undecided", "called_real"} as shares with Wilson intervals.
    """
    total = len(probabilities)
    called_fake = int((probabilities > thresholds.fake_above).sum())
    called_real = int((probabilities < thresholds.real_below).sum())
    return {
        "called_fake": proportion(called_fake, total),
        "undecided": proportion(total - called_fake - called_real, total),
        "called_real": proportion(called_real, total),
    }


def measure_false_alarms(loaded: LoadedModel, name: str, options: EvaluateOptions) -> dict:
    """Score genuine pictures, one per video, and count the verdicts.

    Args:
        loaded: the model.
        name: of the model, for the report.
        options: of the command line.

    Raises:
        FrameDataError: the data cannot be used; the message is one sentence.
    """
    thresholds = thresholds_of(name, loaded, options.false_positive_rate)
    needed = ("image",) if options.all_genuine else ("image", "label")
    rows = open_rows(options.data[0], needed, options.split, any_split=options.all_genuine)
    chosen = first_rows_of_videos(rows, genuine_rows(rows, options.all_genuine), options.skip_rows)
    device = make_accelerator(options.device).device
    points = find_points(rows, chosen, FaceFinder(device))
    scorer = FrameScorer(loaded, open_network(loaded, device, options.backend), options.batch_size)
    differences = []
    seen = [number for number in chosen if points[number] is not None]
    if not seen:
        raise FrameDataError(f"No face was found in the {len(chosen)} pictures looked at.")
    for start in range(0, len(seen), options.batch_size):
        batch = seen[start : start + options.batch_size]
        crops = [scorer.processor.align(rows.image_rgb(n), points[n])[0] for n in batch]
        differences.append(scorer.logit_differences(crops))
    probabilities = expit(scaling_of(loaded).scaled(np.concatenate(differences)))
    return envelope(
        "false-alarms",
        {
            "protocol": {
                "pictures": "the first of each video, the largest face in it",
                "skipped_rows": options.skip_rows,
            },
            "model": describe_model(name, loaded),
            "collection": {
                "name": rows.name,
                "split": rows.split,
                "fingerprint": rows.fingerprint(("video_id",)),
                "pictures": len(seen),
                "without_a_face": len(chosen) - len(seen),
            },
            "thresholds": {
                "real_below": thresholds.real_below,
                "fake_above": thresholds.fake_above,
            },
            "verdicts": count_verdicts(probabilities, thresholds),
            "probabilities": np.round(np.sort(probabilities), 6).tolist(),
        },
    )
