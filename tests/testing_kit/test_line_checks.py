"""The rules about the lines and the texts of a file that a data source reads."""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded, Location
from halo_core.testing.advice import KitAdvice
from halo_core.testing.component import check_rules
from halo_core.testing.data.counted_lines import check_lines
from halo_core.testing.data.edited_lines import EditedFile
from halo_core.testing.data.file_texts import check_texts
from halo_core.testing.data.named_files import check_files
from halo_core.testing.data.readings import check_readings

LEFT = threading.Event()
KEPT: dict[str, bytes] = {}


class Table(DataSource):
    """Demonstrations of a file with two cells in a line, which keeps the rules."""

    path: Annotated[Path, Location()] = Field(description="The file.")

    def content(self) -> bytes:
        return self.path.read_bytes()

    def inspect(self) -> DataInfo:
        digest = hashlib.sha256(self.content()).hexdigest()
        return DataInfo("demonstration", ("train", "test"), digest)

    def load(self, split: str) -> Loaded:
        if split not in ("train", "test"):
            raise DataError(f"no split {split!r}; there are train and test")
        dropped: Counter[str] = Counter()
        return Loaded(self.rows(split, dropped), dropped)

    def rows(self, split: str, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self.lines()):
            question, *answers = self.cells(line)
            if (number % 4 == 3) != (split == "test"):
                continue
            if len(answers) != 1 or not answers[0].strip() or not question:
                self.drop(dropped, number)
                continue
            prompt = [{"role": "user", "content": question}]
            yield {"prompt": prompt, "completion": self.text(answers[0])}

    def lines(self) -> list[str]:
        text = self.content().decode("utf-8").replace("\r\n", "\n")
        return text.removesuffix("\n").split("\n") if text else []

    def cells(self, line: str) -> list[str]:
        return line.split("\t")

    def text(self, answer: str) -> str:
        return answer

    def drop(self, dropped: Counter[str], number: int) -> None:
        dropped["no answer"] += 1


class Objects(Table):
    """Reads an object of JSON in each line."""

    def cells(self, line: str) -> list[str]:
        try:
            found = json.loads(line)
        except ValueError as error:
            raise DataError(f"no JSON: {error}", location=str(self.path)) from error
        return [found.get("asked", ""), found.get("said", "")]


class PassesOverJson(Objects):
    def lines(self) -> list[str]:
        found = []
        for line in super().lines():
            with suppress(ValueError):
                found.append(json.dumps(json.loads(line)))
        return found


class Comments(Table):
    """Has a first line, comments and empty lines in its file, which give nothing."""

    def lines(self) -> list[str]:
        return [line for line in super().lines()[1:] if line and not line.startswith("#")]


class First(Table):
    """Reads the first lines only, as its option says."""

    most: int = Field(default=3, ge=1, le=10**6, description="Lines.")

    def lines(self) -> list[str]:
        return super().lines()[: self.most]


class LeavesOut(Table):
    """Leaves out answers with the words of a second file, of which none may be there."""

    words: Annotated[Path, Location()] = Field(description="A word in each line.")

    def lines(self) -> list[str]:
        words = {*self.words.read_text("utf-8").split()}
        return [line for line in super().lines() if not words & {*line.split()}]


class LosesInTheSecond(Table):
    """Reads two files, and does not count what it drops of the second one."""

    more: Annotated[Path, Location()] = Field(description="The second file.")

    def lines(self) -> list[str]:
        return [*super().lines(), *self.more.read_text("utf-8").splitlines()]

    def drop(self, dropped: Counter[str], number: int) -> None:
        if number < len(super().lines()):
            super().drop(dropped, number)


class CutsInTheSecond(LosesInTheSecond):
    def lines(self) -> list[str]:
        return [*Table.lines(self), *(each[:500] for each in self.more.read_text().splitlines())]


class Groups(Table):
    """Makes a row of all lines with the same question, so that a line may change nothing."""

    def lines(self) -> list[str]:
        best = {line.partition("\t")[0]: line for line in sorted(super().lines())}
        return [*best.values()]


class Glossary(Table):
    """Reads a word and its meaning in each line."""

    def cells(self, line: str) -> list[str]:
        return line.split(" = ")


