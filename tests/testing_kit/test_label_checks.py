"""The kit sees labels that are read as truth values, ties as preferences, lost turns and blanks."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Feedback, Loaded, Location
from halo_core.testing.advice import KitAdvice
from halo_core.testing.component import check_rules
from halo_core.testing.data.compared_labels import check_labels
from halo_core.testing.data.compared_records import check_records
from halo_core.testing.data.counted_lines import check_lines
from halo_core.testing.data.edited_records import Records, Rows

COUNT = 8


class Lines(DataSource):
    """A row for each line of a file of CSV or JSON."""

    path: Annotated[Path, Location()] = Field(description="The file.")

    def inspect(self) -> DataInfo:
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return DataInfo(self.kind_of_rows(), ("train",), digest)

    def kind_of_rows(self) -> Feedback:
        return "binary"

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        dropped: Counter[str] = Counter()
        return Loaded(self.rows(dropped), dropped)

    def rows(self, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
        for each in self.read():
            try:
                made = self.row(each)
            except (KeyError, AttributeError, TypeError):
                made = None
            if made is None:
                dropped["not complete"] += 1
            else:
                yield made

    def read(self) -> Iterator[dict[str, Any]]:
        with open(self.path, encoding="utf-8", newline="") as file:
            if self.path.suffix == ".csv":
                yield from csv.DictReader(file)
                return
            for number, line in enumerate(file, 1):
                try:
                    found = json.loads(line) if line.strip() else None
                except ValueError as error:
                    raise DataError(f"{self.path}, line {number}: no JSON") from error
                if found is not None:
                    yield found

    def row(self, each: dict[str, Any]) -> dict[str, Any] | None:
        """Returns a labelled row; None if a cell is empty."""
        if not (each["asked"].strip() and each["said"].strip() and each["thumb"]):
            return None
        label = self.label(each["thumb"])
        if label is None:
            return None
        return {"prompt": asked(each["asked"]), "completion": each["said"], "desirable": label}

    def label(self, thumb: str) -> bool | None:
        return {"1": True, "0": False}.get(thumb)


class AllGood(Lines):
    """A file in which all answers are desirable, of two groups."""

    def label(self, thumb: str) -> bool | None:
        return True


class ByTruth(Lines):
    def label(self, thumb: str) -> bool | None:
        return bool(thumb)


class EmptyIsBad(Lines):
    """Takes an answer without a thumb for an undesirable one."""

    def row(self, each: dict[str, Any]) -> dict[str, Any] | None:
        if not (each["asked"].strip() and each["said"].strip()):
            return None
        label = self.label(each["thumb"])
        if label is None:
            return None
        return {"prompt": asked(each["asked"]), "completion": each["said"], "desirable": label}

    def label(self, thumb: str) -> bool | None:
        return thumb == "1"


class NullIsGood(EmptyIsBad):
    def label(self, thumb: str) -> bool | None:
        return None if thumb == "" else thumb != "0"


class Pairs(Lines):
    def kind_of_rows(self) -> Feedback:
        return "paired"

    def row(self, each: dict[str, Any]) -> dict[str, Any] | None:
        sides = each["one"], each["two"]
        if not (each["asked"].strip() and all(side.strip() for side in sides)):
            return None
        order = self.order(each["winner"])
        if order is None or sides[0] == sides[1]:
            return None
        better, worse = (sides[place] for place in order)
        return {"prompt": asked(each["asked"]), "chosen": better, "rejected": worse}

    def order(self, winner: str) -> tuple[int, int] | None:
        return {"one": (0, 1), "two": (1, 0)}.get(winner)


class TiesForTwo(Pairs):
    def order(self, winner: str) -> tuple[int, int] | None:
        return ((0, 1) if winner == "one" else (1, 0)) if winner else None


class Talks(Lines):
    """The last answer of each conversation."""

    def kind_of_rows(self) -> Feedback:
        return "demonstration"

    def row(self, each: dict[str, Any]) -> dict[str, Any] | None:
        *turns, last = each["turns"]
        if not last["content"].strip():
            return None
        return {"prompt": self.kept(turns), "completion": last["content"]}

    def kept(self, turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return turns


class LastQuestion(Talks):
    """Leaves out all turns before the last question, which may be on purpose."""

    def kept(self, turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return turns[-1:]


class Questions(Talks):
    def kept(self, turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [turn for turn in turns if turn["role"] == "user"]


class Code(Lines):
    def kind_of_rows(self) -> Feedback:
        return "demonstration"

    def row(self, each: dict[str, Any]) -> dict[str, Any] | None:
        if not (each["task"].strip() and each["code"].strip()):
            return None
        return {"prompt": asked(each["task"]), "completion": self.text(each["code"])}

    def text(self, code: str) -> str:
        return code


class Stripped(Code):
    def text(self, code: str) -> str:
        return code.strip()


def asked(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


THUMBS = ["asked,said,thumb", *(f"What is {n}?,It is {n}.,{n % 2}" for n in range(COUNT))]
NOTED = [
    json.dumps({"asked": f"What is {n}?", "said": f"It is {n}.", "thumb": str(n % 2)})
    for n in range(COUNT)
]
GROUPS = ["asked,said,thumb,group", *(f"What is {n}?,It is {n}.,1,{n % 2}" for n in range(COUNT))]
ARENA = [
    "asked,one,two,winner",
    *(f"What is {n}?,It is {n}.,Not {n}.,{('one', 'two')[n % 2]}" for n in range(COUNT)),
]
TALKS = [
    json.dumps(
        {
            "turns": [
                {"role": "user", "content": f"What is {n}?"},
                {"role": "assistant", "content": f"It is {n}."},
                {"role": "user", "content": f"Why {n}?"},
                {"role": "assistant", "content": f"Because of {n}."},
            ]
        }
    )
    for n in range(COUNT)
]
CODE = [json.dumps({"task": f"Add {n}.", "code": f"    x += {n}\n"}) for n in range(COUNT)]


def written(folder: Path, lines: list[str]) -> Path:
    file = folder / ("rows.jsonl" if lines[0].startswith("{") else "rows.csv")
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


RIGHT: list[tuple[type[Lines], list[str]]] = [
    (Lines, THUMBS),
    (AllGood, GROUPS),
    (Pairs, ARENA),
    (Talks, TALKS),
    (LastQuestion, TALKS),
    (Code, CODE),
]


def test_the_second_of_two_columns_of_labels_is_looked_at_too(tmp_path: Path) -> None:
    lines = [f"What is {n}?,It is {n}.,1,{n % 2}" for n in range(COUNT)]
    source = AllGood(path=written(tmp_path, ["asked,said,thumb,liked", *lines]))
    with pytest.raises(AssertionError, match=r"desirable=True, whether 'liked' of 'rows\.csv' is"):
        check_records(source)


def test_a_table_without_records_has_no_labels() -> None:
    rows = Rows([{"desirable": True}, {"desirable": False}, {"desirable": True}])
    empty = Records("the table 'ratings'", {"rating": []}, lambda _: rows, True)
    check_labels(Lines(path=Path("rows.db")), empty, rows)


@pytest.mark.parametrize(("cls", "lines"), RIGHT)
def test_right_labels_and_turns_pass(
    cls: type[Lines], lines: list[str], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    source = cls(path=written(tmp_path, lines))
    check_records(source)
    check_lines(source)
    assert not recwarn.list


BROKEN: list[tuple[type[Lines], list[str], str]] = [
    (ByTruth, THUMBS, "all 8 rows have desirable=True, whether 'thumb' of 'rows.csv' is '0' or"),
    (
        EmptyIsBad,
        THUMBS,
        "if 'thumb' is empty in all records of 'rows.csv', 8 rows have desir",
    ),
    (
        NullIsGood,
        NOTED,
        "if 'thumb' is null in all records of 'rows.jsonl', 8 rows have desir",
    ),
    (TiesForTwo, ARENA, "and with 'tie' there it still gives 8 pairs; expected pairs for known"),
    (Questions, TALKS, "a prompt has the turns of the user before and after ['It is 0.'], an"),
    (Stripped, CODE, "and 'completion' is ['x += 7']; give the blanks and line breaks at the ends"),
]


@pytest.mark.parametrize(("cls", "lines", "message"), BROKEN)
def test_wrong_labels_and_turns_are_found(
    cls: type[Lines], lines: list[str], message: str, tmp_path: Path
) -> None:
    checks = {"lines": check_lines, "records": check_records}
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_rules(cls(path=written(tmp_path, lines)), checks)


class NoNumber(Lines):
    """Fails at a cell that is not a number."""

    def rows(self, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
        for each in self.read():
            if not all(each.get(name) for name in ("asked", "said")):
                dropped["not complete"] += 1
                continue
            label = int(each["thumb"] or 0) > 0
            yield {"prompt": asked(each["asked"]), "completion": each["said"], "desirable": label}


class TooMany(Lines):
    def read(self) -> Iterator[dict[str, Any]]:
        for each in super().read():
            yield {name.strip(): value for name, value in each.items()}


def test_an_error_at_a_text_in_place_of_a_number_is_advice(tmp_path: Path) -> None:
    with pytest.warns(KitAdvice, match=r"lines with a text in cell 3, .* it raised ValueError"):
        check_lines(NoNumber(path=written(tmp_path, THUMBS)))


def test_an_error_at_a_cell_too_many_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"lines with a cell too many, .* AttributeError"):
        check_lines(TooMany(path=written(tmp_path, THUMBS)))
