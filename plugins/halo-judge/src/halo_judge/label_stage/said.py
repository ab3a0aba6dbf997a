"""A completion to label with its prompt, in memory and as a row of a temporary file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from halo_core.completion import Completion
from halo_core.feedback import Prompt
from halo_core.judge import Tools
from halo_core.scoring_judge import Answer, text_id
from halo_core.workspace.spool import Spool
from halo_judge.files.token_store import STORED, StoredTokens, TokenStore
from halo_judge.judge_stage.on_disk import WHY


@dataclass(frozen=True)
class Said:
    """A completion, with the tokenizer and template of its token ids.

    Attributes:
        completion: The completion, with its further fields, token ids and finish if known.
        tokenizer: Digest of the tokenizer.
        template: Digest of the template.
        stored: The place of its token ids and log-probabilities, if they are not in `completion`.
    """

    completion: Completion
    tokenizer: str | None = None
    template: str | None = None
    stored: StoredTokens | None = None

    @property
    def text(self) -> str:
        """The content of the completion's message."""
        return self.completion.text

    @property
    def has_ids(self) -> bool:
        """Whether its token ids are known."""
        return self.stored is not None or self.completion.token_ids is not None

    def whole(self) -> Completion:
        """Returns the completion with its token ids and log-probabilities."""
        if self.stored is None:
            return self.completion
        ids, logps = self.stored.read()
        return replace(self.completion, token_ids=ids, token_logps=logps)

    @property
    def is_cut(self) -> bool:
        """Whether the completion was cut at the maximum length."""
        return self.completion.finish == "length"


def said_in(text: str, sampled: Mapping[str, Any]) -> Said:
    """Returns a completion from samples, with all information from its line."""
    fields = sampled.get("completion_fields")
    ids, logps = sampled.get("token_ids"), sampled.get("token_logps")
    drawn = sampled.get("sampling_options")
    completion = Completion(text, fields, ids, sampled.get("finish"), logps, drawn)
    digests = sampled.get("tokenizer"), sampled.get("template")
    return Said(completion, *digests, sampled.get(STORED))


@dataclass(frozen=True)
class Candidates:
    """The completions of one prompt.

    Attributes:
        prompt_id: Id of the prompt.
        prompt: The messages before the completions.
        said: The completions, which are not empty. They are different, unless several draws of a
            model gave the same one.
        tools: The tools that the prompt offers.
    """

    prompt_id: str
    prompt: Prompt
    said: tuple[Said, ...]
    tools: Tools | None = None

    def answer(self, said: Said) -> Answer:
        """Returns a completion as an answer for a judge to score."""
        fields = said.completion.fields
        return Answer(self.answer_id(said), self.prompt, said.text, fields, self.tools)

    def answer_id(self, said: Said) -> str:
        """Returns a completion's id, which is `halo_core`'s `answer_id` if it has only text."""
        return f"{self.prompt_id}-{text_id(said.completion.key)}"

    def that_ended(self) -> Candidates:
        """Returns the candidates without completions that are known to be cut."""
        return replace(self, said=tuple(said for said in self.said if not said.is_cut))


@dataclass(frozen=True)
class Found:
    """A completion to label, with its prompt.

    Attributes:
        prompt_id: Id of the prompt.
        prompt: The messages before the completion.
        said: The completion.
        tools: The tools that the prompt offers.
        is_draw: Whether a model drew it, so that an equal one may be another draw.
    """

    prompt_id: str
    prompt: Prompt
    said: Said
    tools: Tools | None = None
    is_draw: bool = False


class FoundRows:
    """Completions in a temporary file, which come back as they were.

    Args:
        tokens: The store that has their token ids; None if no completion is in a store.
    """

    def __init__(self, tokens: TokenStore | None) -> None:
        self._rows = Spool(WHY)
        self._tokens = tokens

    def add(self, found: Found) -> int:
        """Adds a completion after the others, and returns its place for `at`.

        Raises:
            DiskError: When the disk of the temporary files is full, or fails.
        """
        said, whole = found.said, found.said.completion
        stored = said.stored
        row: dict[str, Any] = {
            "id": found.prompt_id,
            "prompt": found.prompt,
            "tools": found.tools,
            "draw": found.is_draw,
            "said": [getattr(whole, name) for name in _PARTS],
            "digests": [said.tokenizer, said.template],
            "stored": None if stored is None else [stored.place, stored.ids, stored.logps],
        }
        return self._rows.add(row)

    def at(self, place: int) -> Found:
        """Reads a completion."""
        row = self._rows.at(place)
        stored = None
        if row["stored"] is not None:
            assert self._tokens is not None, "a stored completion has a store"
            stored = StoredTokens(self._tokens, *row["stored"])
        tokenizer, template = row["digests"]
        said = Said(Completion(*row["said"]), tokenizer, template, stored)
        return Found(row["id"], row["prompt"], said, row["tools"], row["draw"])


_PARTS = tuple(each.name for each in fields(Completion))
