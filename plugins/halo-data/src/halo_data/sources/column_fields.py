"""The options of `jsonl` and `hub` that describe the columns of your own data."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from halo_core.component import Added
from halo_data.rows.forms import STANDARD_COLUMNS
from halo_data.rows.labels import spelling
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


Columns = Annotated[dict[str, str], AfterValidator(_known)]
"""Column names in the data, by standard name."""
COLUMNS_DESCRIPTION = "Column names in the data by standard name, e.g. {completion: answer}"
Labels = Annotated[dict[str, bool], BeforeValidator(_spelt), Added()]
"""Meanings of the values in the column `label`."""
LABELS_DESCRIPTION = (
    "Whether each value of the label means desirable, e.g. {up: true, down: false}; default true "
    "and false, 1 and 0"
)
IgnoreColumns = Annotated[list[str], Added()]
"""Columns to ignore."""
IGNORE_DESCRIPTION = (
    "Columns to ignore even if they look like a label, a score or a preference, or would be read"
)


def _form(name: str | None) -> str | None:
    if name is not None and name not in NAMES:
        raise ValueError(f"{name!r} is not a form; expected one of {'; '.join(NAMES)}")
    return name


FormName = Annotated[str | None, AfterValidator(_form), Added()]
"""The name of the form of all rows."""
FORM_DESCRIPTION = (
    "The form of all rows, if their columns fit two forms: the columns that it reads, for example "
    "prompt + completion; default the one that fits"
)
TRAIN_ON_DESCRIPTION = (
    "Assistant turns of a conversation to learn: last, or all, each as a separate example with the "
    "turns before it as the prompt; only for demonstrations"
)
IgnoreFields = Annotated[list[str], Added()]
"""Fields of messages to leave out."""
IGNORE_FIELDS_DESCRIPTION = "Fields of messages to leave out, such as [timestamp]"


def refuse_read_and_ignored(columns: dict[str, str], ignore_columns: list[str]) -> None:
    """Raises ValueError if a column is both read and ignored."""
    for ours, theirs in columns.items():
        if theirs in ignore_columns:
            raise ValueError(f"{theirs!r} is read as {ours!r} and ignored; expected one of the two")
