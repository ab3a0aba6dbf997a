"""Forms of rows that other programs write, rewritten to the columns `prompt` and `completion`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.errors import DataError
from halo_data.rows.dropped import DRAW, NO_LABEL
from halo_data.rows.tools import shown

Given = Mapping[str, Any]
"""A row with standard column names."""


def instruction(given: Given, place: str) -> dict[str, Any]:
    """Returns an Alpaca row with `prompt`, and with `completion` if it has an output.

    The prompt is the column `system` as a system message, the turns of `history`, and a user
    message: the instruction, and on the next line the input if it is not blank. This is how
    LLaMA-Factory joins them.

    Raises:
        DataError: When a column has a value of another type.
    """
    asked = _text(given, "instruction", place)
    if (more := _text(given, "input", place)).strip():
        asked = f"{asked}\n{more}" if asked.strip() else more
    prompt: list[dict[str, Any]] = []
    if (system := _text(given, "system", place)).strip():
        prompt.append({"role": "system", "content": system})
    for i, pair in enumerate(given.get("history") or []):
        if not isinstance(pair, Sequence) or len(pair) != 2 or not _are_texts(pair):
            raise DataError(
                f"history[{i}] is {shown(pair)}; expected [question, answer]", location=place
            )
        prompt += ({"role": r, "content": t} for r, t in zip(_SPEAKERS, pair, strict=True))
    if asked.strip():
        prompt.append({"role": "user", "content": asked})
    rewritten: dict[str, Any] = {"prompt": prompt}
    if "output" in given:
        rewritten["completion"] = _text(given, "output", place)
    return rewritten


_SPEAKERS = ("user", "assistant")


def alpaca_eval(given: Given, place: str) -> dict[str, Any]:
    """Returns an annotation of AlpacaEval as a pair, or as `undecided` with the reason to drop it.

    `preference` is 1 if the first output is preferred, 2 if the second one is, and between them
    if the annotator is not sure. 1.5 is a draw. Null and NaN mean that there is no annotation.

    Raises:
        DataError: When the preference is not such a number, or an output is not a text.
    """
    if given["preference"] is None or given["preference"] != given["preference"]:  # NaN
        return {"prompt": [], "undecided": NO_LABEL}
    preference = _number(given, "preference", place)
    if not 1 <= preference <= 2:
        raise DataError(
            f"preference is {preference:g}; expected a number from 1 (output_1 is preferred) to 2 "
            "(output_2 is)",
            location=place,
        )
    sides = [_text(given, name, place) for name in ("output_1", "output_2")]
    if preference > 1.5:
        sides.reverse()
    rewritten = instruction({k: given.get(k) for k in ("instruction", "input")}, place)
    if preference == 1.5:
        return {**rewritten, "undecided": DRAW}
    return {**rewritten, "chosen": sides[0], "rejected": sides[1]}


def openai_preference(given: Given, place: str) -> dict[str, Any]:
    """Returns a row of OpenAI's preference form with `prompt`, `chosen`, `rejected` and `tools`.

    Raises:
        DataError: When `input` is not an object with messages, or it has an unknown field.
    """
    asked = given["input"]
    if not isinstance(asked, Mapping) or not isinstance(asked.get("messages"), list):
        raise DataError(
            f"column 'input' is {shown(asked)}; expected {{\"messages\": [...]}}", location=place
        )
    further = {k: v for k, v in asked.items() if k not in _ASKED and v is not None}
    if further:
        raise DataError(
            f"column 'input' has the field {next(iter(further))!r}, which nothing would read; "
            f"known are {', '.join(_ASKED)}",
            location=place,
        )
    rewritten = {
        "prompt": asked["messages"],
        "chosen": given["preferred_output"],
        "rejected": given["non_preferred_output"],
    }
    return {**rewritten, "tools": asked["tools"]} if asked.get("tools") else rewritten


_ASKED = ("messages", "tools", "parallel_tool_calls")


def _text(given: Given, column: str, place: str) -> str:
    value = given.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"column {column!r} is {shown(value)}; expected text", location=place)
    return value


def _are_texts(values: Sequence[Any]) -> bool:
    return not isinstance(values, str) and all(isinstance(value, str) for value in values)


def _number(given: Given, column: str, place: str) -> float:
    value = given[column]
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        comma = " with a decimal point" if isinstance(value, str) and "," in value else ""
        raise DataError(
            f"column {column!r} is {json.dumps(value, default=str)}; expected a number{comma}",
            location=place,
        ) from None
