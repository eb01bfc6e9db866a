"""Load the HTML templates in `templates/`, and compute the values they share."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ..core.formats import show_percent
from .leaning import help_words, leaning_words
from .verdicts import Judgement
from .words import VERDICT_WORDS


def template_environment(*packages: str) -> Environment:
    """Return the templates of this package and of packages that extend them.

    Every value is escaped, and a missing value is an error.

    Args:
        packages: import names of packages with a folder `templates`.
    """
    loaders = [PackageLoader(package) for package in ("caddm_hf.report", *packages)]
    return Environment(autoescape=True, undefined=StrictUndefined, loader=ChoiceLoader(loaders))


def judgement_values(judgement: Judgement) -> dict:
    """Return the values of a judgement for templates.

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
