"""The options of `files` and `hub` that describe the columns of rows of any form."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BeforeValidator, Field

from halo_core.option_markers import Added
from halo_data.rows import reading
from halo_data.rows.forms import STANDARD_COLUMNS
from halo_data.rows.labels import spelling
from halo_data.rows.reading import Reading
from halo_data.rows.recognise import NAMES


def _known(columns: dict[str, str]) -> dict[str, str]:
    standard_names = sorted(STANDARD_COLUMNS)
    for name in columns:
        if name not in standard_names:
            raise ValueError(
                f"{name!r} is not a standard column; expected {', '.join(standard_names)}"
            )
    return columns


def _spelt(labels: Any) -> Any:
    # YAML does not read `true`, `1` and `yes` as text.
    return {spelling(k): v for k, v in labels.items()} if isinstance(labels, dict) else labels


def _form(name: str | None) -> str | None:
    if name is not None and name not in NAMES:
        raise ValueError(f"{name!r} is not a form; expected one of {'; '.join(NAMES)}")
    return name


Columns = Annotated[
    dict[str, str],
    AfterValidator(_known),
    Field(description="Columns of the data by standard name, such as {completion: answer}."),
]
"""Column names in the data, by standard name."""

Labels = Annotated[
    dict[str, bool],
    BeforeValidator(_spelt),
    Added(),
    Field(
        description="Whether each value of the label means desirable, such as {up: true, down: "
        "false}. If left out, true and 1 do, and false and 0 do not."
    ),
]
"""Meanings of the values in the column `label`."""

IgnoreColumns = Annotated[
    list[str],
    Added(),
    Field(
        description="Columns to ignore even if they look like a label, a score or a preference, or "
        "would be read."
    ),
]
"""Columns to ignore."""

TrainOn = Annotated[
    reading.TrainOn,
    Added(),
    Field(
        description="Assistant turns of a conversation to learn: last, or all, each as a separate "
        "example with the turns before it as the prompt; only for demonstrations."
    ),
]
"""Assistant turns to learn."""

IgnoreFields = Annotated[
    list[str],
    Added(),
    Field(description="Fields of messages to leave out, such as [timestamp]."),
]
"""Fields of messages to leave out."""

FormName = Annotated[
    str | None,
    AfterValidator(_form),
    Added(),
    Field(
        description="The form of all rows, if their columns fit two forms: the columns that it "
        "reads, such as prompt + completion. If left out, the one that fits."
    ),
]
"""The name of the form of all rows."""


class ColumnFields(Protocol):
    """A data source with these options."""

    columns: Columns
    labels: Labels
    ignore_columns: IgnoreColumns
    train_on: TrainOn
    ignore_fields: IgnoreFields
    form: FormName


def reading_of(source: ColumnFields) -> Reading:
    """Returns the options of a source as plain values."""
    return Reading(
        columns=source.columns,
        ignore_fields=source.ignore_fields,
        train_on=source.train_on,
        labels=source.labels,
        ignore_columns=source.ignore_columns,
        form=source.form,
    )


def refuse_read_and_ignored(source: ColumnFields) -> None:
    """Raises ValueError if a column is both read and ignored."""
    for ours, theirs in source.columns.items():
        if theirs in source.ignore_columns:
            raise ValueError(f"{theirs!r} is read as {ours!r} and ignored; expected one of the two")
