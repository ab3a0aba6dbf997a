"""What `halo plan` says of a stage that asks a paid judge: requests, tokens, dollars ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from halo_core.judge import Judge, Quote
from halo_judge.candidates import by_prompt, of_samples
from halo_judge.components import JudgeStage
from halo_judge.label_asking import find_duels
from halo_judge.label_stage import Label
from halo_judge.opening import is_paid, quoted
from halo_judge.orders import assign_orders, comparison
from halo_judge.prices import dollars
from halo_judge.samples import Duel, pair_samples


def outlook(stage: JudgeStage, inputs: Mapping[str, Path], cache: Path) -> dict[str, str]:
    """Returns label to text; nothing for a judge that costs nothing.

    Args:
        stage: The options.
        inputs: The folders of the sampling stages that are done.
        cache: The workspace's.

    Raises:
        PathError: When samples are not there.
        DataError: When samples cannot be read.
    """
    if not is_paid(stage.judge, cache):
        return {}
    if lacking := _lacking(stage, inputs):
        return lacking
    duels, _ = pair_samples(inputs["of"], inputs.get("against"))
    return _quoted(stage.judge, duels, cache, both=stage.orders == "both")


def label_outlook(stage: Label, inputs: Mapping[str, Path], cache: Path) -> dict[str, str]:
    """Returns the same of a label stage that a paid judge compares for."""
    if not is_paid(stage.judge, cache):
        return {}
    if stage.of is None:
        return {"requests": "two for each prompt of the data; max_cost caps the cost"}
    if lacking := _lacking(stage, inputs):
        return lacking
    rows = of_samples(inputs["of"], stage.against, inputs.get("against"))
    duels = find_duels(by_prompt(rows, Counter()), Counter())
    return _quoted(stage.judge, duels, cache, both=True)


def _lacking(stage: JudgeStage | Label, inputs: Mapping[str, Path]) -> dict[str, str]:
    named = (("of", stage.of), ("against", stage.against))
    lacking = [
        name for option, name in named if name not in (None, "target") and option not in inputs
    ]
    if not lacking:
        return {}
    return {
        "requests": f"known when {' and '.join(map(str, lacking))} is done; max_cost caps the cost"
    }


def _quoted(judge: Judge, duels: Sequence[Duel], cache: Path, *, both: bool) -> dict[str, str]:
    orders = assign_orders(duels, both=both)
    asked = [comparison(duel, order) for duel in duels for order in orders[duel.prompt_id]]
    quote = quoted(judge, asked, cache)
    return {} if quote is None else describe(quote)


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
