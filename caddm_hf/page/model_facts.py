"""Facts about a model that visitors see, and the sensitivities it allows."""

from dataclasses import dataclass, field

from ..core.errors import UserError
from ..model.configuration_caddm import CaddmConfig
from ..report.verdicts import Thresholds
from ..report.words import shown_model_name

# For models that were not calibrated: (fake_above, real_below, meaning).
UNCALIBRATED_CHOICES = (
    (0.9, 0.4, "Cautious: fake only above 90%, for few false alarms"),
    (0.5, 0.3, "Keen: fake above 50%, to miss little"),
)
ABOVE = "above "


class ModelChoiceError(UserError):
    """A choice that is not allowed or possible; the message is one sentence for the visitor."""


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model that visitors see.

    Attributes:
        name: Hub id, last part of a folder, or description.
        revision: Hub commit, if it has one.
        trained: False for random weights.
        thresholds: the default thresholds.
        thresholds_by_rate: false-positive rate, as text -> score that at most this share of the
            genuine calibration videos exceeded. Empty if the model was not calibrated.
    """

    name: str
    revision: str | None
    trained: bool
    thresholds: Thresholds
    thresholds_by_rate: dict[str, float] = field(default_factory=dict)

    def sensitivities(self) -> list[tuple[str, str]]:
        """(meaning, key) of each sensitivity that can be chosen; the first is the default."""
        own = self.thresholds
        choices = [
            (
                f"As the model sets it: fake above {own.fake_above:.0%}, real below "
                f"{own.real_below:.0%}",
                "",
            )
        ]
        if self.thresholds_by_rate:
            choices += [
                (
                    f"At most {_percent(rate)} of genuine videos called fake (score above "
                    f"{threshold:.0%})",
                    rate,
                )
                for rate, threshold in self.thresholds_by_rate.items()
            ]
        else:
            choices += [(words, f"{ABOVE}{above:g}") for above, _, words in UNCALIBRATED_CHOICES]
        return choices

    def thresholds_for(self, key: str) -> Thresholds | None:
        """The thresholds of a sensitivity; None for the model's own.

        Raises:
            ModelChoiceError: this model has no such sensitivity.
        """
        if not key:
            return None
        if key in self.thresholds_by_rate:
            above = self.thresholds_by_rate[key]
            return Thresholds(min(self.thresholds.real_below, above), above)
        if not self.thresholds_by_rate:
            for above, below, _ in UNCALIBRATED_CHOICES:
                if key == f"{ABOVE}{above:g}":
                    return Thresholds(below, above)
        known = ", ".join(f"'{known}'" for _, known in self.sensitivities())
        raise ModelChoiceError(
            f"This model has no sensitivity '{key[:40]}'; it has {known} (empty is its own)."
        )


def _percent(rate: str) -> str:
    return f"{float(rate) * 100:g}%"


def model_facts(name: str, revision: str | None, config: CaddmConfig) -> ModelFacts:
    """Read a model's facts from its configuration; an untrusted calibration is checked first."""
    stored = getattr(config, "calibration", None)
    rates = stored.get("thresholds") if isinstance(stored, dict) else None
    by_rate = {}
    for rate, threshold in rates.items() if isinstance(rates, dict) else ():
        try:
            if 0 < float(rate) < 1 and 0 <= float(threshold) <= 1:
                by_rate[f"{float(rate):g}"] = float(threshold)
        except (TypeError, ValueError):
            continue
    return ModelFacts(
        name=shown_model_name(name, revision),
        revision=revision,
        trained=config.trained,
        thresholds=Thresholds(config.real_below, config.fake_above),
        thresholds_by_rate=dict(sorted(by_rate.items(), key=lambda pair: float(pair[0]))),
    )
