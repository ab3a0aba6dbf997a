"""What `halo plan` says of a stage that asks a paid judge: requests, tokens, dollars ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from halo_core.judge import Judge, Quote
from halo_core.stage import Forecast, Known
from halo_judge.opening import is_paid, quoted
from halo_judge.orders import assign_orders, comparisons
from halo_judge.prices import dollars
from halo_judge.samples import Duel


def judge_forecast(
    judge: Judge,
    known: Known,
    unknown: str,
    find: Callable[[], Sequence[Duel]],
    *,
    both: bool,
) -> Forecast:
    """Returns what a stage says of asking its judge; nothing of a judge that costs nothing.

    Args:
        judge: The stage's.
        known: As in `Stage.forecast`.
        unknown: How many requests it takes, where that is not known yet; else empty.
        find: Returns what is to be judged, where that is known.
        both: Whether each duel is judged in both orders.

    Raises:
        PathError: When samples are not there.
        DataError: When samples cannot be read.
        PluginError: When the judge's quote is none.
    """
    if known.done or not is_paid(judge, known.cache):
        return Forecast()
    if unknown:
        return Forecast(ahead={"requests": f"{unknown}; max_cost caps the cost"})
    duels = find()
    asked = comparisons(duels, assign_orders(duels, both=both))
    quote = quoted(judge, asked, known.cache)
    return Forecast(ahead={} if quote is None else describe(quote))


def waits_for(known: Known, sampling: Mapping[str, str | None]) -> str:
    """Returns which sampling stages are not done; empty where all are.

    Args:
        known: As in `Stage.forecast`.
        sampling: Option to the sampling stage that it names, ``target`` or None.
    """
    lacking = [
        name
        for option, name in sampling.items()
        if name not in (None, "target") and option not in known.inputs
    ]
    return f"known when {' and '.join(map(str, lacking))} is done" if lacking else ""


def describe(quote: Quote) -> dict[str, str]:
    """Returns a quote as label to text.

    >>> describe(Quote(2, 1, 900, 800, 0.081, "gpt-4-0613", "prices of mine.json"))["cost"]
    'at most about 0.08 dollars (prices of mine.json)'
    """
    cost = "unknown: no price in the table, see the option prices"
    if quote.cost is not None:
        source = f" ({quote.prices})" if quote.prices else ""
        cost = f"at most about {dollars(quote.cost)} dollars{source}"
    return {
        "requests": f"{quote.calls} to {quote.model}; {quote.kept} verdicts are there already",
        "tokens": f"about {quote.tokens_in} in, at most {quote.tokens_out} out",
        "cost": cost,
    }