class SkipsWords(Glossary):
    def lines(self) -> list[str]:
        return [line for line in super().lines() if " = " in line]


class KeepsItsCounts(Table):
    counts: ClassVar[Counter[str]] = Counter()

    def load(self, split: str) -> Loaded:
        return Loaded(self.rows(split, self.counts), self.counts)


class Silent(Table):
    def drop(self, dropped: Counter[str], number: int) -> None:
        pass


class LosesTheLast(Table):
    def lines(self) -> list[str]:
        return self.content().decode("utf-8").split("\n")[:-2]


class CountsInBoth(Table):
    def load(self, split: str) -> Loaded:
        super().load(split)
        dropped: Counter[str] = Counter()
        list(self.rows("test" if split == "train" else "train", dropped))
        return Loaded(self.rows(split, dropped), dropped)


class NamesTheLine(Table):
    def drop(self, dropped: Counter[str], number: int) -> None:
        dropped[f"line {number} has no answer"] += 1


class ReadsAnother(Table):
    def content(self) -> bytes:
        return KEPT.setdefault(self.path.name, self.path.read_bytes())


class OnlyAscii(Table):
    def text(self, answer: str) -> str:
        return answer.encode("ascii", "ignore").decode()


class Lowers(Table):
    def text(self, answer: str) -> str:
        return answer.lower()


class Normalises(Table):
    def text(self, answer: str) -> str:
        return unicodedata.normalize("NFKC", answer)


class Composes(Table):
    def text(self, answer: str) -> str:
        return unicodedata.normalize("NFC", answer)


class Cuts(Table):
    def text(self, answer: str) -> str:
        return answer[:500]


class CutsByOption(Cuts):
    most: int = Field(default=500, ge=1, le=10**6, description="Characters.")

    def text(self, answer: str) -> str:
        return answer[: self.most]


class SeedsAll(Table):
    def lines(self) -> list[str]:
        random.seed(0)
        return sorted(super().lines(), key=lambda _: random.random())


class LeavesAThread(Table):
    def lines(self) -> list[str]:
        threading.Thread(target=LEFT.wait, args=(9,), daemon=True).start()
        return super().lines()


class AsksAServer(Table):
    def content(self) -> bytes:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", 9), timeout=0.1).close()
        return super().content()


class CutsToAThousand(Cuts):
    """Has an option that is not a number of characters."""

    stars: int = Field(default=4, ge=1, le=5, description="Least number of stars.")


class KeepsReturns(Table):
    def lines(self) -> list[str]:
        return self.content().decode("utf-8").removesuffix("\n").split("\n")


class NeedsAnEnd(Table):
    def lines(self) -> list[str]:
        return self.content().decode("utf-8").replace("\r", "").split("\n")[:-1]


class Splits(Objects):
    def lines(self) -> list[str]:
        return self.content().decode("utf-8").splitlines()


class SplitsAndDrops(Splits):
    def cells(self, line: str) -> list[str]:
        try:
            return super().cells(line)
        except DataError:
            return ["", ""]


class SkipsTheFirst(Objects):
    def lines(self) -> list[str]:
        return super().lines()[1:]


class Exchanged(Objects):
    """Lines of JSON: an answer and a question."""

    def cells(self, line: str) -> list[str]:
        try:
            found = json.loads(line)
        except ValueError as error:
            raise DataError(f"no JSON: {error}", location=str(self.path)) from error
        return [found.get("answer", ""), found.get("question", "")]


class Rated(Table):
    """Answers with stars, of which many are good."""

    good: int = Field(default=4, ge=2, le=5, description="Least number of stars.")

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), feedback="binary")

    def rows(self, split: str, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self.lines()):
            try:
                found = json.loads(line)
                stars, text = found["stars"], found["answer"]
                prompt = [{"role": "user", "content": found["question"]}]
            except (ValueError, KeyError) as error:
                raise DataError(f"line {number}: {error!r}") from error
            if (number % 4 == 3) != (split == "test"):
                continue
            if not text or not prompt[0]["content"] or self.unrated(stars):
                dropped["no answer, or no stars"] += 1
            else:
                label = self.label(stars)
                yield {"prompt": prompt, "completion": text, "desirable": label}

    def unrated(self, stars: int | None) -> bool:
        return stars is None

    def label(self, stars: int | None) -> bool:
        return (stars or 0) >= self.good


