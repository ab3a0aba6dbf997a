"""The rules of sources that wrap another one find what gets lost, and let the right ones pass."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Feedback, Loaded, prompt_id
from halo_core.testing.advice import advised
from halo_core.testing.data.conversions import check_mixed_sides
from halo_core.testing.data.crowded_prompts import check_prompts
from halo_core.testing.data.mixed_rows import MixedRows
from halo_core.testing.data.passed_on import check_passed_on
from halo_core.testing.data.passed_texts import check_repeats, check_texts
from halo_core.testing.data.text_lengths import check_lengths
from halo_core.testing.data.wrapped_info import check_description, check_kinds

Row = Mapping[str, Any]


class Similar(DataSource):
    """Pairs whose sides are of a similar length, which keeps the rules."""

    wanted: ClassVar[tuple[str | None, ...]] = (None, "paired")
    source: DataSource = Field(description="The source of pairs.")

    def inspect(self) -> DataInfo:
        info = self.source.inspect()
        if info.feedback not in self.wanted:
            raise DataError(f"got {info.feedback} feedback; expected paired")
        return replace(info, digest=info.digest and f"similar: {info.digest}")

    def load(self, split: str) -> Loaded:
        inner, dropped, ignored = self.source.load(split), Counter[str](), Counter[str]()
        return Loaded(self.rows(inner, dropped, ignored), dropped, ignored)

    def rows(self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        for row in inner.rows:
            if abs(len(row["chosen"]) - len(row["rejected"])) > 60 and len(row["chosen"]) < 5000:
                dropped[self.reason(row)] += 1
            else:
                yield from self.passed(dict(row))
        dropped.update(inner.dropped)
        ignored.update(inner.ignored)

    def passed(self, row: dict[str, Any]) -> list[Row]:
        return [row]

    def reason(self, row: Row) -> str:
        return "lengths differ"


def passing(passed: Callable[[dict[str, Any]], list[Row]]) -> type[Similar]:
    """Returns a conversion that makes other rows of each row that it keeps."""

    class Passing(Similar):
        def passed(self, row: dict[str, Any]) -> list[Row]:
            return passed(row)

    return Passing


def with_chosen(change: Callable[[str], str]) -> type[Similar]:
    return passing(lambda row: [{**row, "chosen": change(row["chosen"])}])


def with_prompt(change: Callable[[list[dict[str, Any]]], Any]) -> type[Similar]:
    return passing(lambda row: [{**row, "prompt": change(row["prompt"])}])


class IdInTheReason(Similar):
    def reason(self, row: Row) -> str:
        return f"lengths of {row.get('id')} differ"


class DropsInAPlainDict(Similar):
    """Replaces what the wrapped source counts for the same reason."""

    def rows(self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        own = Counter[str]()
        yield from super().rows(replace(inner, dropped={}), own, ignored)
        dropped.update(inner.dropped)
        for reason, count in own.items():
            dropped[reason] = count


class FirstSplit(Similar):
    def inspect(self) -> DataInfo:
        info = super().inspect()
        return replace(info, splits=info.splits[:1])


class SaysLess(Similar):
    def inspect(self) -> DataInfo:
        info = super().inspect()
        return DataInfo(info.feedback, info.splits, info.digest)


class ReadsEarly(Similar):
    def inspect(self) -> DataInfo:
        info = super().inspect()
        return replace(info, digest=str(len([*self.source.load("train").rows])))


class CountsByReading(Similar):
    def about_rows(self, split: str) -> int:
        return len([*self.load(split).rows])


class DigestOfNothing(Similar):
    def inspect(self) -> DataInfo:
        return replace(super().inspect(), digest=f"similar: {self.source.inspect().digest}")


class TakesAll(Similar):
    wanted = (None, "text", "prompts", "demonstration", "binary", "paired", "scored")


class LeavesOthersOut(TakesAll):
    def rows(self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        paired = replace(inner, rows=[row for row in inner.rows if "chosen" in row])
        return super().rows(paired, dropped, ignored)


def number_ids(row: dict[str, Any]) -> list[Row]:
    return [{**row, "id": f"n{abs(hash(str(row)))}"}]


def number_ids_of_others(row: dict[str, Any]) -> list[Row]:
    return [{**row, "id": f"n{abs(hash(str(row)))}", "rejected": f"{row['rejected']} Or not."}]


class AtMost(Similar):
    """The first rows of each prompt, which keeps the rules."""

    most: int = Field(default=2, ge=1, description="Largest number of rows of a prompt.")

    def rows(self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        seen = Counter[str]()
        for row in inner.rows:
            key = self.key(row)
            seen[key] += 1
            if seen[key] <= self.most + self.more():
                yield row
            else:
                dropped[self.reason(row)] += 1
        dropped.update(inner.dropped)
        ignored.update(inner.ignored)

    def key(self, row: Row) -> str:
        return prompt_id(row["prompt"], row.get("tools"))

    def more(self) -> int:
        return 0


class OneMore(AtMost):
    def more(self) -> int:
        return 1


class ByLastMessage(AtMost):
    def key(self, row: Row) -> str:
        return str(row["prompt"][-1]["content"])


class WithoutTools(AtMost):
    def key(self, row: Row) -> str:
        return prompt_id(row["prompt"])


class PromptInTheReason(AtMost):
    def reason(self, row: Row) -> str:
        return f"too many of {row['prompt'][-1]['content'][:30]}"


class CountsPrompts(AtMost):
    """Counts each prompt once, however many rows it leaves out."""

    def rows(self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        own = Counter[str]()
        yield from super().rows(inner, own, ignored)
        dropped["too many"] += bool(own)


class BestAgainst(Similar):
    """Pairs of the best completion and each one that is worse, which keeps the rules."""

    wanted = (None, "scored")

    def inspect(self) -> DataInfo:
        return replace(super().inspect(), feedback="paired")

    def rows(self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        for row in inner.rows:
            texts, scores = row["completions"], row["scores"]
            best = max(range(len(texts)), key=lambda place: scores[place])
            pairs = [
                {"prompt": row["prompt"], "chosen": texts[best], "rejected": text}
                for text, score in zip(texts, scores, strict=True)
                if self.is_worse(score, scores[best]) and text != texts[best]
            ]
            dropped["none is worse"] += not pairs
            yield from pairs

    def is_worse(self, score: float, best: float) -> bool:
        return score < best


class Ties(BestAgainst):
    def is_worse(self, score: float, best: float) -> bool:
        return score <= best


class ZeroIsMissing(BestAgainst):
    def is_worse(self, score: float, best: float) -> bool:
        return bool(score) and score < best


class ZeroHasNoRank(BestAgainst):
    """Takes a score of 0 for a missing one, before it looks for the best and the worst one."""

    def rows(self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]) -> Iterator[Row]:
        for row in inner.rows:
            scored = zip(row["scores"], row["completions"], strict=True)
            ranked = sorted((score, text) for score, text in scored if score)
            if len(ranked) < 2 or ranked[0][0] == ranked[-1][0]:
                dropped["none is worse"] += 1
            else:
                chosen, rejected = ranked[-1][1], ranked[0][1]
                yield {"prompt": row["prompt"], "chosen": chosen, "rejected": rejected}


@pytest.mark.parametrize(
    ("cls", "feedback", "message"),
    [
        (OneMore, "paired", "with 'most' of 1, 2 and 3, a prompt has 2, 3 and 4 rows"),
        (ByLastMessage, "binary", "(talk about the hen) loses rows if there are other prompts"),
        (WithoutTools, "prompts", "(tool count) loses rows if there are other prompts"),
        (PromptInTheReason, "demonstration", "without the text or the id of a row"),
        (CountsPrompts, "paired", "wrapped rows is in its rows, and it counts 1 as dropped"),
        (Ties, "scored", "expected a larger score, also among negative ones"),
        (ZeroIsMissing, "scored", "0 is a score, so compare with None"),
        (ZeroHasNoRank, "scored", "0 is a score, so compare with None"),
    ],
)
def test_a_conversion_that_takes_prompts_or_scores_for_others_is_found(
    cls: type[Similar], feedback: Feedback, message: str
) -> None:
    class Mine(cls):  # type: ignore[misc, valid-type]
        wanted = (None, feedback) if cls.wanted == Similar.wanted else cls.wanted

    with pytest.raises(AssertionError, match=re.escape(message)):
        check_prompts(lambda source: Mine(source=source), feedback=feedback)


@pytest.mark.parametrize(("cls", "feedback"), [(AtMost, "paired"), (BestAgainst, "scored")])
def test_conversions_that_tell_prompts_and_scores_apart_are_right(
    cls: type[Similar], feedback: Feedback
) -> None:
    check_prompts(lambda source: cls(source=source), feedback=feedback)


def tools_by_name(row: dict[str, Any]) -> list[Row]:
    return [{**row, "tools": sorted(row["tools"], key=str)} if "tools" in row else row]


def plain_messages(prompt: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": each["role"], "content": each["content"]} for each in prompt]


def in_one_line(prompt: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "content": " ".join(each["content"].split("\n"))} for each in prompt]


def stripped_in_place(row: dict[str, Any]) -> list[Row]:
    row["prompt"][-1]["content"] = row["prompt"][-1]["content"].strip()
    return [row]


def rounded(row: dict[str, Any]) -> list[Row]:
    logps = row.get("chosen_token_logps")
    return [{**row, "chosen_token_logps": [round(x, 3) for x in logps]} if logps else row]


def without_finish(row: dict[str, Any]) -> list[Row]:
    return [{name: value for name, value in row.items() if not name.endswith("_finish")}]


def always_finished(row: dict[str, Any]) -> list[Row]:
    return [{**row, "chosen_finish": "stop"} if "chosen_finish" in row else row]


def cut_by(most: int) -> Callable[[str], str]:
    return lambda text: text[:most]


RULES: Mapping[str, Callable[..., None]] = {
    "kinds": lambda make, feedback: check_kinds(make),
    "passed-on": check_passed_on,
    "texts": check_texts,
    "repeats": check_repeats,
    "prompts": check_prompts,
    "description": check_description,
}


@pytest.mark.parametrize("rule", RULES)
def test_a_right_conversion_keeps_the_rule(rule: str) -> None:
    with advised() as advice:
        RULES[rule](lambda source: Similar(source=source), feedback="paired")
    assert advice == []


@pytest.mark.parametrize(
    ("rule", "cls", "message"),
    [
        ("texts", with_chosen(str.lower), "differs from the wrapped one only in white space or in"),
        ("texts", with_chosen(str.strip), "differs from the wrapped one only in white space or in"),
        ("repeats", passing(lambda row: [row, row]), "once more than the wrapped source"),
        ("description", FirstSplit, "names the splits ['train'], and the wrapped source"),
        ("description", ReadsEarly, "inspect() reads 137 rows of the wrapped source"),
        ("description", CountsByReading, "about_rows() reads 268 rows of the wrapped source"),
        ("passed-on", IdInTheReason, "has the id of a row; expected one reason for all rows"),
        ("passed-on", DropsInAPlainDict, "the wrapped source 3, and dropped has"),
        ("passed-on", passing(tools_by_name), "has other tools than the wrapped row, or in"),
        ("passed-on", with_prompt(plain_messages), "has lost fields of a message of its prompt"),
        ("passed-on", with_prompt(in_one_line), "whose last message is in no wrapped row"),
        ("passed-on", with_prompt(lambda turns: turns[-4:]), "so its beginning is lost"),
        ("passed-on", passing(stripped_in_place), "it changes the rows that it gets"),
        ("passed-on", passing(always_finished), "has changed a column of the completion"),
        ("passed-on", passing(rounded), "has changed a column of the completion"),
        ("passed-on", passing(number_ids), "it gives wrapped rows as they are, but its ids"),
        ("passed-on", passing(lambda row: [{**row, "group": "all"}]), "has the group 'all', and"),
        ("passed-on", with_chosen(cut_by(4096)), "has only the beginning of a completion"),
        ("passed-on", with_chosen(cut_by(100_000)), "has only the beginning of a completion"),
    ],
)
def test_a_conversion_that_breaks_a_rule_is_found(
    rule: str, cls: type[DataSource], message: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        RULES[rule](lambda source: cls(source=source), feedback="paired")


def test_a_change_of_wrapped_rows_is_found_after_another_rule_has_made_it() -> None:
    def make(source: DataSource) -> DataSource:
        return passing(stripped_in_place)(source=source)

    list(make(MixedRows()).load("train").rows)
    with pytest.raises(AssertionError, match="it changes the rows that it gets"):
        check_passed_on(make)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (TakesAll, "takes text feedback, and then load() raises KeyError: 'chosen'"),
        (LeavesOthersOut, "takes text feedback, and then load() leaves out all rows and"),
    ],
)
def test_a_conversion_that_neither_reads_nor_refuses_a_kind_gets_advice(
    cls: type[DataSource], message: str
) -> None:
    with advised() as advice:
        check_kinds(lambda source: cls(source=source))
    assert message in advice[0]


def test_rows_that_a_batch_of_a_hundred_does_not_fill_are_missed() -> None:
    class InBatches(Similar):
        def rows(
            self, inner: Loaded, dropped: Counter[str], ignored: Counter[str]
        ) -> Iterator[Row]:
            rows = list(inner.rows)
            whole = replace(inner, rows=rows[: len(rows) // 100 * 100])
            return super().rows(whole, dropped, ignored)

    with pytest.raises(AssertionError, match="rows are left out, and only"):
        check_passed_on(lambda source: InBatches(source=source))


@pytest.mark.parametrize(
    ("rule", "cls", "message"),
    [
        ("passed-on", passing(without_finish), "its completions have lost why it ended"),
        ("passed-on", passing(number_ids_of_others), "have nothing of those of the wrapped rows"),
        ("description", SaysLess, "has read_as (), and that of the wrapped source"),
        ("description", DigestOfNothing, "although the wrapped source has none"),
    ],
)
def test_advice_about_a_conversion(rule: str, cls: type[DataSource], message: str) -> None:
    with advised() as advice:
        RULES[rule](lambda source: cls(source=source), feedback="paired")
    assert message in advice[-1]


def test_a_division_by_the_length_of_an_empty_text_is_found() -> None:
    def in_words(row: dict[str, Any]) -> list[Row]:
        return [row] if len(row["chosen"]) / len(row["rejected"]) < 100 else []

    def in_words_or_one(row: dict[str, Any]) -> list[Row]:
        return [row] if len(row["chosen"]) / max(1, len(row["rejected"])) < 100 else []

    check_passed_on(lambda source: passing(in_words_or_one)(source=source))
    with pytest.raises(AssertionError, match="raised ZeroDivisionError"):
        check_passed_on(lambda source: passing(in_words)(source=source))


def longest_first(row: dict[str, Any]) -> list[Row]:
    sides = sorted((row["chosen"], row["rejected"]), key=len)
    return [{**row, "chosen": sides[1], "rejected": sides[0]}]


def test_sides_that_are_exchanged_by_length_are_found() -> None:
    check_mixed_sides(lambda source: Similar(source=source))
    with pytest.raises(AssertionError, match="the wrapped source says the opposite"):
        check_mixed_sides(lambda source: passing(longest_first)(source=source))


def without_addresses(names: tuple[str, ...]) -> type[Similar]:
    def hidden(text: str) -> str:
        return re.sub(r"\S+@\S+", "[address]", text)

    return passing(lambda row: [{**row, **{name: hidden(row[name]) for name in names}}])


def test_a_text_that_is_changed_on_one_side_only_is_found() -> None:
    check_texts(lambda source: without_addresses(("chosen", "rejected"))(source=source))
    with pytest.raises(AssertionError, match="changed on one side of a pair only, and"):
        check_texts(lambda source: without_addresses(("chosen",))(source=source))


class AtMost(Similar):
    """Leaves out long completions."""

    most: int = Field(default=200, ge=1, description="Largest number of characters.")

    def passed(self, row: dict[str, Any]) -> list[Row]:
        return [row] if self.is_kept(self.size(row["chosen"])) else []

    def is_kept(self, size: int) -> bool:
        return size <= self.most

    def size(self, text: str) -> int:
        return len(text)


class InBytes(AtMost):
    def size(self, text: str) -> int:
        return len(text.encode("utf-8"))


class AtLeast(AtMost):
    def is_kept(self, size: int) -> bool:
        return size >= self.most


class AtLeastInBytes(AtLeast, InBytes):
    """Counts bytes where a text must not be too short."""


class OnlyRussian(AtMost):
    def is_kept(self, size: int) -> bool:
        return size > 0

    def size(self, text: str) -> int:
        return 0 if text.isascii() else len(text)


class OnlyEnglish(OnlyRussian):
    def size(self, text: str) -> int:
        return len(text) if text.isascii() else 0


@pytest.mark.parametrize("cls", [OnlyRussian, OnlyEnglish])
def test_a_conversion_that_is_about_a_language_may_leave_out_other_letters(
    cls: type[AtMost],
) -> None:
    check_lengths(lambda source: cls(source=source), feedback="paired")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (AtMost, InBytes, "it gives 4 if they are ASCII, and 0 if each letter"),
        (AtLeast, AtLeastInBytes, "it gives 0 if they are ASCII, and 4 if each letter"),
    ],
)
def test_bytes_that_are_counted_as_characters_are_found(
    right: type[AtMost], wrong: type[AtMost], told: str
) -> None:
    check_lengths(lambda source: right(source=source), feedback="paired")
    with pytest.raises(AssertionError, match=told):
        check_lengths(lambda source: wrong(source=source), feedback="paired")
