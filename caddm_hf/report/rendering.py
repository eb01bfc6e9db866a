"""The HTML of reports is in `templates/`; here is how it is loaded, and what templates share."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ..core.formats import show_percent
from .leaning import help_words, leaning_words
from .verdicts import Judgement
from .words import VERDICT_WORDS


def template_environment(*packages: str) -> Environment:
    """Templates of this package and of others that build on them.

    Every value is escaped, and one that is missing is an error.

    Args:
        packages: import names of packages with a folder `templates`.
    """
    loaders = [PackageLoader(package) for package in ("caddm_hf.report", *packages)]
    return Environment(autoescape=True, undefined=StrictUndefined, loader=ChoiceLoader(loaders))


def judgement_values(judgement: Judgement) -> dict:
    """A judgement as templates show it.

    Returns:
        `verdict`, `words`, `probability`, `percent`, and for a result without a verdict
        `leaning` and `help`, as sentences.
    """
    probability = judgement.fake_probability
    return {
        "verdict": judgement.verdict.value,
        "words": VERDICT_WORDS[judgement.verdict],
        "probability": probability,
        "percent": None if probability is None else show_percent(probability),
        "leaning": leaning_words(judgement.leans_towards, probability),
        "help": help_words(judgement.would_help),
    }
