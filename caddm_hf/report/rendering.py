"""The HTML of reports is in `templates/`; here is how it is loaded, and what templates share."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from .verdicts import Judgement
from .words import VERDICT_WORDS, show_percent


def template_environment(*packages: str) -> Environment:
    """Templates of this package and of others that build on them.

    Every value is escaped, and one that is missing is an error.

    Args:
        packages: import names of packages with a folder `templates`.
    """
    loaders = [PackageLoader(package) for package in ("caddm_hf.report", *packages)]
    return Environment(autoescape=True, undefined=StrictUndefined, loader=ChoiceLoader(loaders))


def judgement_values(judgement: Judgement) -> dict:
    """A judgement as templates show it: `verdict`, `words`, `probability` and `percent`."""
    probability = judgement.fake_probability
    return {
        "verdict": judgement.verdict.value,
        "words": VERDICT_WORDS[judgement.verdict],
        "probability": probability,
        "percent": None if probability is None else show_percent(probability),
    }
