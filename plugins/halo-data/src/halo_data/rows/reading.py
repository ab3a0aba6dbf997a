"""How rows of any known form are read, and what becomes of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_data.rows.answers import answers_of, shared
from halo_data.rows.columns import refuse_labels, unread_columns
from halo_data.rows.dropped import Dropped, Row
from halo_data.rows.forms import SYNONYMS, Form, Given, Record, recognise, standard
from halo_data.rows.groups import own_group
from halo_data.rows.labels import label_of
from halo_data.rows.messages import without_fields

TrainOn = Literal["last", "all"]
ABOUT: Mapping[Feedback, str] = {
    "binary": "its label is about the last turn",
    "paired": "it compares the last turns of two conversations",
    "scored": "its scores are about the last turn",
    "text": "it has no turns, and is learned whole",
}
LABELS = ("label", *(theirs for theirs, ours in SYNONYMS.items() if ours == "label"))


LOOK = 1000
"""Rows without a label that are looked at to find out whether any has one."""


@dataclass(frozen=True)
class Reading:
    """How rows are read.

    Attributes:
        columns: Standard name to the name in the rows.
        ignore_fields: Fields of messages that are left out.
        train_on: Which assistant turns of a conversation are learned.
        labels: What a label says, by how it is written; the usual ones when empty.
        ignore_columns: Columns that are ignored on purpose.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    ignore_fields: Sequence[str] = ()
    train_on: TrainOn = "last"
    labels: Mapping[str, bool] = field(default_factory=dict)
    ignore_columns: Sequence[str] = ()

    def recognised(
        self, record: Record, ignored: Counter[str], *, labelled: bool = True
    ) -> tuple[Given, Form]:
        """Returns a row with standard names, and messages without what is left out, and its form.

        Args:
            record: The row as it came.
            ignored: Where columns that are ignored are counted.
            labelled: Whether a column `label` that is null means anything.

        Raises:
            DataError: When it is of no known form, or a column that looks like a label, a score or
                a preference would be ignored.
        """
        given = {n: v for n, v in record.given.items() if n not in self.ignore_columns}
        row = dict(standard(given, self.columns, record.place))
        if not labelled and row.get("label") is None:
            row.pop("label", None)
        form = recognise(row, record.place)
        unread = unread_columns(given, self.columns, form.columns, SYNONYMS, form.feedback)
        refuse_labels(unread, form.feedback, record.place)
        ignored.update(unread)
        for name in self.ignore_columns:
            # With 0 for a name that no row has, so that it is told.
            ignored[name] += record.given.get(name) is not None
        return without_fields(row, self.ignore_fields) if self.ignore_fields else row, form

    def feedback(self, records: Iterable[Record]) -> Feedback | None:
        """Returns the kind of rows by the first of them; None where there is none.

        Where that one has a label that is null, others are looked at: in a table, a column that is
        null in all rows is as good as absent.

        Raises:
            DataError: When it is of no known form, or an option says nothing about its kind.
        """
        looked = list(self.until_clear(records))
        if not looked:
            return None
        labelled = len(looked) == LOOK or not self.is_unlabelled(looked[-1].given)
        _, form = self.recognised(looked[0], Counter(), labelled=labelled)
        self._check_options(form.feedback, looked[0].place)
        return form.feedback

    def until_clear(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yields as many records as it takes to tell what kind they are."""
        for record in islice(records, LOOK):
            yield record
            if not self.is_unlabelled(record.given):
                return

    def is_unlabelled(self, given: Given) -> bool:
        """Returns whether a row has a column for a label that is null."""
        names = [self.columns["label"]] if "label" in self.columns else LABELS
        there = [given[name] for name in names if name in given and name not in self.ignore_columns]
        return bool(there) and all(value is None for value in there)

    def _check_options(self, feedback: Feedback, place: str) -> None:
        if self.train_on == "all" and feedback != "demonstration":
            raise DataError(
                f"train_on: all makes an example of each assistant turn, which {feedback} feedback "
                f"has no word about: {ABOUT[feedback]}. Leave train_on out",
                location=place,
            )
        if self.labels and feedback != "binary":
            raise DataError(
                f"labels has no effect on {feedback} feedback; leave it out, or name the column "
                "that holds the labels: columns: {label: NAME}",
                location=place,
            )

    @property
    def options(self) -> tuple[str, ...]:
        """What decides on the rows besides their columns; nothing where all is as by default."""
        options: tuple[str, ...] = ()
        if self.train_on != "last" or self.ignore_fields:
            options += (f"{self.train_on} {sorted(self.ignore_fields)}",)
        if self.labels or self.ignore_columns:
            options += (f"{sorted(self.labels.items())} {sorted(self.ignore_columns)}",)
        return options


def read_records(
    records: Iterable[Record], reading: Reading, feedback: Feedback, ignored: Counter[str]
) -> Iterator[Row | Dropped]:
    """Yields what becomes of each row, in order.

    Args:
        records: Rows as they came.
        reading: How they are read.
        feedback: The kind that all rows must have.
        ignored: Where columns that are ignored are counted.

    Raises:
        DataError: When a row cannot be read, or is of another kind.
    """
    column = reading.columns.get("label", "label")
    for record in records:
        given, form = reading.recognised(record, ignored, labelled=feedback == "binary")
        if form.feedback != feedback:
            raise DataError(
                f"a row of {form.feedback} feedback ({' + '.join(form.columns)}) among rows of "
                f"{feedback} feedback; expected one kind: put each into a source of its own",
                location=record.place,
            )
        if "label" in form.columns and given["label"] is not None:
            label = label_of(given["label"], reading.labels, column, record.place)
            given = {**given, "label": label}
        further: dict[str, Any] = own_group(given, record.place)
        if feedback != "text":
            further |= shared(given, record.place)
        for id_, outcome in _outcomes(record, given, form, reading.train_on):
            if not isinstance(outcome, Dropped):
                outcome = {"id": id_, **outcome, **further}
            yield outcome


def _outcomes(
    record: Record, given: Given, form: Form, train_on: TrainOn
) -> Iterator[tuple[str, Row | Dropped]]:
    """Yields the id and what becomes of each example that a row makes."""
    if train_on == "last":
        yield record.id, form.read(given, record.place)
        return
    for number, outcome in enumerate(answers_of(given, record.place), start=1):
        yield f"{record.id}/turn{number}", outcome
