"""Detectors for the page's tests that need no network: functions in their place."""

import threading
from collections.abc import Callable

from caddm_hf.detector.config import DetectionConfig
from caddm_hf.page.checks import Checks, Line
from caddm_hf.page.kept_results import KeptResults
from caddm_hf.page.model_choice import ModelChoices
from caddm_hf.page.model_facts import ModelFacts
from caddm_hf.report.verdicts import Thresholds

FACTS = ModelFacts("some/model", None, True, Thresholds(0.4, 0.6))


class MadeRunner:
    """Answers jobs by a function (job, tell, stop) -> answer, one after the other or together."""

    def __init__(self, answer: Callable, facts: ModelFacts = FACTS):
        self.answer = answer
        self.told_facts = facts
        self.closed = False

    def run(self, job, progress=None, stop=None):
        return self.answer(job, progress, stop or threading.Event())

    def facts(self, stop=None):
        return self.told_facts

    def start(self):
        pass

    def close(self):
        self.closed = True


def made_choices(answer: Callable, **options) -> ModelChoices:
    """The page's models with one runner; `options` as of `ModelChoices`."""
    return ModelChoices(MadeRunner(answer), MadeRunner, DetectionConfig(), **options)


def made_checks(answer: Callable, line: Line | None = None) -> Checks:
    return Checks(made_choices(answer), line or Line())


def made_page(answer: Callable, examples: dict, facts: ModelFacts = FACTS):
    """The page around such a runner; not launched."""
    from caddm_hf.page.layout import build_page

    return build_page(made_choices(answer), facts, examples, Line(), KeptResults())
