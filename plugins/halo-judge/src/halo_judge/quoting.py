"""What judging would cost, counted without asking anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halo_core.judge import Comparison, Quote
from halo_judge.gpt4 import GPT4
from halo_judge.prices import about_tokens, price_source
from halo_judge.reply_store import keys_kept, request_key
from halo_judge.requests import make_request


def quote(judge: GPT4, comparisons: Sequence[Comparison], shared: Path) -> Quote:
    """Returns the requests that comparisons take, their tokens and their cost.

    Tokens sent are a quarter of the bytes; replies are counted at `max_tokens`, which few reach.
    Replies that have to be asked for once more are not counted.
    """
    template, price = judge.read_template(), judge.price()
    keys = keys_kept(shared) if comparisons else set()
    before, kept, tokens_in = len(keys), 0, 0
    for comparison in comparisons:
        shown = template.shown(comparison)
        request = make_request(judge, template, shown)
        key = request_key(request)
        if shown.a == shown.b or key in keys:
            kept += 1
            continue
        keys.add(key)
        tokens_in += about_tokens(request["messages"])
    calls = len(keys) - before
    tokens_out = calls * judge.max_tokens
    cost = None if price is None else price.cost(tokens_in, tokens_out)
    source = price_source(judge.model, judge.prices)
    return Quote(calls, kept, tokens_in, tokens_out, cost, judge.model, source)
