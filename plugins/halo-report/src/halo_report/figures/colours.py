"""Colours of figures and pages, by Okabe and Ito; colour-blind readers can distinguish them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.colors import to_hex, to_rgb

BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
ORANGE = "#e69f00"
PURPLE = "#cc79a7"
SKY = "#56b4e9"
GREY = "#777777"
"""Colour of everything that is not a model, such as the target."""

SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Colours of series, in the order of use."""

MEANINGS = {
    "desirable": BLUE,
    "chosen": BLUE,
    "undesirable": VERMILION,
    "rejected": VERMILION,
}
"""Meanings that always have the same colour."""


PALEST = 0.6
"""Distance of a family's first colour from its hue towards white, from 0 to 1."""


def series_colours(names: Sequence[str]) -> dict[str, str]:
    """Returns a colour for each name.

    Names that begin with the same letters (``pythia1-4b``, ``pythia2-8b``) are a family. If there
    are enough colours, each family has one hue, from light for its first member to dark for its
    last. Names without a common beginning have different hues.

    >>> list(series_colours(["a", "b"]).values())
    ['#0072b2', '#d55e00']
    """
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(_family(name), []).append(name)
    colours = {}
    for place, members in enumerate(families.values()):
        hue = SERIES[place % len(SERIES)]
        for rank, name in enumerate(members):
            pale = PALEST * (1 - rank / (len(members) - 1)) if len(members) > 1 else 0.0
            colours[name] = _paler(hue, pale)
    return colours


def _family(name: str) -> str:
    letters = re.match(r"[A-Za-z]*", name)
    return letters[0].lower() if letters else ""


def _paler(colour: str, share: float) -> str:
    red, green, blue = (channel + share * (1 - channel) for channel in to_rgb(colour))
    return to_hex((red, green, blue))
