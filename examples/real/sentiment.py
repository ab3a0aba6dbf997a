"""Two scores of the sentiment of a text, from two lexicons that have different authors."""

from functools import cache
from typing import Any


def vader(prompt: list[dict[str, Any]], completion: str) -> float:
    """Returns VADER's compound score, from -1 (negative) to 1 (positive)."""
    return float(_vader().polarity_scores(completion)["compound"])


def afinn(prompt: list[dict[str, Any]], completion: str) -> float:
    """Returns the sum of AFINN's scores (-5 to 5) per word, so that longer texts are not better."""
    return float(_afinn().score(completion)) / max(1, len(completion.split()))


@cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@cache
def _afinn() -> Any:
    from afinn import Afinn

    return Afinn()
