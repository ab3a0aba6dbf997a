"""The problems that pydantic finds in the options of a component: one for each value, in few words.

An option may have one of several types, such as a number or ``auto``. Then pydantic reports a value
once for each type, at places that no spec has (``micro_batch_tokens.constrained-int``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halo_core.errors import did_you_mean
from halo_core.redact import redact
from halo_core.secret import MISTAKE as SECRET_MISTAKE

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]

_LENGTH = re.compile(r"\w+ should have (at (?:least|most) \d+ \w+)(?: after validation, not .*)?")
"""Pattern of pydantic's messages about the length of a list, a mapping or a text."""

_PLAIN_WORDS = (
    (re.compile(r"greater than or equal to"), "a number of at least"),
    (re.compile(r"less than or equal to"), "a number of at most"),
    (re.compile(r"greater than"), "a number above"),
    (re.compile(r"less than"), "a number below"),
    (re.compile(r"a valid (?:array|list|tuple)"), "a list"),
    (re.compile(r"an object|a valid dictionary"), "a mapping"),
    (re.compile(r"a valid string"), "text"),
    (re.compile(r"a valid integer.*"), "a whole number"),
    (re.compile(r"a valid number.*"), "a number"),
    (re.compile(r"a valid boolean.*"), "true or false"),
)
"""pydantic's words for what it expects, and words that suit a file of YAML."""

_EXPECTED = "expected "

_SAID_AS_IT_IS = ("missing", "extra_forbidden", "value_error", SECRET_MISTAKE)
"""Problems whose text needs no value, or must not show it."""


@dataclass(frozen=True)
class OptionProblem:
    """A problem of one value.

    Attributes:
        place: The keys and indices of the value in the options.
        type: Pydantic's name for the problem, such as ``missing``.
        message: The value that came, and the expected one. A missing or unknown key has pydantic's
            own text.
    """

    place: Place
    type: str
    message: str


def option_problems(error: ValidationError, given: Any) -> list[OptionProblem]:
    """Returns the problems of an error, in the order of the options.

    Args:
        error: The error of pydantic.
        given: The options as JSON values, which were checked.
    """
    by_place: dict[Place, list[tuple[Place, ErrorDetails]]] = {}
    for problem in error.errors():
        place, branch = _place_in(given, problem)
        by_place.setdefault(place, []).append((branch, problem))
    found: list[OptionProblem] = []
    for place, tried in by_place.items():
        found.extend(_told(place, [problem]) for branch, problem in tried if not branch)
        types = [problem for branch, problem in tried if branch]
        if types and not _has_a_near_type(place, by_place):
            found.append(_told(place, types))
    return found


def _place_in(given: Any, problem: ErrorDetails) -> tuple[Place, Place]:
    """Returns the place of a problem in the options, and the names of types that pydantic added."""
    place: list[int | str] = []
    added: list[int | str] = []
    value = given
    for index, key in enumerate(problem["loc"]):
        last = index == len(problem["loc"]) - 1
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        elif not (last and problem["type"] == "missing"):
            added.append(key)
            continue
        place.append(key)
    return tuple(place), tuple(added)


def _has_a_near_type(place: Place, others: Mapping[Place, Sequence[tuple[Place, Any]]]) -> bool:
    """Returns whether the value fits one of its types except for something inside of it."""
    deeper = (tried for other, tried in others.items() if _is_inside(other, place))
    return any(branch for tried in deeper for branch, _ in tried)


def _is_inside(place: Place, outer: Place) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def _told(place: Place, problems: Sequence[ErrorDetails]) -> OptionProblem:
    """Returns one problem for a value, which has a problem with each of its types."""
    first = problems[0]
    for problem in problems:
        if problem["type"] in _SAID_AS_IT_IS:
            message = problem["msg"].removeprefix("Value error, ")
            return OptionProblem(place, problem["type"], message)
    expected = " or ".join(dict.fromkeys(_expectations(problems)))
    hint = next(filter(None, map(_near_literal, problems)), "")
    return OptionProblem(place, first["type"], f"got {_shown(first['input'])}; {expected}{hint}")


def _shown(value: Any) -> str:
    """Returns a value as people write it in YAML, without a password."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return redact(repr(value))


def _expectations(problems: Sequence[ErrorDetails]) -> Iterator[str]:
    for index, problem in enumerate(problems):
        text = problem["msg"].replace("Input should be ", _EXPECTED, 1)
        text = _LENGTH.sub(rf"{_EXPECTED}\1", text)
        for pattern, words in _PLAIN_WORDS:
            text = pattern.sub(words, text, count=1)
        yield text.removeprefix(_EXPECTED) if index else text


def _near_literal(problem: ErrorDetails) -> str:
    """Returns a suggestion if one of a few texts was expected and another text came."""
    text = problem["input"]
    if problem["type"] != "literal_error" or not isinstance(text, str):
        return ""
    guess = did_you_mean(text, re.findall("'([^']*)'", problem["ctx"]["expected"]))
    return f".{guess}" if guess else ""
