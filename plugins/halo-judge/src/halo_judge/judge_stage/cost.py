"""The cost of a paid judge: its checked quote, and its description in `halo plan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.judge import Comparison, Judge, Quote
from halo_core.stage import Forecast, Known
from halo_judge.judge_stage.ask import shared_folder
from halo_judge.judge_stage.duels import Comparisons, Duel, assign_orders


def dollars(amount: float) -> str:
    """Returns dollars as text with cents, or with one significant digit below a cent.

    >>> [dollars(amount) for amount in (36.361, 0.02, 0.00416, 0.00001, 0.0)]
    ['36.36', '0.02', '0.004', '<0.0001', '0.00']
    """
    if amount == 0 or amount >= 0.01:
        return f"{amount:.2f}"
    return f"{amount:.1g}" if amount >= 0.0001 else "<0.0001"


def quote_of(judge: Judge, comparisons: Sequence[Comparison], cache: Path) -> Quote | None:
    """Returns the expected effort of asking; None for a judge that costs nothing.

    Args:
        judge: The judge.
        comparisons: The comparisons to ask.
        cache: The workspace's cache.

    Raises:
        PluginError: When the judge raises because of a bug, or does not return a quote.
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
    """Returns whether a judge costs money for each request; see `quote_of`."""
    return quote_of(judge, (), cache) is not None


def judge_forecast(
    judge: Judge,
    known: Known,
    unknown: str,
    find: Callable[[], Sequence[Duel]],
    *,
    both: bool,
) -> Forecast:
    """Returns a stage's forecast for its judge, which is empty for a judge that costs nothing.

    Args:
        judge: The stage's judge.
        known: The known inputs, see `Stage.forecast`.
        unknown: Text about the number of requests if it is not known yet; else empty.
        find: Function that returns the duels to judge, if they are known.
        both: Whether each duel is judged in both orders.

    Raises:
        PathError: When samples are missing.
        DataError: When samples cannot be read.
        PluginError: When the judge's quote is invalid.
    """
    if known.done or not is_paid(judge, known.cache):
        return Forecast()
    if unknown:
        return Forecast(ahead={"requests": f"{unknown}; max_cost caps the cost"})
    duels = find()
    asked = Comparisons(duels, assign_orders(duels, both=both))
    quote = quote_of(judge, asked, known.cache)
    return Forecast(ahead={} if quote is None else describe(quote))


def waits_for(known: Known, sampling: Mapping[str, str | None]) -> str:
    """Returns a text about sampling stages that are not done; empty if all are done.

    Args:
        known: The known inputs, see `Stage.forecast`.
        sampling: The sampling stage that each option names, or ``target`` or None.
    """
    lacking = [
        name
        for option, name in sampling.items()
        if name not in (None, "target") and option not in known.inputs
    ]
    return f"known when {' and '.join(map(str, lacking))} is done" if lacking else ""


def describe(quote: Quote) -> dict[str, str]:
    """Returns a quote as texts by label.

    >>> describe(Quote(2, 1, 900, 800, 0.081, "gpt-4-0613", "prices of mine.json"))["cost"]
    'at most about 0.08 dollars (prices of mine.json)'
    """
    cost = "unknown: no price in the table, see the option prices"
    if quote.cost is not None:
        source = f" ({quote.prices})" if quote.prices else ""
        cost = f"at most about {dollars(quote.cost)} dollars{source}"
    return {
        "requests": f"{quote.calls} to {quote.model}; {quote.kept} verdicts exist already",
        "tokens": f"about {quote.tokens_in} in, at most {quote.tokens_out} out",
        "cost": cost,
    }