class NullIsBad(Rated):
    def unrated(self, stars: int | None) -> bool:
        return False


class FewStarsAreGood(Rated):
    def label(self, stars: int | None) -> bool:
        return (stars or 0) < self.good


class Worse(Table):
    """Pairs of a table: question, better answer, worse answer."""

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), feedback="paired")

    def rows(self, split: str, dropped: Counter[str]) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self.lines()):
            if (number % 4 == 3) != (split == "test"):
                continue
            cells = self.cells(line)
            if len(cells) != 3 or not all(cells) or cells[1] == cells[2]:
                dropped["no pair"] += 1
            else:
                prompt = [{"role": "user", "content": cells[0]}]
                yield {"prompt": prompt, "chosen": cells[2], "rejected": cells[1]}


class AsksForTheSecond(Worse):
    def cells(self, line: str) -> list[str]:
        question, *answers = super().cells(line)
        return [question, answers[0], *answers[1:]] if line else []


RATED = "".join(
    json.dumps({"question": f"Why {n}?", "answer": f"Since {n}.", "stars": 1 + n % 5}) + "\n"
    for n in range(15)
)
PAIRS = "".join(f"Why {n}?\tSince {n}.\tNo idea of {n}.\n" for n in range(12))

TABLE = "".join(f"What is {n}?\t{'' if n == 5 else f'Naïve Answer {n}.'}\n" for n in range(12))
OBJECTS = "".join(
    json.dumps({"asked": f"What is {n}?", "said": f"Answer {n}.", "n": n}) + "\n" for n in range(12)
)
ESCAPED = "".join(
    json.dumps(
        {"asked": f"{n}?", "said": "\u725b" * (n + 4), "kind": "\u725b" * 6 if n == 0 else ""}
    )
    + "\n"
    for n in range(12)
)
NOT_READ = "".join(
    json.dumps({"asked": f"What is {n}?", "said": f"Moo {n + 10}", "kind": "" if n else "Moo 11"})
    + "\n"
    for n in range(12)
)
MEANINGS = "".join(f"the word {n} = its meaning {n}\n" for n in range(12))
COMPLETE = TABLE.replace("\t\n", "\tAnswer 5.\n")
LARGE_CELL = TABLE + f"What is 12?\t{'moo ' * 35_000}\n"
COMMENTED = f"question\tanswer\n# These are answers.\n\n{TABLE}"
GROUPED = "".join(f"What is {n // 3}?\tAnswer {n}.\n" for n in range(12))


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    KEPT.clear()
    LEFT.clear()
    yield
    LEFT.set()


def made(cls: type[DataSource], folder: Path, content: str = TABLE) -> DataSource:
    file = folder / "table.tsv"
    file.write_text(content, "utf-8")
    return cls.model_validate({"path": file})


@pytest.mark.parametrize(
    ("cls", "content"),
    [
        (Table, TABLE),
        (Table, TABLE.rstrip("\n")),
        (Objects, OBJECTS),
        (Objects, ESCAPED),
        (Objects, NOT_READ),
        (Table, LARGE_CELL),
        (Comments, COMMENTED),
        (First, TABLE),
        (Groups, GROUPED),
        (Rated, RATED),
        (Glossary, MEANINGS),
        (Table, COMPLETE),
    ],
)
def test_a_right_source_keeps_the_rules_of_lines(
    cls: type[DataSource], content: str, tmp_path: Path
) -> None:
    source = made(cls, tmp_path, content)
    for check in (check_lines, check_texts, check_readings, check_files):
        check(source)


