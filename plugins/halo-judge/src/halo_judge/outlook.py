"""What `halo plan` says of a judge stage: how many requests, tokens and dollars are ahead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from halo_core.judge import PaidJudge, Quote
from halo_judge.components import JudgeStage
from halo_judge.judging import shared_folder
from halo_judge.orders import assign_orders, comparison
from halo_judge.samples import pair_samples


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
    if not isinstance(stage.judge, PaidJudge):
        return {}
    lacking = [
        name
        for option, name in (("of", stage.of), ("against", stage.against))
        if name != "target" and option not in inputs
    ]
    if lacking:
        return {"requests": f"known when {' and '.join(lacking)} is done; max_cost caps the cost"}
    duels, _ = pair_samples(inputs["of"], inputs.get("against"))
    orders = assign_orders(duels, both=stage.orders == "both")
    asked = [comparison(duel, order) for duel in duels for order in orders[duel.prompt_id]]
    return describe(stage.judge.quote(asked, shared_folder(cache)))


def describe(quote: Quote) -> dict[str, str]:
    """Returns a quote as label to text.

    >>> describe(Quote(2, 1, 900, 800, 0.081, "gpt-4-0613", "prices of mine.json"))["cost"]
    'at most about 0.08 dollars (prices of mine.json)'
    """
    cost = "unknown: no price in the table, see the option prices"
    if quote.cost is not None:
        source = f" ({quote.prices})" if quote.prices else ""
        cost = f"at most about {quote.cost:.2f} dollars{source}"
    return {
        "requests": f"{quote.calls} to {quote.model}; {quote.kept} verdicts are there already",
        "tokens": f"about {quote.tokens_in} in, at most {quote.tokens_out} out",
        "cost": cost,
    }
