"""The measurements on single pictures: identity probe and localisation, from options to report."""

import argparse
from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure as Picture
from tqdm.auto import tqdm

from ..checkpoint.imagenet import (
    LITE0_BACKBONE,
    LITE0_PACKAGE,
    backbone_normalisation,
    load_imagenet_weights,
)
from ..checkpoint.loading import LoadedModel
from ..dataset.frame_table import FrameDataError, label_numbers
from ..dataset.rows import OpenedRows, open_rows
from ..model.configuration_caddm import CaddmConfig
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from .faces import FaceFinder
from .figures import Bootstrap
from .identity_probe import (
    FEATURE_SETS,
    chance_level,
    model_features,
    pixel_features,
    prepare_probe,
    probe_identity,
)
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
from .output import describe_model, envelope, warn
from .plots import localisation_picture, probe_picture
from .scoring import FrameScorer, make_accelerator
from .sections import localisation_section, probe_section

NO_IMAGENET = "none"
RANDOM_SEED = 1  # of the random weights beside the model; its own seed, if untrained, is 0
PICTURES_AT_ONCE = 32
Measurement = tuple[dict, object, Picture]  # JSON, what makes its section, picture


def genuine_rows(rows: OpenedRows, all_genuine: bool) -> list[int]:
    """Numbers of the genuine rows.

    Args:
        rows: opened.
        all_genuine: there are no labels, and every row is genuine.

    Raises:
        FrameDataError: there are none, or labels are missing or unusable.
    """
    if all_genuine:
        return list(range(len(rows)))
    labels = label_numbers(rows.columns.get("label", []), rows.features["label"])
    found = np.flatnonzero(labels == 0).tolist()
    if not found:
        raise FrameDataError(f"Data '{rows.name}' holds no genuine rows.")
    return found


def find_points(
    rows: OpenedRows, chosen: list[int], finder: FaceFinder
) -> dict[int, np.ndarray | None]:
    """(5, 2) points of some rows, their own or found; None where there is no face."""
    points: dict[int, np.ndarray | None] = {}
    batches = [chosen[n : n + PICTURES_AT_ONCE] for n in range(0, len(chosen), PICTURES_AT_ONCE)]
    for batch in tqdm(batches, desc="looking for faces", unit="batch", leave=False):
        points |= {number: rows.points_xy(number) for number in batch}
        lacking = [number for number in batch if points[number] is None]
        found = finder.in_pictures([rows.image_rgb(number) for number in lacking])
        points |= dict(zip(lacking, found, strict=True))
    return points


def probe_features(
    loaded: LoadedModel, name: str, plain: LoadedModel | None, options: argparse.Namespace
) -> Measurement:
    """The identity probe.

    Raises:
        FrameDataError, WeightsError: in one sentence, why it cannot be done.
    """
    column = options.identity_column
    rows = open_rows(options.data, ("image", column), options.split, any_split=True)
    names = rows.words(column)
    chosen = [n for n, person in enumerate(names) if person is not None]
    if "label" in rows.features:  # of a forgery it is not clear whose face it shows
        genuine = set(genuine_rows(rows, all_genuine=False))
        chosen = [n for n in chosen if n in genuine]
    compared = _imagenet_model(loaded, options.imagenet_weights)
    device = make_accelerator(options.device).device
    points = find_points(rows, chosen, FaceFinder(loaded, device))
    seen = [n for n in chosen if points[n] is not None]
    if options.max_photographs is not None:
        seen = _at_most(seen, names, options.max_photographs)
    digests = list(rows.picture_digests())
    videos = rows.words("video_id")
    # One picture twice is one photograph, and the frames of a video are hardly more.
    groups = [videos[n] or digests[n] for n in seen]
    data, kept = prepare_probe([names[n] for n in seen], groups)
    seen = [seen[n] for n in kept]
    without = sum(points_xy is None for points_xy in points.values())
    if without:
        data.left_out["no face found"] = without

    bootstrap = Bootstrap(options.bootstrap_samples, options.seed)
    measured = [(name, loaded, "model", tuple(FEATURE_SETS))]
    if plain is not None:
        measured.append((f"plain classifier {plain.name}", plain, "plain", tuple(FEATURE_SETS)))
    if compared is not None:
        measured.append(("ImageNet backbone", compared, "imagenet", ("global",)))
    measured.append(("random weights", _random_model(loaded), "random", ("global",)))
    results = []
    for title, model, role, wanted in measured:
        scorer = FrameScorer(model, device, options.batch_size)
        crops = [
            scorer.processor.align(rows.image_rgb(n), points[n])[0]
            for n in tqdm(seen, desc=f"aligning for {title}", leave=False)
        ]
        found = model_features(scorer.outputs, crops, scorer.model.slim)
        for kind in wanted:
            result = probe_identity(found[kind], data, bootstrap)
            words = f"{title}: {FEATURE_SETS[kind]}"
            results.append({"features": words, "role": role, "kind": kind, **result})
            print(f"{words}: {result['accuracy']['estimate']:.1%}")
    crops = [loaded.image_processor.align(rows.image_rgb(n), points[n])[0] for n in seen]
    pixels = probe_identity(pixel_features(crops), data, bootstrap)
    words = "16 x 16 grey pixels of the crop"
    results.append({"features": words, "role": "pixels", "kind": "pixels", **pixels})
    report = envelope(
        "identity-probe",
        {
            "protocol": {
                "seed": options.seed,
                "bootstrap_samples": options.bootstrap_samples,
                "bootstrap_unit": "people",
                "max_photographs": options.max_photographs,
            },
            "models": [describe_model(title, model) for title, model, *_ in measured],
            "collection": {
                "name": rows.name,
                "split": rows.split,
                "fingerprint": rows.fingerprint((column,)),
                "people": len(set(data.identities.tolist())),
                "photographs": len(seen),
                "left_out": data.left_out,
            },
            "chance": chance_level(data.identities),
            "results": results,
        },
    )
    return report, probe_section, probe_picture(report)


