"""The measured models: their names, and the calibration and thresholds in their config.json."""

from pathlib import Path

from ..checkpoint.bundled import bundled_model
from ..checkpoint.files import THRESHOLD_KEYS
from ..checkpoint.loading import LoadedModel, load_model, untrained_model
from ..core.errors import ModelError
from ..report.verdicts import LogitScaling, Thresholds
from .output import warn


def open_model(name: str | None, revision: str | None) -> tuple[LoadedModel, Path | None]:
    """Load a model by name; also return its folder, if local.

    Args:
        name: folder, Hub id, "untrained", or None for the bundled model.
        revision: of a Hub id.

    Raises:
        ModelError: the model cannot be used; the message is one sentence.
    """
    if name is None:
        name = str(bundled_model())
    if name == "untrained":
        return untrained_model(), None
    folder = Path(name) if Path(name).is_dir() else None
    return load_model(name, revision if folder is None else None), folder


def scaling_of(loaded: LoadedModel) -> LogitScaling:
    """Return the calibration in a model's config.json."""
    config = loaded.model.config
    return LogitScaling(config.calibration_temperature, config.calibration_bias)


def thresholds_of(name: str, loaded: LoadedModel, rate: float | None) -> Thresholds:
    """Return a model's thresholds, or those that calibration stored for a rate.

    Raises:
        ModelError: the model has none.
    """
    config = loaded.model.config
    if rate is not None:
        stored = (getattr(config, "calibration", None) or {}).get("thresholds", {})
        if f"{rate:g}" not in stored:
            known = f"only for {', '.join(stored)}" if stored else "for none"
            raise ModelError(
                f"Model '{name}' has no threshold for a false-positive rate of {rate:g}, {known}: "
                f"run python -m caddm_hf calibrate --false-positive-rate {rate:g}."
            )
        fake_above = float(stored[f"{rate:g}"])
        return Thresholds(min(config.real_below, fake_above), fake_above)
    if loaded.stated is not None and not set(THRESHOLD_KEYS) <= loaded.stated:
        raise ModelError(
            f"Model '{name}' has no threshold: its config.json names no 'real_below' and "
            "'fake_above'. Run python -m caddm_hf calibrate first, or measure with --ranking-only."
        )
    return Thresholds(config.real_below, config.fake_above)


class MeasuredModels:
    """The models of a run, with distinct names that do not reveal this machine's folders."""

    def __init__(self, names: list[str | None], revision: str | None):
        opened = [open_model(name, revision) for name in names]
        self.loaded = [loaded for loaded, _ in opened]
        self.folders = [folder for _, folder in opened]
        short = [
            folder.resolve().name if folder is not None else loaded.name
            for loaded, folder in opened
        ]
        self.names = [
            name if short.count(name) == 1 else f"{name} [{number}]"
            for number, name in enumerate(short, start=1)
        ]
        for name, loaded in zip(self.names, self.loaded, strict=True):
            if not loaded.model.config.trained:
                warn(f"model '{name}' is untrained; its figures say nothing about detectors.")
