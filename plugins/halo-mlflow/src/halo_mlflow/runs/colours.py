"""The colours of runs: one hue for each method, and another shade for each of its runs."""

from __future__ import annotations

import colorsys
import zlib
from collections import Counter
from collections.abc import Iterable

# Okabe and Ito (2008): colours that colour-blind readers can distinguish. Their sky blue and their
# orange are left out, because they look like shades of the blue and of the vermilion.
_HUES = {"kto": "#0072B2", "dpo": "#D55E00", "sft": "#009E73"}
_OTHERS = ("#CC79A7", "#7A6A00", "#6E6E6E")
_LIGHTNESS = (0.0, 0.45, -0.4, 0.25, 0.65, -0.2)
"""Shares of the way to white, or (negative) to black."""


def shades(method: str) -> list[str]:
    """Returns the shades of a method's colour. The first one is the colour itself."""
    colour = _HUES.get(method) or _OTHERS[zlib.crc32(method.encode()) % len(_OTHERS)]
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    return [
        _hex(colorsys.hls_to_rgb(hue, _moved(lightness, share), saturation)) for share in _LIGHTNESS
    ]


def next_shade(method: str, used: Iterable[str]) -> str:
    """Returns the shade of a method's colour that the fewest other runs have.

    Args:
        method: The method.
        used: The colours of the other runs, of all methods.
    """
    counts = Counter(used)
    return min(shades(method), key=lambda shade: counts[shade])


def _moved(lightness: float, share: float) -> float:
    return lightness + share * (1 - lightness if share > 0 else lightness)


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02X}" for part in colour)
