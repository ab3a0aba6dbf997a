"""The sampler's log-probabilities of a completion, and what makes them unusable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halo_core.completion import Completion
from halo_models.chat_encoder import EncodedAnswer
from halo_trainer.encode.chat_rows import AGAIN
from halo_trainer.encode.examples import Logps

OTHER_END = "were ended by another token than the one that is trained"
OTHER_NUMBER = "have another number of log-probabilities than of trained tokens"
NOT_FINITE = "have log-probabilities that are not finite"
NO_NUMBERS = "have token ids, but no log-probabilities"
ACCIDENTS = (OTHER_END, OTHER_NUMBER, NOT_FINITE, NO_NUMBERS)
"""Reasons that are about one completion of a model. A loss that needs the numbers leaves it out.

The other reasons (texts of people, of another tokenizer) are about a set, which it refuses.
"""

FEW = "groups with less than two completions that have the sampler's log-probabilities"
FEW_SIDES = "pairs in which a completion lacks the sampler's log-probabilities"


def left_out_as(reason: str) -> str:
    """Returns the name under which completions with this reason are counted as dropped."""
    return f"completions that {reason}"


def usable_logps(
    completion: Completion, *, same_ids: bool, result: EncodedAnswer
) -> tuple[Logps | None, str | None]:
    """Returns the log-probability of each trained token, or why they cannot be used.

    Both are None if the completion was not sampled, or nobody recorded its log-probabilities.

    Args:
        completion: The completion in its row.
        same_ids: Whether its own token ids are trained.
        result: The trained token ids.
    """
    given = completion.token_logps
    if given is None:
        return None, NO_NUMBERS if same_ids else None
    if not same_ids:
        return None, AGAIN
    logps = np.array(given, dtype=np.float32)
    if len(logps) != len(result.ids):
        # The sampler stores no number for an end that training replaces.
        lacks_end = result.ended and len(logps) == len(result.ids) - 1
        return None, OTHER_END if lacks_end else OTHER_NUMBER
    return (logps, None) if np.isfinite(logps).all() else (None, NOT_FINITE)


def too_few(feedback: str, kept: Sequence[object], completions: int) -> str | None:
    """Returns why a row is dropped after some of its completions were left out; None to keep it.

    Args:
        feedback: Kind of feedback of the row.
        kept: The completions that are left.
        completions: Number of completions before.
    """
    if len(kept) == completions or (feedback == "scored" and len(kept) > 1):
        return None
    # A row with one completion is counted as this completion.
    return {"scored": FEW, "paired": FEW_SIDES}.get(feedback, "")
