"""Which model checks: the page's own or, where that is allowed, one that a visitor names.

Whatever is named, our own classes load it: code that comes with a model is never run.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from ..detector.config import DetectionConfig
from ..guard.pool import StartError
from ..model.configuration_caddm import CaddmConfig
from ..report.verdicts import Thresholds
from ..report.words import shown_model_name

# For models that were not calibrated: (fake_above, real_below, what it means).
UNCALIBRATED_CHOICES = (
    (0.9, 0.4, "Cautious: fake only above 90%, for few false alarms"),
    (0.5, 0.3, "Keen: fake above 50%, to miss little"),
)
ABOVE = "above "


class ModelChoiceError(ValueError):
    """A choice that cannot be granted; the message is one sentence for the visitor."""


@dataclass(frozen=True)
class ModelFacts:
    """What a visitor is told of a model.

    Attributes:
        name: Hub id, last part of a folder, or description.
        revision: Hub commit, if it has one.
        trained: False for random weights.
        thresholds: those it judges by if nobody asks for others.
        thresholds_by_rate: false-positive rate, as text -> score above which at most that share
            of the genuine videos of its calibration lay. Empty if it was not calibrated.
    """

    name: str
    revision: str | None
    trained: bool
    thresholds: Thresholds
    thresholds_by_rate: dict[str, float] = field(default_factory=dict)

    def sensitivities(self) -> list[tuple[str, str]]:
        """(what it means, key) of each sensitivity that can be chosen; the first is the default."""
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
        """The thresholds of a sensitivity; None are the model's own.

        Raises:
            ModelChoiceError: this model knows no such sensitivity.
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
            f"This model knows no sensitivity '{key[:40]}'; it knows {known} (empty is its own)."
        )


def _percent(rate: str) -> str:
    return f"{float(rate) * 100:g}%"


def model_facts(name: str, revision: str | None, config: CaddmConfig) -> ModelFacts:
    """The facts of a model by its configuration; a stranger's calibration is checked first."""
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


class JobRunner(Protocol):
    """A detector at work, here or in another process: `GuardedWorkers`, or `LocalRunner`."""

    def run(
        self,
        job: object,
        progress: Callable[[str, int, int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> object:
        """The answer to a job of `page_jobs`."""

    def facts(self, stop: threading.Event | None = None) -> ModelFacts:
        """Of the model; waits until it is loaded."""

    def close(self) -> None:
        """Give up what it holds."""


def _by_shown_name(names: Sequence[str]) -> dict[str, str]:
    """Models by what visitors are told of them; the same twice is told apart."""
    found = {}
    for name in names:
        shown = shown_model_name(name)
        same = sum(shown == shown_model_name(other) for other in found.values())
        found[f"{shown} ({same + 1})" if same else shown] = name
    return found


@contextmanager
def _told_by_shown_name(name: str | None) -> Iterator[None]:
    """Has errors about a model name it as visitors know it."""
    try:
        yield
    except (ModelChoiceError, StartError) as error:
        if name is None or name not in str(error):
            raise
        raise type(error)(str(error).replace(name, shown_model_name(name))) from error


@dataclass
class _Loaded:
    runner: JobRunner
    users: int = 0


class ModelChoices:
    """The page's own detector, and the one that was named last beside it.

    Args:
        own: serves where no model is named.
        open_runner: for a folder or Hub id.
        config: that all detectors are made with.
        offered: folders and Hub ids that may be chosen in any case.
        any_model: whether visitors may name others. Whoever may can make this machine read any
            folder as a model, and fetch any from the Hub.
        own_name: folder or Hub id of the page's own.
    """

    def __init__(
        self,
        own: JobRunner,
        open_runner: Callable[[str], JobRunner],
        config: DetectionConfig,
        offered: Sequence[str] = (),
        any_model: bool = False,
        own_name: str | None = None,
    ):
        self.own = own
        self.config = config
        self.any_model = any_model
        self._own_name = own_name
        self._offered = _by_shown_name(offered)
        self._open = open_runner
        self._others: dict[str, _Loaded] = {}
        self._lock = threading.Lock()

    @property
    def listed(self) -> tuple[str, ...]:
        """Names that may be chosen in any case, as visitors know them."""
        return tuple(self._offered)

    @contextmanager
    def runner(self, name: str) -> Iterator[JobRunner]:
        """The detector of a model, kept open at least as long as the block lasts.

        Args:
            name: one of `listed`, a folder, Hub id, or `user/name@revision`; empty is the page's
                own.

        Raises:
            ModelChoiceError: it may not be chosen here.
        """
        name = name.strip()
        if not name:
            with _told_by_shown_name(self._own_name):
                yield self.own
            return
        if not (self.any_model or name in self._offered):
            raise ModelChoiceError(
                "This page checks with its own model"
                + (f" or one of {', '.join(self.listed)}" if self.listed else "")
                + "; whoever runs it can allow others."
            )
        name = self._offered.get(name, name)
        with _told_by_shown_name(name):
            loaded = self._take(name)
            failed = False
            try:
                yield loaded.runner
            except (ModelChoiceError, StartError):
                failed = True  # perhaps it could not be loaded: the next try starts afresh
                raise
            finally:
                self._give_back(name, loaded, failed)

    def facts(self, name: str) -> ModelFacts:
        """Facts of a model; waits until it is loaded.

        Raises:
            ModelChoiceError: it may not be chosen here.
            StartError: it cannot be loaded.
        """
        with self.runner(name) as runner:
            return runner.facts()

    def close(self) -> None:
        """Close all detectors."""
        for loaded in self._others.values():
            loaded.runner.close()
        self._others.clear()
        self.own.close()

    def _take(self, name: str) -> _Loaded:
        with self._lock:
            unused = [key for key, other in self._others.items() if key != name and not other.users]
            for key in unused:
                self._others.pop(key).runner.close()
            loaded = self._others.get(name)
            if loaded is None:
                loaded = self._others[name] = _Loaded(self._open(name))
            loaded.users += 1
            return loaded

    def _give_back(self, name: str, loaded: _Loaded, failed: bool) -> None:
        with self._lock:
            loaded.users -= 1
            if failed and not loaded.users and self._others.get(name) is loaded:
                self._others.pop(name).runner.close()
