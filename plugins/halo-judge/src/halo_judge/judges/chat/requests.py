"""The request that a comparison becomes, and what requests would cost, without asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.judge import Comparison, Quote
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.chat.prices import about_tokens, price_source
from halo_judge.judges.chat.template import Template
from halo_judge.judges.endpoint.reply_store import keys_kept, request_key

Request = Mapping[str, Any]
"""`endpoint`, `template` (its hash), `model`, `parameters` and `messages`."""


def make_request(judge: GPT4, template: Template, shown: Comparison) -> Request:
    """Returns the request for a verdict on two texts in the order in which they are shown."""
    parameters: dict[str, Any] = {judge.token_limit_parameter: judge.max_tokens}
    if judge.temperature is not None:
        parameters["temperature"] = judge.temperature
    if judge.weighted:
        parameters |= {"logprobs": True, "top_logprobs": judge.top_logprobs}
    return {
        "endpoint": judge.base_url,
        "template": template.digest,
        "model": judge.model,
        "parameters": parameters,
        "messages": template.messages(shown),
    }


def re_ask(request: Request, reply: Mapping[str, Any], template: Template) -> Request:
    """Returns the request that asks once more, showing the reply that could not be read."""
    said = reply["content"] or reply["refusal"] or "(no answer)"
    more = [
        {"role": "assistant", "content": said},
        {"role": "user", "content": template.reminder},
    ]
    return {**request, "messages": [*request["messages"], *more]}


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
