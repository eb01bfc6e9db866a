"""Choose the model that judges: the page's own or, if allowed, one that a visitor names.

Every model is loaded by this package's classes; code that comes with a model is never run.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ..detector.config import DetectionConfig
from ..guard.limits import StartError
from ..report.words import shown_model_name
from .model_facts import ModelChoiceError, ModelFacts


class JobRunner(Protocol):
    """Runs jobs with a detector: a `PoolRunner` or `LocalRunner`."""

    def run(
        self,
        job: object,
        progress: Callable[[str, int, int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> object:
        """Run a job of `page.jobs`, and return its result."""

    def facts(self, stop: threading.Event | None = None) -> ModelFacts:
        """Facts about the model; waits until it is loaded."""

    def close(self) -> None:
        """Release the runner's resources."""


def _by_shown_name(names: Sequence[str]) -> dict[str, str]:
    """Map the names that visitors see to models; equal names are made distinct."""
    found = {}
    for name in names:
        shown = shown_model_name(name)
        same = sum(shown == shown_model_name(other) for other in found.values())
        found[f"{shown} ({same + 1})" if same else shown] = name
    return found


@contextmanager
def _with_shown_name(name: str | None) -> Iterator[None]:
    """Replace a model's name in errors by the name that visitors see."""
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
    """The page's own detector, and the most recent one of another model.

    Args:
        own: used if no model is named.
        open_runner: opens a folder or Hub id.
        config: configuration of all detectors.
        offered: folders and Hub ids that may always be chosen.
        any_model: whether visitors may name others. If so, they can make this machine read any
            folder as a model, and download any model from the Hub.
        own_name: folder or Hub id of the page's own model.
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
        """Names that may always be chosen, as visitors see them."""
        return tuple(self._offered)

    @contextmanager
    def runner(self, name: str) -> Iterator[JobRunner]:
        """The detector of a model, kept open at least until the block ends.

        Args:
            name: one of `listed`, a folder, Hub id, or `user/name@revision`; empty for the page's
                own model.

        Raises:
            ModelChoiceError: the model may not be chosen here.
        """
        name = name.strip()
        if not name:
            with _with_shown_name(self._own_name):
                yield self.own
            return
        if not (self.any_model or name in self._offered):
            raise ModelChoiceError(
                "This page checks with its own model"
                + (f" or one of {', '.join(self.listed)}" if self.listed else "")
                + "; its operator can allow others."
            )
        name = self._offered.get(name, name)
        with _with_shown_name(name):
            loaded = self._take(name)
            failed = False
            try:
                yield loaded.runner
            except (ModelChoiceError, StartError):
                failed = True  # loading may have failed, so the next try opens a new runner
                raise
            finally:
                self._give_back(name, loaded, failed)

    def facts(self, name: str) -> ModelFacts:
        """Facts about a model; waits until it is loaded.

        Raises:
            ModelChoiceError: the model may not be chosen here.
            StartError: the model cannot be loaded.
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
