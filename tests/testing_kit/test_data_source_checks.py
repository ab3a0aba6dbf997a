import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded
from halo_core.testing.advice import KitAdvice
from halo_core.testing.data.data_identity import check_digest
from halo_core.testing.data.rules import check_rows
from halo_core.testing.data.source_options import check_other_options

PROMPT = [{"role": "user", "content": "hi"}]
GOOD = [
    {"prompt": PROMPT, "completion": "hello", "desirable": True},
    {"prompt": PROMPT, "completion": "go away", "desirable": False, "id": "row 1"},
]
INFO = DataInfo("binary", ("train", "test"), "0123")


def load_good(split: str) -> Loaded:
    if split not in INFO.splits:
        raise DataError(f"no split {split!r}; expected train or test")
    rows = [{**row, "completion": f"{row['completion']}, {split}"} for row in GOOD]
    return Loaded(iter(rows), {"empty completion": 3})


def source(
    load: Callable[[str], Loaded] = load_good, inspect: Callable[[], DataInfo] = lambda: INFO
) -> DataSource:
    class Made(DataSource):
        def inspect(self) -> DataInfo:
            return made_inspect()

        def load(self, split: str) -> Loaded:
            return made_load(split)

    made_load, made_inspect = load, inspect
    return Made()


def rows_of(rows: Sequence[dict[str, object]], feedback: Any = "binary") -> DataSource:
    """A source whose splits have these rows."""

    def load(split: str) -> Loaded:
        return Loaded(iter(rows)) if split == "train" else load_good(split)

    return source(load, lambda: DataInfo(feedback, ("train",), "0123"))


def test_a_good_source_passes() -> None:
    check_rows(source())


def changed(**columns: object) -> list[dict[str, object]]:
    return [{**GOOD[0], **columns}]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (rows_of([]), "load('train') has no rows, and counts none"),
        (
            source(lambda s: Loaded([], {"all": 2}) if s in INFO.splits else load_good(s)),
            "no split has a row: all of train, test are dropped",
        ),
        (rows_of(changed(group=0.5)), "'group' is 0.5; expected a text or a whole number"),
        (rows_of(changed(group=True)), "'group' is True; expected a text or a whole number"),
        (rows_of(changed(completion="\ufeffHi")), "a text begins with the byte order mark"),
        (rows_of(changed(prompt=[{"role": "user", "content": "\ufeffHi"}])), "the byte order mark"),
        (rows_of([{"prompt": PROMPT}]), "row 0 of 'train' has no 'completion'; binary feedback"),
        (rows_of(changed(completion="")), "'completion' is empty; drop the row and count it"),
        (rows_of(changed(desirable=1)), "'desirable' is 1; expected bool"),
        (rows_of(changed(prompt="hi")), "'prompt' is 'hi'; expected messages"),
        (rows_of(changed(prompt=[{"role": "user"}])), "expected messages"),
        (rows_of(changed(prompt=[])), "'prompt' is empty"),
        (
            rows_of([{"prompt": PROMPT, "completions": ["a"], "scores": [1.0, 2.0]}], "scored"),
            "row 0 of 'train' has 1 completions and 2 scores",
        ),
        (
            rows_of([{"prompt": PROMPT, "completions": ["a"], "scores": ["1"]}], "scored"),
            "'scores' is ['1']; expected floats",
        ),
        (rows_of(GOOD, "ranked"), "feedback is 'ranked'; expected one of text, prompts"),
        (
            source(inspect=lambda: DataInfo(None, (), None)),
            "for this check its data must be available",
        ),
        (source(inspect=lambda: DataInfo("binary", ("train",), "")), "the digest is empty"),
        (source(lambda split: Loaded(GOOD)), "raised nothing; expected a DataError"),
        (source(lambda split: {"train": Loaded(GOOD)}[split]), "load('test') raised KeyError"),
        (
            source(lambda split: Loaded(GOOD, {"empty": -1})),
            "dropped has 'empty': -1; expected a reason and a count",
        ),
    ],
)
def test_a_broken_rule_is_named(made: DataSource, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_rows(made)


def test_a_digest_that_changes_is_found() -> None:
    digests = ["second", "first"]

    with pytest.raises(AssertionError, match=r"inspect\(\) gives .*'first'.*, then .*'second'"):
        check_rows(source(inspect=lambda: DataInfo("binary", ("train",), digests.pop())))


def test_rows_that_change_are_found() -> None:
    left = [GOOD, GOOD[:1], GOOD, GOOD]  # A first look at both splits takes the last two.

    with pytest.raises(AssertionError, match="gives other rows when called again"):
        check_rows(source(lambda split: Loaded(left.pop())))


def test_an_error_that_does_not_name_the_splits_is_found() -> None:
    def load(split: str) -> Loaded:
        if split not in INFO.splits:
            raise DataError("no")
        return Loaded(GOOD)

    with pytest.raises(AssertionError, match="is 'no'; name the splits there are"):
        check_rows(source(load))


def test_an_error_of_another_class_for_an_unknown_split_is_found() -> None:
    def load(split: str) -> Loaded:
        return {"train": Loaded(GOOD), "test": Loaded(GOOD)}[split]

    with pytest.raises(AssertionError, match="raised KeyError; expected a DataError"):
        check_rows(source(load))


def test_a_split_may_be_empty_if_its_rows_are_counted() -> None:
    check_rows(
        source(lambda s: Loaded([], {"no votes": 8}) if s == "test" else load_good(s)),
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"group": "forum"}, "all 12 rows of 'train' have the group 'forum'"),
        ({"prompt": [{"role": "system", "content": "hi"}]}, "have only turns of system"),
    ],
)
def test_advice_about_all_rows(columns: dict[str, object], message: str) -> None:
    rows = [{**GOOD[0], "completion": f"row {n}", **columns} for n in range(12)]
    with pytest.warns(KitAdvice, match=message):
        check_rows(rows_of(rows))


