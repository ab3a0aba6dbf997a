"""The colours of figures and pages: Okabe and Ito's, told apart by colour-blind readers.

References:
    Okabe and Ito 2008, "Color universal design".
"""

from __future__ import annotations

BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
ORANGE = "#e69f00"
PURPLE = "#cc79a7"
SKY = "#56b4e9"

SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""In the order of use."""

MEANINGS = {
    "desirable": BLUE,
    "chosen": BLUE,
    "undesirable": VERMILION,
    "rejected": VERMILION,
}
"""What always has the same colour."""
