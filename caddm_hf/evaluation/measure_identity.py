"""The identity probe, from options to a report: photographs of known people -> figures."""

from collections import Counter
from dataclasses import replace

import torch
from tqdm.auto import tqdm

from ..checkpoint.imagenet import (
    LITE0_BACKBONE,
    LITE0_PACKAGE,
    backbone_normalisation,
    load_imagenet_weights,
)
from ..checkpoint.loading import LoadedModel
from ..dataset.opening import open_rows
from ..model.configuration_caddm import CaddmConfig
from ..model.image_processing_caddm import CaddmImageProcessor
from ..model.modeling_caddm import CaddmForDeepfakeDetection
from ..runtime.backends import open_network
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
from .options import ProbeOptions
from .output import describe_model, envelope, warn
from .picture_rows import find_points, genuine_rows
from .scoring import FrameScorer, make_accelerator

NO_IMAGENET = "none"
RANDOM_SEED = 1  # of the random weights compared with the model; an untrained model has seed 0


def probe_features(
    loaded: LoadedModel, name: str, plain: LoadedModel | None, options: ProbeOptions
) -> dict:
    """Run the identity probe and return its report.

    Raises:
        FrameDataError, WeightsError: data or weights cannot be used; the message is one sentence.
    """
    column = options.identity_column
    rows = open_rows(options.data, ("image", column), options.split, any_split=True)
    names = rows.words(column)
    chosen = [n for n, person in enumerate(names) if person is not None]
    if "label" in rows.features:  # skip forgeries: their identity is ambiguous
        genuine = set(genuine_rows(rows, all_genuine=False))
        chosen = [n for n in chosen if n in genuine]
    compared = _imagenet_model(loaded, options.imagenet_weights)
    device = make_accelerator(options.device).device
    points = find_points(rows, chosen, FaceFinder(device))
    seen = [n for n in chosen if points[n] is not None]
    if options.max_photographs is not None:
        seen = _at_most(seen, names, options.max_photographs)
    digests = list(rows.picture_digests())
    videos = rows.words("video_id")
    # Copies of one picture, or frames of one video, must not be both in training and test.
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
        # Exports do not output features, and half precision would change them.
        network = open_network(model, device, "torch-fp32")
        scorer = FrameScorer(model, network, options.batch_size)
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
    return envelope(
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


def _at_most(seen: list[int], names: list[str], at_most: int) -> list[int]:
    counts: Counter = Counter()
    kept = []
    for number in seen:
        counts[names[number]] += 1
        if counts[names[number]] <= at_most:
            kept.append(number)
    return kept


def _random_model(loaded: LoadedModel) -> LoadedModel:
    """Return the same network with random weights."""
    config = CaddmConfig.from_dict(loaded.model.config.to_dict() | {"trained": False})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = CaddmForDeepfakeDetection(config)
    return replace(loaded, model=model.eval(), name="random weights", revision=None)


def _imagenet_model(loaded: LoadedModel, source: str | None) -> LoadedModel | None:
    """Return the model's backbone with ImageNet weights; None if no weights are available."""
    backbone = loaded.model.config.backbone
    if source is None:
        source = LITE0_PACKAGE if backbone == LITE0_BACKBONE else NO_IMAGENET
    if source == NO_IMAGENET:
        warn(f"no ImageNet weights of {backbone} were given: --imagenet-weights names some.")
        return None
    model = _random_model(loaded).model
    load_imagenet_weights(model, source)
    model.config.trained = True  # only the backbone, but nothing else is used
    mean, std = backbone_normalisation(backbone)
    processor = CaddmImageProcessor(
        size=loaded.image_processor.size,
        align_scale=loaded.image_processor.align_scale,
        eye_height=loaded.image_processor.eye_height,
        image_mean=mean,
        image_std=std,
    )
    return LoadedModel(model, processor, "ImageNet backbone")
