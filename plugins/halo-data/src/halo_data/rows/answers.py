"""The completions of a row: their turns, and the other columns about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from halo_core.completion import Completion, scored_completions
from halo_core.errors import DataError
from halo_core.feedback import BESIDE, Message
from halo_data.rows.dropped import (
    EMPTY_COMPLETION,
    EMPTY_PROMPT,
    NO_ANSWER,
    WITHOUT_WEIGHT,
    Dropped,
    Row,
)
from halo_data.rows.messages import (
    Turn,
    check_prompt,
    completion_of,
    fields_of,
    prompt_turns,
    spoken,
    turns,
)
from halo_data.rows.tools import tools_of

Given = Mapping[str, Any]
"""A row as read, with standard column names."""

_TOKEN_IDS = tuple(beside.token_ids for beside in BESIDE.values())


def answer(
    given: Given, column: str, prompt: Sequence[Message], place: str
) -> Completion | Dropped:
    """Returns the completion in a column, with the row's other columns about it."""
    said = completion_of(given[column], prompt, column, place)
    return said if isinstance(said, Dropped) else with_beside(said, given, column, place)


def with_beside(said: Completion, given: Given, column: str, place: str) -> Completion:
    """Returns a completion with the further fields, token ids and finish from its row.

    Raises:
        DataError: When fields are both in its message and in a separate column.
    """
    fields, token_ids, finish, logps, sampling = (given.get(name) for name in BESIDE[column])
    if fields is not None:
        said = _with_fields(said, fields, BESIDE[column].fields, place)
    if token_ids is finish is logps is sampling is None:
        return said  # This is true for nearly all rows.
    return replace(said, token_ids=token_ids, finish=finish, token_logps=logps, sampling=sampling)


def _with_fields(said: Completion, fields: Any, column: str, place: str) -> Completion:
    if not isinstance(fields, Mapping):
        raise DataError(f"column {column!r} is {fields!r:.60}; expected an object", location=place)
    if said.fields:
        raise DataError(
            f"column {column!r} repeats fields of the message itself: "
            f"{', '.join(said.fields)}; expected one of the two",
            location=place,
        )
    return replace(said, fields=fields_of(fields, column, place) or None)


def refuse_beside(given: Given, columns: Sequence[str], place: str) -> None:
    """Rejects columns about completions that are cut out of a longer text.

    Raises:
        DataError: When there is such a column.
    """
    for name in (name for column in columns for name in BESIDE[column]):
        if name in given:
            raise DataError(
                f"column {name!r} is about a completion, but this row has no prompt column, so the "
                "completion is what the two sides do not share; expected a prompt column",
                location=place,
            )


def scored_answers(
    given: Given, prompt: Sequence[Message], place: str
) -> list[Completion] | Dropped:
    """Returns the completions of a scored group, with the row's other columns about them.

    Args:
        given: The row, by standard names.
        prompt: Its prompt.
        place: Its file and line, for errors.

    Raises:
        DataError: When a column does not have one value per completion.
    """
    column = "completions"
    found = [completion_of(each, prompt, column, place) for each in given[column]]
    said = [each for each in found if not isinstance(each, Dropped)]
    if len(said) < len(found):
        return WITHOUT_WEIGHT
    for name in BESIDE[column]:
        values = given.get(name)
        if values is not None and not (isinstance(values, list) and len(values) == len(said)):
            raise DataError(
                f"column {name!r} is not a list with one value per completion (null if unknown); "
                f"there are {len(said)} completions",
                location=place,
            )
    beside = scored_completions({**given, column: [each.text for each in said]})
    fields = BESIDE[column].fields
    return [
        replace(
            own if also.fields is None else _with_fields(own, also.fields, fields, place),
            token_ids=also.token_ids,
            finish=also.finish,
            token_logps=also.token_logps,
            sampling=also.sampling,
        )
        for own, also in zip(said, beside, strict=True)
    ]


def shared(given: Given, place: str) -> dict[str, Any]:
    """Returns the columns about a whole row: its tools, and the digests for its token ids."""
    columns: dict[str, Any] = {}
    if (tools := tools_of(given.get("tools"), place)) is not None:
        columns["tools"] = tools
    # Without token ids these columns have another meaning.
    if any(name in given for name in _TOKEN_IDS):
        columns |= {name: given[name] for name in ("tokenizer", "template") if name in given}
    return columns


def shown_by(prompt: list[Message], said: Completion) -> Row | Dropped:
    """Returns a row that demonstrates a completion, or the reason to drop it."""
    if not prompt:
        return EMPTY_PROMPT
    return EMPTY_COMPLETION if said.is_empty else {"prompt": prompt, **said.columns("completion")}


def answer_at(spoken_turns: Sequence[Turn], at: int, given: Given, place: str) -> Row | Dropped:
    """Returns the row that demonstrates one assistant turn, with the turns before it as prompt.

    The row's other columns about the completion belong to the last turn.
    """
    if not spoken_turns[at].learned:
        return WITHOUT_WEIGHT
    prompt = [turn.message for turn in spoken_turns[:at]]
    check_prompt(prompt, f"messages[:{at}]", place)
    said = spoken(spoken_turns[at].message)
    if at == len(spoken_turns) - 1:
        said = with_beside(said, given, "completion", place)
    if not any(message["content"].strip() or len(message) > 2 for message in prompt):
        return EMPTY_PROMPT
    return shown_by(prompt, said)


def answers_of(given: Given, place: str) -> Iterator[Row | Dropped]:
    """Yields a row, or a reason to drop it, for each assistant turn of a demonstration, in order.

    Args:
        given: A row with `messages`, or with `prompt` and `completion`.
        place: ``file:line`` of the row.
    """
    whole = _whole(given, place)
    if isinstance(whole, Dropped):
        yield whole
        return
    answers = [i for i, turn in enumerate(whole) if turn.message["role"] == "assistant"]
    if not answers:
        yield NO_ANSWER
    for at in answers:
        yield answer_at(whole, at, given, place)


def _whole(given: Given, place: str) -> list[Turn] | Dropped:
    if "prompt" not in given or "completion" not in given:
        return turns(given["messages"], "messages", place)
    before = prompt_turns(given["prompt"], "prompt", place)
    said = completion_of(
        given["completion"], [turn.message for turn in before], "completion", place
    )
    if isinstance(said, Dropped):
        return [*before, Turn({"role": "assistant", "content": ""}, learned=False)]
    message: Any = {"role": "assistant", "content": said.text, **(said.fields or {})}
    return [*before, Turn(message)]
