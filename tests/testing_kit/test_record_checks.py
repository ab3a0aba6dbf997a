"""The rule of records: ties, negative numbers and empty texts, in databases and in text files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded, Location
from halo_core.testing import check_data_source
from halo_core.testing.advice import KitAdvice
from halo_core.testing.data.compared_records import check_records
from halo_core.testing.data.rules import check_rows

QUESTIONS = 8
Answer = tuple[str, int]
"""A text, and its votes."""


class Votes(DataSource):
    """Pairs of the best and the worst answer of a file, which keeps the rules."""

    path: Annotated[str, Location()] = Field(description="The file.")

    def inspect(self) -> DataInfo:
        content = Path(self.path).read_bytes()
        return DataInfo("paired", ("train",), hashlib.sha256(content).hexdigest())

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; there is train")
        dropped: Counter[str] = Counter()
        return Loaded(self.rows(dropped), dropped)

    def rows(self, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
        for question, answers in self.answers().items():
            pair = self.pair([(text, votes) for text, votes in answers if text])
            if pair is None or not question:
                dropped["no two answers with different votes"] += 1
                continue
            prompt = [{"role": "user", "content": question}]
            yield {"prompt": prompt, "chosen": pair[0], "rejected": pair[1]}

    def pair(self, answers: Sequence[Answer]) -> tuple[str, str] | None:
        ordered = sorted(answers, key=lambda answer: answer[1])
        if len(ordered) < 2 or ordered[0][1] == ordered[-1][1]:
            return None
        return ordered[-1][0], ordered[0][0]

    def answers(self) -> dict[str, list[Answer]]:
        found: dict[str, list[Answer]] = {}
        for question, text, votes in self.records():
            found.setdefault(question, []).append((text, votes))
        return found

    def records(self) -> Iterator[tuple[str, str, int]]:
        if self.path.endswith(".csv"):
            with open(self.path, encoding="utf-8", newline="") as file:
                for each in csv.DictReader(file):
                    yield each["question"], each["answer"], int(each["votes"])
            return
        with closing(self.connect()) as db:
            yield from db.execute(
                "select q.asked, a.answer, a.votes from answers a join questions q on q.id = a.of"
            )

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)


class Quotient(Votes):
    """Divides the votes by the length, so that smaller votes may exchange the sides."""

    def pair(self, answers: Sequence[Answer]) -> tuple[str, str] | None:
        return super().pair([(text, votes * 100 // len(text)) for text, votes in answers])


class PrefersTies(Votes):
    def pair(self, answers: Sequence[Answer]) -> tuple[str, str] | None:
        ordered = sorted(answers, key=lambda answer: answer[1])
        return (ordered[-1][0], ordered[0][0]) if len(ordered) > 1 else None


class BeginsAt0(Votes):
    def rows(self, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
        for question, answers in self.answers().items():
            if not question:
                dropped["no question"] += 1
                continue
            best = max((votes for text, votes in answers if votes > 0), default=0)
            if best:
                pair = self.pair([(text, votes) for text, votes in answers if text])
                prompt = [{"role": "user", "content": question}]
                if pair is None:
                    dropped["equal"] += 1
                else:
                    yield {"prompt": prompt, "chosen": pair[0], "rejected": pair[1]}


class BeginsAtAnOption(BeginsAt0):
    """Says so in an option, and counts nothing all the same."""

    least: int = Field(default=1, ge=0, description="Fewest votes of the best answer.")


class IgnoresSigns(Votes):
    def pair(self, answers: Sequence[Answer]) -> tuple[str, str] | None:
        return super().pair([(text, abs(votes)) for text, votes in answers])


class TakesNull(Votes):
    def pair(self, answers: Sequence[Answer]) -> tuple[str, str] | None:
        return super().pair([(text, votes) for text, votes in answers if text.strip()])

    def rows(self, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
        for question, answers in self.answers().items():
            pair = self.pair(answers)
            if pair is None or not question:
                dropped["no pair"] += 1
            else:
                prompt = [{"role": "user", "content": question}]
                yield {"prompt": prompt, "chosen": pair[0], "rejected": pair[1]}


class Indexes(Votes):
    """Adds an index to the database of the user, once."""

    def connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path)
        db.execute("create index if not exists by_question on answers (of)")
        db.commit()
        return db


class Remembers(Votes):
    """Writes a file next to the one that it reads."""

    def records(self) -> Iterator[tuple[str, str, int]]:
        Path(self.path).with_suffix(".seen").write_text(json.dumps("seen"), "utf-8")
        return super().records()


def answers_of(number: int) -> list[Answer]:
    return [(f"Answer {n} to question {number}.", (5, 1, 3)[n] + number) for n in range(3)]


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "votes.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table questions (id integer primary key, asked text)")
        db.execute("create table answers (of integer, answer text, votes integer)")
        for number in range(QUESTIONS):
            db.execute("insert into questions values (?, ?)", (number, f"What is {number}?"))
            for text, votes in answers_of(number):
                db.execute("insert into answers values (?, ?, ?)", (number, text, votes))
        db.commit()
    return str(path)


@pytest.fixture
def table(tmp_path: Path) -> str:
    lines = ["question,answer,votes"]
    for number in range(QUESTIONS):
        lines += [f"What is {number}?,{text},{votes}" for text, votes in answers_of(number)[:3]]
    path = tmp_path / "votes.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


@pytest.mark.parametrize("cls", [Votes, Quotient])
@pytest.mark.parametrize("file", ["database", "table"])
def test_a_right_source_keeps_the_rule_of_records(
    cls: type[Votes], file: str, request: pytest.FixtureRequest, recwarn: pytest.WarningsRecorder
) -> None:
    check_records(cls(path=request.getfixturevalue(file)))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (PrefersTies, "and with equal numbers there it still gives "),
        (BeginsAt0, "8 rows are lost, and none of them is counted in `dropped`"),
        (IgnoresSigns, "8 pairs have the opposite sides; expected the larger number"),
    ],
)
@pytest.mark.parametrize("file", ["database", "table"])
def test_wrong_ties_and_negative_numbers_are_found(
    cls: type[Votes], message: str, file: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_records(cls(path=request.getfixturevalue(file)))


def test_rows_that_a_limit_may_leave_out_are_advice(database: str) -> None:
    with pytest.warns(KitAdvice, match="8 rows are lost, and none of them is counted"):
        check_records(BeginsAtAnOption(path=database))


def test_a_text_of_a_database_may_be_null(database: str) -> None:
    message = "with null in 'answer' of the table 'answers' of 'votes.db', it raised AttributeError"
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_records(TakesNull(path=database))


def test_a_source_that_writes_into_a_database_is_found_each_time(database: str) -> None:
    before = Path(database).read_bytes()
    for _ in range(2):
        with pytest.raises(AssertionError, match=re.escape("votes.db, a file of the user, or its")):
            check_data_source(Indexes(path=database))
        assert Path(database).read_bytes() == before


def test_a_source_that_writes_next_to_its_file_is_found(database: str) -> None:
    with pytest.raises(AssertionError, match=re.escape("votes.seen, a file of the user, or its")):
        check_data_source(Remembers(path=database))
    assert os.listdir(Path(database).parent) == ["votes.db"]


class WithANeighbour(Votes):
    """Reads a file next to the one of its option, which is right."""

    def inspect(self) -> DataInfo:
        beside = Path(self.path).with_name("names.txt").read_bytes()
        content = Path(self.path).read_bytes()
        return DataInfo("paired", ("train",), hashlib.sha256(content + beside).hexdigest())


def test_a_source_may_read_a_file_next_to_the_one_of_its_option(table: str) -> None:
    Path(table).with_name("names.txt").write_text("Ana", "utf-8")
    check_rows(WithANeighbour(path=table))
    check_data_source(WithANeighbour(path=table))