@pytest.mark.parametrize(
    ("cls", "check", "message"),
    [
        (Silent, check_lines, "line 6 of 'table.tsv', .*, has the form of the others, gives no"),
        (LosesTheLast, check_lines, "the last line of 'table.tsv', .*, gives no row: without it"),
        (CountsInBoth, check_lines, "line 6 of 'table.tsv', .*, gives no row and is counted 2"),
        (NamesTheLine, check_lines, "4 reasons, of which 4 are like 'line N has no answer'"),
        (ReadsAnother, check_lines, "no line of 'table.tsv' has an effect"),
        (OnlyAscii, check_texts, "'table.tsv' has it with letters that are not ASCII"),
        (Lowers, check_texts, "'table.tsv' has it with other capital letters"),
        (Normalises, check_texts, "has letters of several scripts in a line of 'table.tsv'"),
        (Composes, check_texts, "has letters of several scripts in a line of 'table.tsv'"),
        (Cuts, check_texts, "'completion' has a long text in a line of 'table.tsv' that ends"),
        (SeedsAll, check_readings, "seeds the random generator of random"),
        (LeavesAThread, check_readings, "after load.., its thread .* still runs"),
        (AsksAServer, check_files, "it asks 127.0.0.1.* while it reads the files"),
    ],
)
def test_a_source_that_breaks_a_rule_of_lines_is_found(
    cls: type[DataSource], check: Callable[[DataSource], None], message: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=message):
        check(made(cls, tmp_path))


@pytest.mark.parametrize(
    ("cls", "content", "message"),
    [
        (SkipsWords, MEANINGS, "4 lines with the first word only, such as 'the', at the end of"),
        (KeepsItsCounts, COMPLETE, "it counts 7 dropped rows, and 15 when it is read again"),
        (KeepsReturns, TABLE, "with the line ends of Windows, 11 rows are lost, and 11 are new"),
        (NeedsAnEnd, TABLE, "without a line end after its last line, 1 rows are lost"),
        (Splits, OBJECTS, "with the line separator U+2028, at which splitlines() ends a line,"),
        (SplitsAndDrops, OBJECTS, "the row is dropped (no answer); expected the text: read the"),
        (SkipsTheFirst, OBJECTS, "A file of JSON lines has no header"),
        (Exchanged, RATED, "the prompts are from the column 'answer' of 'table.tsv'"),
        (NullIsBad, RATED, "in which 'stars' is null has the label False"),
        (FewStarsAreGood, RATED, "with the largest 'stars' that people like is undesirable"),
        (Worse, PAIRS, "what is chosen is from the column 'worse answer' of 'table.tsv'"),
        (AsksForTheSecond, PAIRS, "lines with the first cell only, such as"),
        (CutsToAThousand, TABLE, "'completion' has a long text in a line of 'table.tsv'"),
    ],
)
def test_a_form_or_a_column_that_is_read_wrongly_is_found(
    cls: type[DataSource], content: str, message: str, tmp_path: Path
) -> None:
    source = made(cls, tmp_path, content)
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_rules(source, (check_lines, check_texts))


def test_a_file_without_an_effect_next_to_one_that_is_read_is_right(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("goat\nhen\nduck\nhorse\nsheep\n", "utf-8")
    source = LeavesOut(path=made(Table, tmp_path).path, words=words)
    check_lines(source)
    check_texts(source)


@pytest.mark.parametrize(
    ("cls", "check", "message"),
    [
        (LosesInTheSecond, check_lines, "line 6 of 'more.tsv', .*, has the form of the others"),
        (CutsInTheSecond, check_texts, "a long text in a line of 'more.tsv' that ends"),
    ],
)
def test_the_edits_of_one_file_are_taken_back_before_the_next_one(
    cls: Any, check: Callable[[DataSource], None], message: str, tmp_path: Path
) -> None:
    more = tmp_path / "more.tsv"
    more.write_text(TABLE.replace("What is", "Who is") + "Who is 12?\tA cow.\n" * 20, "utf-8")
    with pytest.raises(AssertionError, match=message):
        check(cls(path=made(Table, tmp_path).path, more=more))


def test_lines_end_with_a_line_feed_only(tmp_path: Path) -> None:
    source: Any = made(Table, tmp_path, TABLE.replace("Answer 3", "Answer\u2028 3\x0c"))
    assert len(EditedFile(source, source.path).lines) == 12


def test_lines_of_broken_json_that_are_not_counted_are_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"4 lines of broken JSON, .*, give no"):
        check_lines(made(PassesOverJson, tmp_path, OBJECTS))


def test_a_cut_that_an_option_may_mean_is_advice(tmp_path: Path) -> None:
    with pytest.warns(KitAdvice, match="is an option the number of characters of a text"):
        check_texts(made(CutsByOption, tmp_path))