def _at_most(seen: list[int], names: list[str], at_most: int) -> list[int]:
    counts: Counter = Counter()
    kept = []
    for number in seen:
        counts[names[number]] += 1
        if counts[names[number]] <= at_most:
            kept.append(number)
    return kept


def _random_model(loaded: LoadedModel) -> LoadedModel:
    """The same network with weights of no training."""
    config = CaddmConfig.from_dict(loaded.model.config.to_dict() | {"trained": False})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = CaddmForDeepfakeDetection(config)
    return replace(loaded, model=model.eval(), name="random weights", revision=None)


def _imagenet_model(loaded: LoadedModel, source: str | None) -> LoadedModel | None:
    """The model's backbone with ImageNet weights; None where there are none to be had."""
    backbone = loaded.model.config.backbone
    if source is None:
        source = LITE0_PACKAGE if backbone == LITE0_BACKBONE else NO_IMAGENET
    if source == NO_IMAGENET:
        warn(f"no ImageNet weights of {backbone} were given: --imagenet-weights names some.")
        return None
    model = _random_model(loaded).model
    load_imagenet_weights(model, source)
    model.config.trained = True  # the backbone, which is all that is looked at
    mean, std = backbone_normalisation(backbone)
    processor = CaddmImageProcessor(
        size=loaded.image_processor.size,
        align_scale=loaded.image_processor.align_scale,
        eye_height=loaded.image_processor.eye_height,
        image_mean=mean,
        image_std=std,
    )
    return LoadedModel(model, processor, "ImageNet backbone")


def measure_heatmaps(loaded: LoadedModel, name: str, options: argparse.Namespace) -> Measurement:
    """Localisation on swaps made here.

    Raises:
        FrameDataError: in one sentence, why it cannot be done.
    """
    needed = ("image",) if options.all_genuine else ("image", "label", "video_id")
    rows = open_rows(options.data[0], needed, options.split, any_split=options.all_genuine)
    chosen = first_rows_of_videos(rows, genuine_rows(rows, options.all_genuine), options.skip_rows)
    rng = np.random.default_rng(options.seed)
    chosen = sorted(rng.permutation(chosen)[: options.faces].tolist())
    device = make_accelerator(options.device).device
    points = find_points(rows, chosen, FaceFinder(loaded, device))
    videos = rows.words("video_id")
    faces = [
        GenuineFace(rows.image_rgb(n), points[n], videos[n] or f"row {n}")
        for n in chosen
        if points[n] is not None
    ]
    if not faces:
        raise FrameDataError(f"No face was found in the {len(chosen)} pictures looked at.")
    scorer = FrameScorer(loaded, device, options.batch_size)
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
    report = envelope(
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
    return report, localisation_section, localisation_picture(report)


def first_rows_of_videos(rows: OpenedRows, numbers: list[int], skipped: int) -> list[int]:
    """The first row of each video: more faces of one person tell little more.

    Args:
        rows: opened.
        numbers: of the rows to choose from.
        skipped: this many rows at the beginning of the data are left out.

    Raises:
        FrameDataError: none is left.
    """
    numbers = [number for number in numbers if number >= skipped]
    if not numbers:
        raise FrameDataError(f"Data '{rows.name}' holds no more than {skipped} rows.")
    videos = rows.words("video_id")
    first: dict[str, int] = {}
    for number in numbers:
        first.setdefault(videos[number] or f"row {number}", number)
    return list(first.values())