class Lines(DataSource):
    """Generated rows, which have fewer characters with a smaller number."""

    chars: float = Field(default=8.0, ge=1, le=20, description="Characters of a completion.")
    before: str = Field(default="", description="A text before each completion.")
    unused: int = Field(default=3, ge=1, le=5, description="Nothing.")
    rounded: ClassVar[bool] = False

    def inspect(self) -> DataInfo:
        shown = round(self.chars) if self.rounded else self.chars
        told = "" if type(self) is WithoutText else self.before
        return DataInfo("demonstration", ("train",), f"lines {shown} {told}")

    def load(self, split: str) -> Loaded:
        texts = [f"{self.before}{'abcdefghij'[: int(self.chars * 1.3)]} {n}" for n in range(3)]
        return Loaded([{"prompt": PROMPT, "completion": text} for text in texts])


class Rounded(Lines):
    rounded = True


class WithoutText(Lines):
    """Its digest lacks an option that is a text."""


def test_a_digest_with_a_rounded_number_is_found() -> None:
    check_digest(Lines())
    with pytest.raises(AssertionError, match=r"chars=[\d.]+ and [\d.]+ give other rows with the"):
        check_digest(Rounded())


def test_a_digest_without_a_text_is_found() -> None:
    with pytest.raises(AssertionError, match="before='x' gives other rows with the same digest"):
        check_digest(WithoutText())


def test_an_option_without_an_effect_is_advice() -> None:
    with pytest.warns(KitAdvice, match="no other value of option 'unused' changes its rows"):
        check_other_options(Lines())


def test_only_so_many_rows_are_read() -> None:
    def endless(split: str) -> Iterator[dict[str, object]]:
        while True:
            yield {**GOOD[0], "completion": split}

    check_rows(source(lambda s: Loaded(endless(s)) if s in INFO.splits else load_good(s)), rows=3)
