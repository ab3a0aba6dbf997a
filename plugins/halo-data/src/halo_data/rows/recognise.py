"""Chooses the form of a row by its columns, and says which column became what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from halo_core.errors import DataError
from halo_data.rows.columns import ALWAYS_KNOWN
from halo_data.rows.forms import FORMS, SYNONYMS, Form, Given, listed
from halo_data.rows.other_names import as_option, mapping

_JUDGED = ("paired", "scored", "binary")
"""Kinds of feedback that say which completions are good."""
_WHOLE = ("data", "examples", "instances", "items", "records", "rows", "train")
"""Names under which files of one object often have their rows."""
Names = tuple[str, ...]
"""The names of a row's columns, in order."""
NAMES = tuple(form.name for form in FORMS)
"""The values of the option `form`."""


def recognise(row: Given, place: str, named: str | None = None) -> Form:
    """Returns the form of a row with standard names.

    Of two forms that fit, the one with more columns is chosen if it has all columns of the other
    one, and a form with labels, scores or pairs before one without. Between forms of one kind that
    halo writes itself, the order of `FORMS` decides. All other rows have two meanings.

    Args:
        row: The row.
        place: ``file:line`` of the row.
        named: The value of the option `form`; None to choose by the columns.

    Raises:
        DataError: When no form has its columns, or two forms do. The message names its columns,
            the forms, and the option that decides.
    """
    try:
        return _form_of(tuple(row), named)
    except DataError as error:
        raise DataError(error.message, location=place) from None


@lru_cache(maxsize=256)  # All rows of a file have the same few lists of columns.
def _form_of(names: Names, named: str | None) -> Form:
    fits = [form for form in FORMS if all(column in names for column in form.columns)]
    others = [form for form in fits if form.feedback != "prompts"]
    if named is not None:
        return _named(named, fits, names)
    if not others:
        # Prompts alone are a part of most forms, so rows with a further column are more likely rows
        # whose completion has another name.
        fits = [form for form in fits if not _further(names, form)]
        if not fits:
            raise DataError(_none(names))
        return fits[0]
    fits = [f for f in others if not any(set(f.columns) < set(o.columns) for o in others)]
    fits = [form for form in fits if form.feedback in _JUDGED] or fits
    first = fits[0]
    if rival := next((form for form in fits[1:] if _differ(first, form)), None):
        raise DataError(_two(first, rival, names))
    return first


def _further(row: Names, form: Form) -> list[str]:
    """Returns the columns of a row that no row of prompts alone has."""
    known = {*form.columns, *form.also, *ALWAYS_KNOWN, "tools"}
    return [name for name in row if name not in known]


def _named(named: str, fits: Sequence[Form], row: Names) -> Form:
    form = next((form for form in fits if form.name == named), None)
    if form is None:
        (wanted,) = (form for form in FORMS if form.name == named)
        missing = ", ".join(repr(name) for name in wanted.columns if name not in row)
        raise DataError(
            f"form is {named}, and the row has no column {missing}; it has {listed(row)}. Map a "
            "column of another name with columns: {standard: theirs}"
        )
    return form


def _differ(one: Form, other: Form) -> bool:
    """Returns whether two forms that fit a row may say different things about it."""
    foreign = one.rewrite is not None or other.rewrite is not None
    judged = one.feedback in _JUDGED and one.feedback != other.feedback
    return foreign or judged


def _two(one: Form, other: Form, row: Names) -> str:
    return (
        f"the columns {listed(row)} fit two forms, {one.name} ({one.feedback}) and {other.name} "
        f"({other.feedback}); choose with form: {one.name} or form: {other.name}, or leave columns "
        "out with ignore_columns"
    )


def _none(row: Names) -> str:
    forms = "; ".join(NAMES)
    return (
        f"the columns {listed(row)} are of no known form; expected {forms}.{_guess(row)} "
        "A column of another name is mapped with the option columns: {standard: theirs}"
        f"{_prompts_alone(row)}{_all_in_one(row)}"
    )


def _prompts_alone(row: Names) -> str:
    for form in FORMS:
        if form.feedback == "prompts" and form.columns[0] in row:
            return f". To read prompts alone, to sample on, write form: {form.name}"
    return ""


def _all_in_one(row: Names) -> str:
    if len(row) == 1 and row[0].lower() in _WHOLE:
        return (
            f". If the column {row[0]!r} holds all rows, save this list alone, as an array in a "
            ".json file"
        )
    return ""


def _guess(row: Names) -> str:
    judged = [form.columns for form in FORMS if form.feedback in _JUDGED]
    others = [form.columns for form in FORMS if form.feedback == "demonstration"]
    found = mapping(row, [*judged, *others])
    return f" Did you mean {as_option(found)}?" if found else ""


def decision(form: Form, given: Given, columns: Mapping[str, str]) -> str:
    """Returns which column of the data became which column of halo's, in one line.

    Args:
        form: The form of the row.
        given: The row as read.
        columns: The name in the row by standard name.

    >>> decision(FORMS[5], {"prompt": "a", "answer": "b"}, {"completion": "answer"})
    'demonstration; prompt <- prompt, completion <- answer'
    """
    gives = form.gives or {name: (name,) for name in form.columns}
    pairs = []
    for ours, names in gives.items():
        theirs = [t for name in names if (t := _theirs(name, given, columns)) is not None]
        pairs.append(f"{ours} <- {' + '.join(theirs)}")
    return f"{form.feedback}; {', '.join(pairs)}"


def _theirs(name: str, given: Given, columns: Mapping[str, str]) -> str | None:
    if name in columns:
        return columns[name]
    synonyms = [theirs for theirs, ours in SYNONYMS.items() if ours == name]
    return next((n for n in (name, *synonyms) if given.get(n) not in (None, "", [])), None)
