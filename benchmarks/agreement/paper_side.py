"""The papers' equations in plain Python where TRL and halo differ, without code of either.

Each function takes the log-probabilities of the tokens of pairs in nats, and returns the mean over
the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

Tokens = Sequence[float]


class PairOfTokens(NamedTuple):
    """Log-probabilities of the tokens in a pair's completions under both models, nats."""

    chosen: Tokens
    rejected: Tokens
    ref_chosen: Tokens
    ref_rejected: Tokens

    @property
    def margin(self) -> float:
        """The shift of the policy towards the chosen completion, in nats."""
        chosen = math.fsum(self.chosen) - math.fsum(self.ref_chosen)
        return chosen - (math.fsum(self.rejected) - math.fsum(self.ref_rejected))


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


class ScoredTokens(NamedTuple):
    """A completion of a group: its score, and log-probabilities of its tokens, nats."""

    score: float
    policy: Tokens
    reference: Tokens


def grpo(groups: Sequence[Sequence[ScoredTokens]], eps: float, beta: float) -> float:
    """Shao et al. (2024), DeepSeekMath, eq. 3 and 4, with the reference as the old policy."""
    values = []
    for group in groups:
        scores = [each.score for each in group]
        for score, policy, reference in group:
            advantage = (score - fmean(scores)) / (stdev(scores) + 1e-4)
            terms = []
            for p, ref in zip(policy, reference, strict=True):
                ratio = math.exp(p - ref)
                clipped = min(max(ratio, 1 - eps), 1 + eps)
                divergence = math.exp(ref - p) - (ref - p) - 1
                terms.append(beta * divergence - min(ratio * advantage, clipped * advantage))
            values.append(fmean(terms))
    return fmean(values)


def conservative_dpo(pairs: Sequence[PairOfTokens], beta: float, eps: float) -> float:
    """Mitchell (2023), A note on DPO with noisy preferences, eq. 3."""
    margins = [beta * pair.margin for pair in pairs]
    return fmean(-(1 - eps) * log_sigmoid(m) - eps * log_sigmoid(-m) for m in margins)


def ipo(pairs: Sequence[PairOfTokens], tau: float) -> float:
    """Azar et al. (2023), eq. 17: log pi(y|x) is that of the whole completion."""
    return fmean((pair.margin - 1 / (2 * tau)) ** 2 for pair in pairs)


def slic(pairs: Sequence[PairOfTokens], delta: float, weight: float) -> float:
    """Zhao et al. (2023), SLiC-HF, eq. 1, with the chosen completion as y_ref."""
    return fmean(
        max(0.0, delta - math.fsum(pair.chosen) + math.fsum(pair.rejected))
        - weight * math.fsum(pair.chosen)
        for pair in pairs
    )


def simpo(pairs: Sequence[PairOfTokens], beta: float, gamma: float) -> float:
    """Meng, Xia & Chen (2024), eq. 6."""
    return fmean(
        -log_sigmoid(beta * fmean(pair.chosen) - beta * fmean(pair.rejected) - gamma)
        for pair in pairs
    )


def orpo(pairs: Sequence[PairOfTokens], weight: float) -> float:
    """Hong, Lee & Thorne (2024), eq. 2 to 7: log P(y|x) is the mean over the m tokens of y."""

    def log_odds(tokens: Tokens) -> float:
        p = math.exp(fmean(tokens))
        return math.log(p / (1 - p))

    return fmean(
        -fmean(pair.chosen) - weight * log_sigmoid(log_odds(pair.chosen) - log_odds(pair.rejected))
        for pair in pairs
    )
