"""What is known of a model before it is trained or sampled, and the mistakes found by that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from halo_core.stage import Inputs, ModelInput
from halo_models.findings import Findings
from halo_models.load import check_causal, load_tokenizer, read_config
from halo_models.skeleton import at_hand, check_weights, skeleton


@dataclass(frozen=True)
class Ahead:
    """A model of which there is no more than a configuration and a tokenizer, perhaps.

    Attributes:
        source: Where it is.
        config: Its configuration.
        tokenizer: With the stage's template; None where it could not be read.
        is_sketch: Whether its tokenizer knows fewer words than the one that will be.
    """

    source: ModelInput
    config: Any
    tokenizer: Any
    is_sketch: bool

    @cached_property
    def network(self) -> Any:
        """The model without weights."""
        return skeleton(self.config)


def look_at(inputs: Inputs, option: str, template: str | None, found: Findings) -> Ahead | None:
    """Returns what is known of a model; None where that is nothing.

    Args:
        inputs: What a stage will be given.
        option: The option that names the model.
        template: Chat template; None for the tokenizer's own.
        found: Gets what is wrong with it.
    """
    given = inputs.models.get(option)
    source = None if given is None else at_hand(given, fetch=inputs.begins)
    if given is None or source is None:
        return None
    before = len(found.pairs)
    with found.at(option, of=given):
        config = read_config(source)
        check_causal(config, source)
    if len(found.pairs) > before:
        return None
    tokenizer = None
    with found.at(option, of=given):
        tokenizer = load_tokenizer(source, template)
    if option in inputs.there and source == given:
        with found.at(option, of=given):
            check_weights(source)
    ahead = Ahead(source, config, tokenizer, is_sketch=given.digest == "")
    with found.at(option, of=given):
        _ = ahead.network
    return ahead
