"""Facts about a model before training or sampling, and mistakes found this way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from halo_core.stage import Inputs, ModelInput
from halo_models.conversation import ChatOptions
from halo_models.findings import Findings
from halo_models.load import check_causal, load_tokenizer, read_config
from halo_models.skeleton import at_hand, check_weights, skeleton
from halo_models.template_origin import told_origin


@dataclass(frozen=True)
class Ahead:
    """A model that may have only a configuration and a tokenizer so far.

    Attributes:
        source: The folder or hub id of the model.
        config: The model's configuration.
        tokenizer: Its tokenizer, with the stage's template; None if it could not be read.
        is_sketch: Whether its tokenizer knows fewer words than the final one.
    """

    source: ModelInput
    config: Any
    tokenizer: Any
    is_sketch: bool

    @cached_property
    def network(self) -> Any:
        """The model without weights."""
        return skeleton(self.config)

    def template_origin(self, template: str | None, chat: ChatOptions) -> str:
        """Returns where the chat template of its tokenizer comes from, as a text for people.

        Args:
            template: The stage's option; None if it is not set.
            chat: The options for rendering rows.
        """
        if chat.pretemplated:
            return "none, because the rows are templated already (pretemplated)"
        if self.is_sketch and template is None:
            return "that of the model that will be made"
        return told_origin(self.source, template)


def look_at(inputs: Inputs, option: str, template: str | None, found: Findings) -> Ahead | None:
    """Returns what is known about a model; None if nothing is known.

    Args:
        inputs: The inputs of a stage.
        option: The option that names the model.
        template: Chat template; None for the tokenizer's own.
        found: Collects the model's mistakes.
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
