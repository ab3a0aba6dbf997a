from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import pytest
from pydantic import ValidationError

from halo_core.errors import DataError
from halo_data.components import ScoredToPaired, UltraFeedback

Write = Callable[..., str]
PROMPT = [{"role": "user", "content": "Sky?"}]


def turns(answer: str) -> list[dict[str, str]]:
    return [*PROMPT, {"role": "assistant", "content": answer}]


def pair(high: float | None, low: float | None, chosen: str = "Blue.") -> dict[str, Any]:
    return {
        "prompt": "Sky?",
        "prompt_id": "1",
        "chosen": turns(chosen),
        "rejected": turns("Red."),
        "messages": turns("Blue."),
        "score_chosen": high,
        "score_rejected": low,
    }


def group(*scores: float | None, texts: str = "abcd") -> dict[str, Any]:
    completions = [
        {"model": "m", "response": text, "overall_score": score, "fine-grained_score": 5.0 - i}
        for i, (text, score) in enumerate(zip(texts, scores, strict=False))
    ]
    return {"source": "x", "instruction": "Sky?", "models": [], "completions": completions}


def read(source: Any, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def test_binarised_row_is_a_pair_after_its_prompt(write_rows: Write) -> None:
    source = UltraFeedback(path=write_rows([pair(8.5, 3.0)]))
    rows, dropped = read(source)
    assert rows == [{"id": "train:1", "prompt": PROMPT, "chosen": "Blue.", "rejected": "Red."}]
    assert dropped == {}
    assert source.inspect().feedback == "paired"


def test_pairs_without_an_order_are_dropped_by_reason(write_rows: Write) -> None:
    given = [pair(5.0, 5.0), pair(3.0, 5.0), pair(None, 5.0), pair(5.0, 3.0, "Red."), pair(2, 1)]
    rows, dropped = read(UltraFeedback(path=write_rows(given)))
    assert [row["id"] for row in rows] == ["train:5"]
    assert dropped == {
        "all scores equal": 1,
        "chosen scored lower": 1,
        "completion without a score": 1,
        "identical sides": 1,
    }


def test_original_row_is_a_scored_group(write_rows: Write) -> None:
    source = UltraFeedback(path=write_rows([group(7.5, 8)]), feedback="scored")
    rows, dropped = read(source)
    assert rows == [
        {"id": "train:1", "prompt": PROMPT, "completions": ["a", "b"], "scores": [7.5, 8.0]}
    ]
    assert dropped == {}


def test_finer_score_can_be_read(write_rows: Write) -> None:
    source = UltraFeedback(
        path=write_rows([group(7.5, 8)]), feedback="scored", score="fine-grained_score"
    )
    assert read(source)[0][0]["scores"] == [5.0, 4.0]


def test_groups_that_cannot_be_used_are_dropped_by_reason(write_rows: Write) -> None:
    given = [group(), group(1.0, None), group(1.0, 2.0, texts=" b"), group(1.0, 2.0)]
    rows, dropped = read(UltraFeedback(path=write_rows(given), feedback="scored"))
    assert len(rows) == 1
    assert dropped == {
        "no completions": 1,
        "completion without a score": 1,
        "empty completion": 1,
    }


def test_groups_become_pairs_by_a_conversion(write_rows: Write) -> None:
    groups = UltraFeedback(path=write_rows([group(1, 3, 2), group(4, 4)]), feedback="scored")
    rows, dropped = read(ScoredToPaired(source=groups, pairs="best-worst"))
    assert [(row["chosen"], row["rejected"]) for row in rows] == [("b", "a")]
    assert dropped == {"all scores equal": 1}


def test_other_form_of_the_data_is_named_in_the_error(write_rows: Write) -> None:
    with pytest.raises(DataError, match=r"train\.jsonl:1: .*these are scored: set feedback: sco"):
        UltraFeedback(path=write_rows([group(1, 2)])).inspect()
    with pytest.raises(DataError, match="these are paired: set feedback: paired"):
        UltraFeedback(path=write_rows([pair(2, 1)]), feedback="scored").inspect()
    with pytest.raises(DataError, match="got the columns text; expected prompt, chosen"):
        UltraFeedback(path=write_rows([{"text": "a"}])).inspect()


def test_completions_of_another_shape_are_an_error(write_rows: Write) -> None:
    given = {"instruction": "Sky?", "completions": ["Blue.", "Red."]}
    source = UltraFeedback(path=write_rows([given]), feedback="scored")
    with pytest.raises(DataError, match=r"column 'completions' is not a list of \{response: text"):
        read(source)


@pytest.mark.usefixtures("hub_sizes")
@pytest.mark.parametrize(
    ("feedback", "split", "expected"),
    [
        ("paired", "train", ("HuggingFaceH4/ultrafeedback_binarized", "train_prefs")),
        ("paired", "test", ("HuggingFaceH4/ultrafeedback_binarized", "test_prefs")),
        ("scored", "train", ("openbmb/UltraFeedback", "train")),
    ],
)
def test_hub_is_asked_for_the_right_data_set_and_split(
    monkeypatch: pytest.MonkeyPatch, feedback: Any, split: str, expected: tuple[str, str]
) -> None:
    calls: list[tuple[str, str]] = []

    def load_dataset(path: str, name: str | None = None, **given: Any) -> Any:
        calls.append((path, given["split"]))
        return datasets.Dataset.from_list([pair(2, 1) if feedback == "paired" else group(1, 2)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows, dropped = read(UltraFeedback(feedback=feedback), split)
    assert calls == [expected]
    assert (len(rows), dropped) == (1, {})


def test_split_that_the_hub_has_not_is_an_error() -> None:
    with pytest.raises(DataError, match=r"openbmb/UltraFeedback: no split 'test'.*There is: train"):
        UltraFeedback(feedback="scored").load("test")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"path": "x", "hub": "a/b"}, "hub and revision have no effect"),
        ({"score": "fine-grained_score"}, "score only has an effect with feedback: scored"),
    ],
)
def test_option_of_ultrafeedback_without_effect_is_refused(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValidationError, match=text):
        UltraFeedback(**options)
