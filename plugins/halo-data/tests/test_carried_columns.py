"""Further columns of completions are kept by every conversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.feedback import Feedback
from halo_data.components import (
    BinaryToDemonstration,
    KeepFraction,
    LabelNoise,
    Mixture,
    PairedToBinary,
    PairedToDemonstration,
    PairedToScored,
    ScoredToBinary,
    ScoredToPaired,
    SettleLabels,
)

PROMPT = [{"role": "user", "content": "hi"}]
TOOLS = [{"function": {"name": "weather"}}]
CALLS = {"tool_calls": [{"function": {"name": "weather", "arguments": {}}}]}
WHOLE = {"tools": TOOLS, "tokenizer": "0a", "template": "1b"}
GOOD = {
    "completion": "yes",
    "completion_fields": CALLS,
    "completion_token_ids": [1, 2],
    "finish": "stop",
    "completion_token_logps": [-0.5, -1.5, -0.25],
}
BAD = {"completion": "yes", "completion_token_ids": [3], "finish": "length"}
PAIR = {
    **{"prompt": PROMPT, "chosen": "yes", "rejected": "yes", **WHOLE},
    **{"chosen_fields": CALLS, "chosen_token_ids": [1, 2], "chosen_finish": "stop"},
    **{"rejected_token_ids": [3], "rejected_finish": "length"},
    "chosen_token_logps": [-0.5, -1.5, -0.25],
}
GROUP = {
    **{"prompt": PROMPT, "completions": ["yes", "yes"], "scores": [1.0, 0.0], **WHOLE},
    "completions_fields": [CALLS, None],
    "completions_token_ids": [[1, 2], [3]],
    "finishes": ["stop", "length"],
    "completions_token_logps": [[-0.5, -1.5, -0.25], None],
}


def source(feedback: Feedback, *rows: Mapping[str, Any]) -> DataSource:
    class Given(DataSource):
        def inspect(self) -> DataInfo:
            return DataInfo(feedback, ("train",), "1")

        def load(self, split: str) -> Loaded:
            return Loaded(rows)

    return Given()


def rows_of(conversion: DataSource) -> list[dict[str, Any]]:
    return [dict(row) for row in conversion.load("train").rows]


def labelled(feedback: Sequence[Mapping[str, Any]] = (GOOD, BAD)) -> list[dict[str, Any]]:
    return [{"prompt": PROMPT, **WHOLE, **each, "desirable": each is GOOD} for each in feedback]


@pytest.mark.parametrize(
    ("conversion", "expected"),
    [
        (PairedToBinary(source=source("paired", PAIR)), labelled()),
        (ScoredToBinary(source=source("scored", GROUP), threshold=0.5), labelled()),
        (ScoredToBinary(source=source("scored", GROUP)), labelled()),
        (ScoredToPaired(source=source("scored", GROUP)), [PAIR]),
        (PairedToScored(source=source("paired", PAIR)), [GROUP]),
        (
            PairedToDemonstration(source=source("paired", PAIR)),
            [{"prompt": PROMPT, **WHOLE, **GOOD}],
        ),
        (
            BinaryToDemonstration(source=source("binary", *labelled())),
            [{"prompt": PROMPT, **WHOLE, **GOOD}],
        ),
        (SettleLabels(source=source("binary", *labelled())), labelled()),
        (KeepFraction(source=source("binary", *labelled())), labelled()),
        (LabelNoise(source=source("paired", PAIR), share=0), [PAIR]),
        (Mixture(sources=[source("paired", PAIR)]), [PAIR]),
    ],
)
def test_fields_ids_and_tools_are_handed_on(
    conversion: DataSource, expected: list[dict[str, Any]]
) -> None:
    assert rows_of(conversion) == expected


def test_a_pair_that_is_turned_round_takes_along_what_stands_beside_its_sides() -> None:
    (turned,) = rows_of(LabelNoise(source=source("paired", PAIR), share=1))
    assert turned == {
        **{"prompt": PROMPT, "chosen": "yes", "rejected": "yes", **WHOLE},
        **{"rejected_fields": CALLS, "rejected_token_ids": [1, 2], "rejected_finish": "stop"},
        **{"chosen_token_ids": [3], "chosen_finish": "length"},
        "rejected_token_logps": [-0.5, -1.5, -0.25],
    }


def test_completions_of_one_text_and_other_calls_are_no_duplicates_and_no_conflict() -> None:
    both = [{**row, "desirable": True} for row in labelled()]
    assert len(rows_of(BinaryToDemonstration(source=source("binary", *both)))) == 2
    assert len(rows_of(BinaryToDemonstration(source=source("binary", both[0], both[0])))) == 1


def test_prompts_that_differ_in_tools_are_different_prompts() -> None:
    pairs = [PAIR, {**PAIR, "tools": [{"function": {"name": "news"}}]}]
    first = PairedToDemonstration(source=source("paired", *pairs), take="first")
    assert [row["tools"] for row in rows_of(first)] == [pair["tools"] for pair in pairs]


def test_rows_that_differ_in_calls_alone_have_places_of_their_own_in_a_draw() -> None:
    rows = [{"prompt": PROMPT, "completion": "yes", "desirable": True} for _ in range(12)]
    called = [{**row, "completion_fields": {"thinking": f"{i}"}} for i, row in enumerate(rows)]
    half = [
        KeepFraction(source=source("binary", *of), desirable=0.5) for of in (called, called[::-1])
    ]
    kept = [{row["completion_fields"]["thinking"] for row in rows_of(each)} for each in half]
    assert len(kept[0]) == 6
    assert kept[0] == kept[1]
