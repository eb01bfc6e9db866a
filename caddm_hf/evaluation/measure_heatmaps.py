"""The measurement of localisation, from options to a report."""

import numpy as np

from ..checkpoint.loading import LoadedModel
from ..dataset.opening import open_rows
from ..dataset.schema import FrameDataError
from ..runtime.backends import open_network
from .faces import FaceFinder
from .figures import Bootstrap
from .localisation import (
    MISSING_GRAD_CAM,
    SIDE,
    GenuineFace,
    anchor_heatmaps_of,
    centre_heatmaps,
    grad_cam_of,
    make_swaps,
    measure_localisation,
    separation,
    stretched,
)
from .options import EvaluateOptions
from .output import describe_model, envelope, warn
from .picture_rows import find_points, first_rows_of_videos, genuine_rows
from .scoring import FrameScorer, make_accelerator


def measure_heatmaps(loaded: LoadedModel, name: str, options: EvaluateOptions) -> dict:
    """Make swaps, and measure localisation on them.

    Raises:
        FrameDataError: the data cannot be used; the message is one sentence.
    """
    needed = ("image",) if options.all_genuine else ("image", "label", "video_id")
    rows = open_rows(options.data[0], needed, options.split, any_split=options.all_genuine)
    chosen = first_rows_of_videos(rows, genuine_rows(rows, options.all_genuine), options.skip_rows)
    rng = np.random.default_rng(options.seed)
    chosen = sorted(rng.permutation(chosen)[: options.faces].tolist())
    device = make_accelerator(options.device).device
    points = find_points(rows, chosen, FaceFinder(device))
    videos = rows.words("video_id")
    faces = [
        GenuineFace(rows.image_rgb(n), points[n], videos[n] or f"row {n}")
        for n in chosen
        if points[n] is not None
    ]
    if not faces:
        raise FrameDataError(f"No face was found in the {len(chosen)} pictures looked at.")
    scorer = FrameScorer(loaded, open_network(loaded, device, options.backend), options.batch_size)
    processor = scorer.processor
    swaps, failed = make_swaps(faces, processor, options.seed)
    crops = [swap.crop_rgb for swap in swaps]
    maps = anchor_heatmaps_of(scorer)(crops)
    grad_cam = grad_cam_of(scorer)
    if grad_cam is None:
        warn(f"Grad-CAM was {MISSING_GRAD_CAM}.")
    methods = {
        "anchors": maps,
        "anchors, stretched": stretched(maps),
        "Grad-CAM": MISSING_GRAD_CAM if grad_cam is None else grad_cam(crops),
        "centre": centre_heatmaps(crops),
    }
    genuine = [processor.align(face.image_rgb, face.points_xy)[0] for face in faces]
    genuine_scores = scorer.logit_differences(genuine)
    scores = scorer.logit_differences(crops)
    places = [f"{swap.forgery}, {swap.scale}" for swap in swaps]
    return envelope(
        "localisation",
        {
            "protocol": {
                "seed": options.seed,
                "bootstrap_samples": options.bootstrap_samples,
                "bootstrap_unit": "the videos of the genuine faces",
                "compared_at_px": SIDE,
                "crop": "aligned by five points, without jitter or degradation",
            },
            "model": describe_model(name, loaded),
            "collection": {
                "name": rows.name,
                "split": rows.split,
                "fingerprint": rows.fingerprint(("video_id",)),
                "faces": len(faces),
                "without_a_face": len(chosen) - len(faces),
            },
            "swaps_not_made": failed,
            "separation": {
                place: separation(
                    scores[[n for n, other in enumerate(places) if other == place]],
                    genuine_scores,
                )
                for place in dict.fromkeys(places)
            },
            "results": measure_localisation(
                swaps, methods, Bootstrap(options.bootstrap_samples, options.seed)
            ),
        },
    )
