"""The completions of each prompt to label, from samples or from data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from halo_core.completion import Completion, completions_in
from halo_core.errors import DataError
from halo_core.feedback import Prompt
from halo_core.judge import Tools
from halo_core.rows import DataSet
from halo_core.scoring_judge import Answer, text_id
from halo_judge.files.outputs import read_outputs
from halo_judge.files.token_store import STORED, StoredTokens, TokenStore
from halo_judge.judge_stage.duels import sample_lines

TARGET = "target"
EMPTY = "empty completion"
AGAIN = "same completion of the prompt"
CUT = "completion that did not end"
CALLS = "completion with tool_calls, which the judge does not read"


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

    def answers(self) -> list[Answer]:
        """Returns the completions as answers for a judge to score."""
        return [
            Answer(self.answer_id(said), self.prompt, said.text, said.completion.fields, self.tools)
            for said in self.said
        ]

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


def of_samples(
    of: Path, other: Path | None, *, targets: bool, tokens: TokenStore | None = None
) -> Iterator[Found]:
    """Yields the completions of a sampling stage and of its rivals.

    Args:
        of: The stage's folder, or a file of outputs (`read_outputs`).
        other: Another sampling stage's folder, or another file; None if there is none.
        targets: Whether the rivals are the completions that the data have for the prompt.
        tokens: A store for token ids and log-probabilities; None to hold them in memory.

    Raises:
        PathError: When there are no samples.
        DataError: When a line is not a sample.
    """
    rivals: dict[str, list[Said]] = {}
    for found, _ in _completions(other, tokens) if other is not None else ():
        rivals.setdefault(found.prompt_id, []).append(found.said)
    met = set()
    for found, target in _completions(of, tokens):
        yield found
        # A file may have several outputs of a prompt, with the same rivals.
        if found.prompt_id in met:
            continue
        met.add(found.prompt_id)
        in_data = [Said(target)] if targets and target is not None else []
        for rival in rivals.get(found.prompt_id, in_data):
            # The rivals of a stage are draws too; the data's completion is not.
            yield replace(found, said=rival, is_draw=found.is_draw and other is not None)


def _completions(
    given: Path, tokens: TokenStore | None
) -> Iterator[tuple[Found, Completion | None]]:
    """Yields each completion, with the completion that the data have for its prompt."""
    if given.is_file():
        for output in read_outputs(str(given), tokens=tokens or True).outputs:
            said = said_in(output.text, output.sampled)
            # Without token ids, an equal output may be the same one twice.
            drawn = said.has_ids
            found = Found(output.prompt_id, output.prompt, said, output.tools, drawn)
            yield found, _target(output.target, output.sampled)
        return
    for sample in sample_lines(given):
        kept = sample if tokens is None else tokens.set_aside(sample)
        said = said_in(sample["completion"], kept)
        tools = sample.get("tools")
        found = Found(sample["prompt_id"], sample["prompt"], said, tools, is_draw=True)
        yield found, _target(sample.get("target"), sample)


def _target(text: str | None, sampled: Mapping[str, Any]) -> Completion | None:
    return None if text is None else Completion(text, sampled.get("target_fields"))


def of_data(data: DataSet, tokens: TokenStore | None = None) -> Iterator[Found]:
    """Yields the completions of a data set.

    Args:
        data: The data set.
        tokens: A store for token ids and log-probabilities; None to hold them in memory.

    Raises:
        DataError: When the data set has no completions.
    """
    if data.feedback in ("text", "prompts"):
        what = "raw text, which has" if data.feedback == "text" else "prompts alone, which have"
        raise DataError(
            f"holds {what} no completions; expected demonstration, binary, paired or "
            "scored feedback",
            location=f"data set {data.name!r}",
        )
    for row in data:
        for completion in completions_in(row):
            said = Said(completion, row.get("tokenizer"), row.get("template"))
            said = said if tokens is None else _set_aside(said, tokens)
            yield Found(row["prompt_id"], row["prompt"], said, row.get("tools"), said.has_ids)


def _set_aside(said: Said, tokens: TokenStore) -> Said:
    whole = said.completion
    stored = None if whole.token_ids is None else tokens.put(whole.token_ids, whole.token_logps)
    if stored is None:
        return said
    return replace(said, completion=replace(whole, token_ids=None, token_logps=None), stored=stored)


def by_prompt(
    found: Iterable[Found],
    dropped: Counter[str],
    *,
    drop_cut: bool = False,
    reads_fields: bool = False,
    draws: bool = False,
) -> list[Candidates]:
    """Returns the completions by prompt in order, and counts left-out ones by reason.

    Args:
        found: The completions.
        dropped: The counter of the reasons.
        drop_cut: Whether to leave out completions that were cut.
        reads_fields: Whether the judge reads further fields besides the texts.
        draws: Whether to keep equal completions that a model drew several times. A mean over a
            group would be wrong without them.
    """
    prompts: dict[str, Found] = {}
    groups: dict[str, list[Said]] = {}
    met: dict[str, set[str]] = {}
    for each in found:
        prompts.setdefault(each.prompt_id, each)
        group = groups.setdefault(each.prompt_id, [])
        keys = met.setdefault(each.prompt_id, set())
        known = () if draws and each.is_draw else keys
        if reason := _why_not(each.said, known, drop_cut, reads_fields):
            dropped[reason] += 1
        else:
            group.append(each.said)
            keys.add(each.said.completion.key)
    return [
        Candidates(id_, prompts[id_].prompt, tuple(group), prompts[id_].tools)
        for id_, group in groups.items()
        if group
    ]


def _why_not(said: Said, known: Collection[str], drop_cut: bool, reads_fields: bool) -> str | None:
    completion = said.completion
    is_empty = completion.is_empty if reads_fields else not said.text.strip()
    reasons = (
        ("tool_calls" in (completion.fields or {}) and not reads_fields, CALLS),
        (is_empty, EMPTY),
        (drop_cut and said.is_cut, CUT),
        (completion.key in known, AGAIN),
    )
    return next((reason for holds, reason in reasons if holds), None)


def all_answers(candidates: Sequence[Candidates]) -> list[Answer]:
    """Returns all completions as answers for a judge to score, prompt by prompt."""
    return [answer for group in candidates for answer in group.answers()]
