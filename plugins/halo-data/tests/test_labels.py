"""The values that a label may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from halo_core.errors import DataError
from halo_data.components import Jsonl

Write = Callable[..., str]


def rows(column: str, *values: Any) -> list[dict[str, Any]]:
    return [{"prompt": "q", "completion": f"a{i}", column: v} for i, v in enumerate(values)]


def read(path: str, **options: Any) -> tuple[list[bool], dict[str, int]]:
    loaded = Jsonl(path=path, **options).load("train")
    return [row["desirable"] for row in loaded.rows], dict(loaded.dropped)


@pytest.mark.parametrize(
    ("yes", "no"),
    [(True, False), (1, 0), (1.0, 0.0), ("true", "false"), ("True", "FALSE"), ("1", "0")],
)
def test_usual_labels_are_read(yes: Any, no: Any, write_rows: Write) -> None:
    assert read(write_rows(rows("label", yes, no))) == ([True, False], {})


def test_labels_say_what_the_values_of_the_data_mean(write_rows: Write) -> None:
    path = write_rows(rows("thumbs", "up", "down", "up"))
    options: dict[str, Any] = {"columns": {"label": "thumbs"}}
    labels = {"up": True, "down": False}
    assert read(path, **options, labels=labels) == ([True, False, True], {})
    found = Jsonl(path=path, **options, labels=labels).inspect().digest
    assert found != Jsonl(path=path, **options, labels={"up": False, "down": True}).inspect().digest


def test_labels_may_be_numbers_or_booleans(write_rows: Write) -> None:
    path = write_rows(rows("label", 1, 2, 2.0))
    labels: dict[Any, bool] = {1: False, 2: True}
    assert read(path, labels=labels)[0] == [False, True, True]
    assert Jsonl(path=path, labels={True: True, False: False}).labels == {
        "true": True,
        "false": False,
    }


def test_a_value_outside_of_the_usual_ones_is_an_error(write_rows: Write) -> None:
    path = write_rows(rows("rating", 1, 5))
    with pytest.raises(DataError) as caught:
        read(path, columns={"label": "rating"})
    assert str(caught.value) == (
        f"{path}:2: column 'rating' is 5 (int); expected true or false, 0 or 1. Say what each "
        "value means with labels, as in labels: {up: true, down: false}"
    )


def test_a_value_that_labels_does_not_name_is_an_error(write_rows: Write) -> None:
    path = write_rows(rows("label", "up", True))
    with pytest.raises(DataError) as caught:
        read(path, labels={"up": True, "down": False})
    assert str(caught.value) == (
        f"{path}:2: column 'label' is True (bool); expected up, down, which labels names. Say what "
        "each value means with labels, as in labels: {up: true, down: false}"
    )


@pytest.mark.parametrize("column", ["label", "desirable", "thumb"])
@pytest.mark.parametrize("values", [(True, None), (None, True), (None, None, True)])
def test_null_labels_are_a_counted_drop(
    column: str, values: tuple[Any, ...], write_rows: Write
) -> None:
    columns = {"label": "thumb"} if column == "thumb" else {}
    path = write_rows(rows(column, *values))
    assert read(path, columns=columns) == ([True], {"no label": len(values) - 1})


def test_a_label_that_is_null_in_all_rows_is_as_good_as_absent(write_rows: Write) -> None:
    source = Jsonl(path=write_rows(rows("label", None, None)))
    assert source.inspect().feedback == "demonstration"
    assert len(list(source.load("train").rows)) == 2


def test_labels_without_binary_feedback_have_no_effect(write_rows: Write) -> None:
    path = write_rows([{"prompt": "q", "completion": "a"}])
    with pytest.raises(DataError, match="labels has no effect on demonstration feedback; leave"):
        Jsonl(path=path, labels={"up": True}).inspect()


def test_labels_say_true_or_false() -> None:
    with pytest.raises(ValidationError, match=r"labels\.up"):
        Jsonl(path="x.jsonl", labels={"up": "good"})
