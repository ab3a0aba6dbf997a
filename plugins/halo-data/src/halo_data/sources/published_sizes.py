"""About how many rows the data sets on the hub have, as published or worked out from it.

`halo plan` tells steps and hours by these before anything is downloaded; no result depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping

HH: Mapping[str, Mapping[str, int]] = {
    "helpful-base": {"train": 43_835, "test": 2_354},
    "helpful-online": {"train": 22_007, "test": 1_137},
    "helpful-rejection-sampled": {"train": 52_421, "test": 2_749},
    "harmless-base": {"train": 42_537, "test": 2_312},
}
"""Subset to split to pairs, from the data set's card."""

SHP: Mapping[str, int] = {"train": 348_718, "validation": 18_436, "test": 18_409}
"""Split to pairs before any filter, from the data set's card."""

SHP_FILTERED = 85_000
"""Pairs of the training split with a score ratio of at least 2, five per post at most. SteamSHP was
trained on 125,000 such pairs together with those of HH's helpful-base."""

OASST_ENGLISH: Mapping[str, Mapping[str, int]] = {
    "adjacent": {"train": 14_500, "validation": 760},
    "all": {"train": 25_500, "validation": 1_330},
}
"""Pairs of English replies by the option `pairs`: 84,437 and 4,401 messages, of which 47 % are
English, with as many pairs per message as in a hundred English trees."""

ULTRAFEEDBACK: Mapping[str, Mapping[str, int]] = {
    "paired": {"train": 61_135, "test": 2_000},
    "scored": {"train": 63_967},
}
"""Kind of feedback to split to rows, from the cards of both data sets."""
