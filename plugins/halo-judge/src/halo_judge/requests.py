"""The request that a comparison becomes; its hash names the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo_core.judge import Comparison
from halo_judge.gpt4 import GPT4
from halo_judge.template import Template

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
