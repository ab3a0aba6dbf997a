"""What a paid judge will cost: its quote, guarded, and what `halo plan` says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.judge import Comparison, Judge, Quote
from halo_core.stage import Forecast, Known
from halo_judge.judge_stage.ask import shared_folder
from halo_judge.judge_stage.duels import Duel, assign_orders, comparisons


def dollars(amount: float) -> str:
    """Returns dollars as text: cents, and below them one digit that counts.

    >>> [dollars(amount) for amount in (36.361, 0.02, 0.00416, 0.00001, 0.0)]
    ['36.36', '0.02', '0.004', '<0.0001', '0.00']
    """
    if amount == 0 or amount >= 0.01:
        return f"{amount:.2f}"
    return f"{amount:.1g}" if amount >= 0.0001 else "<0.0001"


def quote_of(judge: Judge, comparisons: Sequence[Comparison], cache: Path) -> Quote | None:
    """Returns what asking would take; None of a judge that costs nothing.

    Args:
        judge: Who.
        comparisons: What would be asked.
        cache: The workspace's.

    Raises:
        PluginError: When the judge raises by accident, or returns something else than a quote.
    """
    with blaming(judge, "quote"):
        quote: object = judge.quote(comparisons, shared_folder(cache))
    if quote is None:
        return None
    fault = quote.fault() if isinstance(quote, Quote) else repr(quote)
    if not isinstance(quote, Quote) or fault is not None:
        expected = "expected None or a Quote, whose numbers are at least 0"
        raise plugin_error(judge, "quote", f"returned {fault}; {expected}")
    return quote


def is_paid(judge: Judge, cache: Path) -> bool:
    """Returns whether a judge is paid by request; see `quote_of`."""
    return quote_of(judge, (), cache) is not None


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
    quote = quote_of(judge, asked, known.cache)
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
