"""Reads the tools that a prompt offers, and the tool calls, from rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from halo_core.errors import DataError


def tools_of(value: Any, place: str) -> list[dict[str, Any]] | None:
    """Returns the tools of a row from a list or its JSON text; None if there are none.

    Args:
        value: The value of the column `tools`.
        place: ``file:line`` of the row.

    Raises:
        DataError: When it is not a list of objects.
    """
    given = _parsed(value, "column 'tools'", place) if isinstance(value, str) else value
    if given is None or given == []:
        return None
    if not isinstance(given, list) or not all(isinstance(tool, Mapping) for tool in given):
        raise DataError(
            f"column 'tools' is {shown(value)}; expected a list of JSON objects, or its text",
            location=place,
        )
    return [dict(tool) for tool in given]


def tool_calls(value: Any, where: str, place: str) -> list[dict[str, Any]]:
    """Returns tool calls with their arguments as objects, because templates write them.

    Args:
        value: A list of calls, or its JSON text. The arguments of each may be JSON text too.
        where: The message, for errors.
        place: ``file:line`` of the row.

    Raises:
        DataError: When it is not a list of calls, or arguments are not an object.
    """
    given = _parsed(value, f"{where}.tool_calls", place) if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(call, Mapping) for call in given):
        raise DataError(
            f"{where}: tool_calls is {shown(value)}; expected a list of "
            '{"type": "function", "function": {"name": ..., "arguments": {...}}}',
            location=place,
        )
    return [_call(call, f"{where}.tool_calls[{i}]", place) for i, call in enumerate(given)]


def _call(given: Mapping[str, Any], where: str, place: str) -> dict[str, Any]:
    call = dict(given)
    function = call.get("function")
    if isinstance(function, Mapping):
        call["function"] = _with_arguments(function, where, place)
        return call
    return _with_arguments(call, where, place)


def _with_arguments(given: Mapping[str, Any], where: str, place: str) -> dict[str, Any]:
    if not isinstance(given.get("name"), str):
        raise DataError(
            f"{where} is {shown(given)}; expected a function with its name", location=place
        )
    arguments = given.get("arguments")
    if isinstance(arguments, str):
        # Some data have an empty text as the arguments of a function without arguments.
        text = arguments.strip() or "{}"
        arguments = _parsed(text, f"{where}.arguments", place)
    if arguments is None:
        return {name: value for name, value in given.items() if name != "arguments"}
    if not isinstance(arguments, Mapping):
        raise DataError(
            f"{where}: arguments is {shown(given['arguments'])}; expected a JSON object, or its "
            "text",
            location=place,
        )
    return {**given, "arguments": dict(arguments)}


def _parsed(text: str, where: str, place: str) -> Any:
    try:
        return json.loads(text)
    # Not JSON, nested too deeply, or with a number of too many digits.
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(
            f"{where} is {shown(text)}, which is not JSON: {why}", location=place
        ) from error


def shown(value: Any) -> str:
    """Returns a value for an error message, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
