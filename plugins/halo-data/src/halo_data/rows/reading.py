"""Reads rows of any known form, and keeps or drops each of them."""

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
from halo_data.rows.forms import SYNONYMS, Form, Given, Record, standard
from halo_data.rows.groups import own_group
from halo_data.rows.labels import label_of
from halo_data.rows.last_turn import LATER, without_later_turns
from halo_data.rows.messages import without_fields
from halo_data.rows.recognise import decision, recognise
from halo_data.rows.system_column import SYSTEM, with_system

TrainOn = Literal["last", "all"]
ABOUT: Mapping[Feedback, str] = {
    "binary": "its label is about the last turn",
    "paired": "it compares the last turns of two conversations",
    "scored": "its scores are about the last turn",
    "text": "it has no turns, and is learned whole",
    "prompts": "nothing is learned from it",
}
LABELS = ("label", *(theirs for theirs, ours in SYNONYMS.items() if ours == "label"))


LOOK = 1000
"""Maximum number of rows without a label that are read to find one with a label."""


@dataclass(frozen=True)
class Reading:
    """The options for reading rows.

    Attributes:
        columns: The name in the rows by standard name.
        ignore_fields: Fields of messages to leave out.
        train_on: The assistant turns of a conversation that are learned.
        labels: The meaning of each label by its spelling; the usual ones if empty.
        ignore_columns: Columns that are ignored on purpose.
        form: The name of the form of all rows; None to recognise it by the columns.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    ignore_fields: Sequence[str] = ()
    train_on: TrainOn = "last"
    labels: Mapping[str, bool] = field(default_factory=dict)
    ignore_columns: Sequence[str] = ()
    form: str | None = None

    def recognised(
        self, record: Record, ignored: Counter[str], *, labelled: bool = True
    ) -> tuple[Given, Form]:
        """Returns a row with standard names and without ignored fields, and its form.

        Args:
            record: The row as read.
            ignored: The counter of ignored columns.
            labelled: Whether a null column `label` has a meaning.

        Raises:
            DataError: When its form is unknown, or a column that looks like a label, a score or a
                preference would be ignored.
        """
        given = {n: v for n, v in record.given.items() if n not in self.ignore_columns}
        row = dict(standard(given, self.columns, record.place))
        if not labelled and row.get("label") is None:
            row.pop("label", None)
        form = recognise(row, record.place, self.form)
        # Alpaca's forms read this column themselves.
        if SYSTEM not in form.also and with_system(
            row, form.columns, mapped=SYSTEM in self.columns, place=record.place
        ):
            form = form.reading_also(SYSTEM)
        read = (*form.columns, *form.also)
        unread = unread_columns(given, self.columns, read, SYNONYMS, form.feedback)
        refuse_labels(unread, form.feedback, record.place)
        ignored.update(unread)
        for name in self.ignore_columns:
            # A name that no row has gets the count 0, so that it is reported.
            ignored[name] += record.given.get(name) is not None
        if form.rewrite is not None:
            row |= form.rewrite(row, record.place)
        if without_later_turns(row, form.columns):
            ignored[LATER] += 1
        return without_fields(row, self.ignore_fields) if self.ignore_fields else row, form

    def feedback(self, records: Iterable[Record]) -> Feedback | None:
        """Returns the kind of feedback of `decided`."""
        found = self.decided(records)
        return None if found is None else found[0]

    def decided(self, records: Iterable[Record]) -> tuple[Feedback, str] | None:
        """Returns the rows' kind of feedback by the first row, and how its columns are read.

        Returns None if there is no row.

        If that row has a null label, further rows are read. In a table, a column that is null in
        all rows counts as absent.

        Raises:
            DataError: When its form is unknown, or an option has no effect on its kind.
        """
        looked = list(self.until_clear(records))
        if not looked:
            return None
        labelled = len(looked) == LOOK or not self.is_unlabelled(looked[-1].given)
        _, form = self.recognised(looked[0], Counter(), labelled=labelled)
        self._check_options(form.feedback, looked[0].place)
        return form.feedback, decision(form, looked[0].given, self.columns)

    def until_clear(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yields as many records as are needed to find their kind of feedback."""
        for record in islice(records, LOOK):
            yield record
            if not self.is_unlabelled(record.given):
                return

    def is_unlabelled(self, given: Given) -> bool:
        """Returns whether a row has a label column that is null."""
        names = [self.columns["label"]] if "label" in self.columns else LABELS
        there = [given[name] for name in names if name in given and name not in self.ignore_columns]
        return bool(there) and all(value is None for value in there)

    def _check_options(self, feedback: Feedback, place: str) -> None:
        if self.train_on == "all" and feedback != "demonstration":
            raise DataError(
                f"train_on: all makes an example of each assistant turn, which {feedback} feedback "
                f"does not support: {ABOUT[feedback]}. Leave train_on out",
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
        """Option values, other than columns, that determine the rows; empty for the defaults."""
        options: tuple[str, ...] = ()
        if self.train_on != "last" or self.ignore_fields:
            options += (f"{self.train_on} {sorted(self.ignore_fields)}",)
        if self.labels or self.ignore_columns:
            options += (f"{sorted(self.labels.items())} {sorted(self.ignore_columns)}",)
        if self.form is not None:
            options += (f"form {self.form}",)
        return options


def read_records(
    records: Iterable[Record], reading: Reading, feedback: Feedback, ignored: Counter[str]
) -> Iterator[Row | Dropped]:
    """Yields each row, or the reason to drop it, in order.

    Args:
        records: The rows as read.
        reading: The options for reading.
        feedback: The kind of feedback that all rows must have.
        ignored: The counter of ignored columns.

    Raises:
        DataError: When a row cannot be read, or has another kind of feedback.
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
    """Yields the id of each example of a row, with the example or the reason to drop it."""
    if train_on == "last":
        yield record.id, form.read(given, record.place)
        return
    for number, outcome in enumerate(answers_of(given, record.place), start=1):
        yield f"{record.id}/turn{number}", outcome
