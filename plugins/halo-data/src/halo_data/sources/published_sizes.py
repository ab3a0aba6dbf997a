"""Approximate numbers of rows of the data sets on the hub, published or derived from that.

`halo plan` estimates steps and hours from them before any download. No result depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping

HH: Mapping[str, Mapping[str, int]] = {
    "helpful-base": {"train": 43_835, "test": 2_354},
    "helpful-online": {"train": 22_007, "test": 1_137},
    "helpful-rejection-sampled": {"train": 52_421, "test": 2_749},
    "harmless-base": {"train": 42_537, "test": 2_312},
}
"""Number of pairs by subset and split, from the data set's card."""

SHP: Mapping[str, int] = {"train": 348_718, "validation": 18_436, "test": 18_409}
"""Number of pairs by split before any filter, from the data set's card."""

SHP_FILTERED = 85_000
"""Number of training pairs with a score ratio of at least 2, with at most five pairs per post.
SteamSHP was trained on 125,000 such pairs together with the pairs of HH's helpful-base."""

OASST_ENGLISH: Mapping[str, Mapping[str, int]] = {
    "adjacent": {"train": 14_500, "validation": 760},
    "all": {"train": 25_500, "validation": 1_330},
}
"""Number of pairs of English replies by the option `pairs`: 84,437 and 4,401 messages, of which
47 % are English, with as many pairs per message as in a hundred English trees."""

ULTRAFEEDBACK: Mapping[str, Mapping[str, int]] = {
    "paired": {"train": 61_135, "test": 2_000},
    "scored": {"train": 63_967},
}
"""Number of rows by kind of feedback and split, from the cards of both data sets."""
