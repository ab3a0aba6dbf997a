"""The KL reference point of KTO: how much the policy has moved on unrelated completions.

The report (below eq. 8) estimates KL(policy || reference) without sampling: each prompt of the
batch is joined with a completion of another prompt, and the log-ratios of these mismatched pairs
are averaged. Here the pool is the whole global batch, so that a micro-batch of one works.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

Ids = tuple[str, str]
"""The prompt id and the completion id of a completion; equal texts have equal ids."""


def make_pairs(
    batch: Sequence[Ids], following: Sequence[Ids], rng: random.Random
) -> list[tuple[int, int]]:
    """Returns mismatched pairs: for each completion of the batch, its prompt and another's text.

    A prompt is never joined with a text that some row gives for this prompt, its own included.
    Apart from that the pairs are a random matching: each completion of the batch serves one prompt
    where that is possible, and otherwise the least used one serves again. A prompt for which the
    batch has no partner takes the nearest of `following`; where there is none either, it gets no
    pair.

    Args:
        batch: The completions of the global batch.
        following: Those that come next in the epoch, nearest first.
        rng: The only source of chance.

    Returns:
        (prompt, completion) as positions in ``[*batch, *following]``, in the order of the batch.

    References:
        Human-Aware Loss Functions (2024), the estimate of the KL term below eq. 8.

    >>> make_pairs([("p", "a"), ("p", "b")], [("p", "c"), ("q", "d"), ("r", "e")], random.Random(0))
    [(0, 3), (1, 4)]
    """
    pool = [*batch, *following]
    given_for = _completions_by_prompt(pool)

    def fits(prompt: int, completion: int) -> bool:
        return pool[completion][1] not in given_for[pool[prompt][0]]

    partners = _random_matching(len(batch), fits, rng)
    uses = Counter(partners.values())
    for prompt in sorted(set(range(len(batch))) - partners.keys()):
        choices = [j for j in range(len(batch)) if fits(prompt, j)]
        rng.shuffle(choices)
        choices = choices or [j for j in range(len(batch), len(pool)) if fits(prompt, j)]
        if choices:
            partners[prompt] = min(choices, key=lambda j: uses[j])
            uses[partners[prompt]] += 1
    return sorted(partners.items())


def fixed_pairs(
    batch: Sequence[Ids], following: Sequence[Ids], fixed: Sequence[Ids]
) -> list[tuple[int, int]]:
    """Returns each prompt of the batch with the completion that is fixed for it.

    One that is given for this prompt by some row is left out, the prompt's own included, which
    stands for none.

    Args:
        batch: The completions of the global batch.
        following: Those that come next in the epoch.
        fixed: For each completion of the batch one of another prompt, the same in every epoch.

    Returns:
        (prompt, completion) as positions in ``[*batch, *following, *fixed]``, in the order of the
        batch.

    >>> fixed_pairs([("p", "a"), ("q", "b")], [], [("r", "c"), ("q", "b")])
    [(0, 2)]
    """
    given_for = _completions_by_prompt([*batch, *following, *fixed])
    first = len(batch) + len(following)
    return [
        (i, first + i)
        for i, (own, other) in enumerate(zip(batch, fixed, strict=True))
        if other[1] not in given_for[own[0]]
    ]


def mismatched_kl(logratios: Sequence[float]) -> float:
    """Returns the reference point, in nats: the mean log-ratio, or 0 where that is negative.

    ``z0 = max(0, mean of S(log pi(z|x')) - S(log pi_ref(z|x')))``

    A KL divergence is not negative, though its estimate can be. Without pairs it is 0, the value
    that a policy has which equals its reference.

    Args:
        logratios: Policy minus reference log-probability of each mismatched pair, nats [pairs].

    References:
        Human-Aware Loss Functions (2024), the estimate of the KL term below eq. 8.

    >>> mismatched_kl([3.0, -1.0]), mismatched_kl([-3.0, 1.0]), mismatched_kl([])
    (1.0, 0.0, 0.0)
    """
    if not logratios:
        return 0.0
    return max(0.0, math.fsum(logratios) / len(logratios))


def _completions_by_prompt(pool: Sequence[Ids]) -> dict[str, set[str]]:
    completions: dict[str, set[str]] = defaultdict(set)
    for prompt, completion in pool:
        completions[prompt].add(completion)
    return completions


def _random_matching(
    size: int, fits: Callable[[int, int], bool], rng: random.Random
) -> dict[int, int]:
    """A random permutation whose misfits are swapped away; those that cannot be are left out."""
    partners = rng.sample(range(size), size)
    for i in range(size):
        if fits(i, partners[i]):
            continue
        for k in rng.sample(range(size), size):
            if fits(i, partners[k]) and fits(k, partners[i]):
                partners[i], partners[k] = partners[k], partners[i]
                break
    return {i: j for i, j in enumerate(partners) if fits(i, j)}
