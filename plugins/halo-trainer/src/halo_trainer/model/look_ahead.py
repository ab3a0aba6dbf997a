"""Facts about a model before training or sampling, and mistakes found this way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
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
        parts = _parts_of(source, keep=not inputs.begins)
        config = parts.config
        check_causal(config, source)
    if len(found.pairs) > before:
        return None
    tokenizer = None
    with found.at(option, of=given):
        tokenizer = parts.tokenizer(template)
    if option in inputs.there and source == given:
        with found.at(option, of=given):
            check_weights(source)
    with found.at(option, of=given):
        parts.check_network()
    return Ahead(source, config, tokenizer, is_sketch=given.digest == "")


class _Parts:
    """A model's configuration and tokenizer, each read once."""

    def __init__(self, source: ModelInput) -> None:
        self._source = source
        self._tokenizers: dict[str | None, tuple[Any, int]] = {}
        self._has_network = False

    @cached_property
    def config(self) -> Any:
        return read_config(self._source)

    def check_network(self) -> None:
        """Makes the model without weights, unless this has worked before."""
        if not self._has_network:
            skeleton(self.config)
            self._has_network = True

    def tokenizer(self, template: str | None) -> Any:
        known, length = self._tokenizers.get(template, (None, 0))
        # A stage adds the control tokens of its loss to its tokenizer.
        if known is None or len(known) != length:
            known = load_tokenizer(self._source, template)
            self._tokenizers[template] = known, len(known)
        return known


def _parts_of(source: ModelInput, *, keep: bool) -> _Parts:
    """Returns the parts of a model.

    Args:
        source: The folder or hub id.
        keep: Whether to keep those of a folder for the next call. The cells of a planned suite
            start from the same model. A run needs the memory for the training.
    """
    folder = Path(source.path)
    if not keep or not folder.is_dir():
        return _Parts(source)
    stats = ((file.name, file.stat()) for file in sorted(folder.iterdir()))
    return _kept_parts(source, tuple((n, stat.st_size, stat.st_mtime_ns) for n, stat in stats))


@lru_cache(maxsize=4)
def _kept_parts(source: ModelInput, files: tuple[tuple[str, int, int], ...]) -> _Parts:
    del files  # They make the cache notice that a file has changed.
    return _Parts(source)
