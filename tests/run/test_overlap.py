"""Test data must not be training data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_core.rows import DataSet
from halo_core.run.data_checks import is_only_learned_from
from halo_core.run.overlap import check_overlap
from halo_core.testing import data_set


def data(folder: Path, name: str, feedback: Feedback, *rows: dict[str, Any]) -> DataSet:
    full = [{**row, "prompt": [{"role": "user", "content": row["question"]}]} for row in rows]
    return data_set(folder, feedback, full, name=name)


def test_a_pair_and_its_half_overlap(tmp_path: Path) -> None:
    train = data(
        tmp_path, "train", "binary", {"question": "q", "completion": "a", "desirable": True}
    )
    test = data(tmp_path, "test", "paired", {"question": "q", "chosen": "a", "rejected": "b"})
    with pytest.raises(DataError, match=r"1 of its 1 rows are also in 'train'; .*is test-0"):
        check_overlap([train], [test], warn=pytest.fail)


def test_overlap_warn_counts_the_same_rows_and_goes_on(tmp_path: Path) -> None:
    train = data(
        tmp_path,
        "train",
        "demonstration",
        {"question": "q", "completion": "a"},
        {"question": "r", "completion": "a"},
    )
    pairs = [{"question": "q", "chosen": "a", "rejected": "b"}]
    pairs += [{"question": "r", "chosen": "c", "rejected": "b"}]
    pairs += [{"question": "new", "chosen": "a", "rejected": "b"}]
    test = data(tmp_path, "test", "paired", *pairs)
    goods = [{"question": "q", "completion": "a"}, {"question": "new", "completion": "a"}]
    good = data(tmp_path, "test", "demonstration", *goods)
    told: list[str] = []
    check_overlap([train], [good, test], warn=told.append, same="warn")
    assert told == [
        "1 of 2 rows of 'test' are also in 'train'; the first is test-0. Their results do not show "
        "how well the model does on new rows",
        "1 of 3 prompts of 'test' are also in 'train', with other completions",
    ]


def test_a_shared_prompt_with_other_completions_only_warns(tmp_path: Path) -> None:
    train = data(tmp_path, "train", "demonstration", {"question": "q", "completion": "a"})
    test = data(tmp_path, "test", "demonstration", {"question": "q", "completion": "c"})
    told: list[str] = []
    check_overlap([train], [test], warn=told.append)
    assert told == ["1 of 1 prompts of 'test' are also in 'train', with other completions"]


def test_a_set_may_be_used_for_both_on_purpose_and_that_is_told(tmp_path: Path) -> None:
    train = data(tmp_path, "train", "demonstration", {"question": "q", "completion": "a"})
    told: list[str] = []
    check_overlap([train], [train], warn=told.append)
    assert told == [
        "'train' is used for training and testing: its results do not show how well the model "
        "does on new rows"
    ]


def test_every_form_of_a_set_is_compared(tmp_path: Path) -> None:
    question = {"question": "q"}
    pair = data(tmp_path, "train", "paired", {**question, "chosen": "a", "rejected": "b"})
    good = data(tmp_path, "train", "demonstration", {**question, "completion": "a"})
    test = data(tmp_path, "test", "demonstration", {**question, "completion": "b"})
    with pytest.raises(DataError, match="1 of its 1 rows are also in 'train'"):
        check_overlap([pair, good], [test], warn=pytest.fail)


def test_prompts_that_differ_in_case_or_white_space_are_counted(tmp_path: Path) -> None:
    train = data(tmp_path, "train", "demonstration", {"question": "Hot  soup?", "completion": "a"})
    asked = [{"question": q, "completion": "b"} for q in ("hot soup? ", "HOT\nSOUP?", "Hotsoup?")]
    test = data(tmp_path, "test", "demonstration", *asked)
    told: list[str] = []
    check_overlap([train], [test], warn=told.append)
    assert told == [
        "2 of 3 prompts of 'test' differ from a prompt of 'train' only in case or white space"
    ]


def test_prompts_of_a_training_dialogue_are_counted(tmp_path: Path) -> None:
    first = {"role": "user", "content": "q"}
    later = [first, {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"}]
    rows = [{"prompt": [first], "completion": "a"}, {"prompt": [later[2]], "completion": "c"}]
    train = data_set(tmp_path, "demonstration", rows, name="train")
    test = data_set(tmp_path, "demonstration", [{"prompt": later, "completion": "b"}], name="test")
    told: list[str] = []
    check_overlap([train], [test], warn=told.append)
    assert told == [
        "1 of 1 prompts of 'test' have the same opening as dialogues of 'train': their messages up "
        "to the first user message are the same, as in turns of one dialogue"
    ]


def stage(produces: str, **inputs: str) -> Any:
    component = SimpleNamespace(produces=produces)
    return SimpleNamespace(
        id=inputs.pop("id"), spec=SimpleNamespace(component=component, inputs=inputs)
    )


@pytest.mark.parametrize(
    ("takers", "only"), [(["model"], True), (["model", "verdicts"], False), ([], False)]
)
def test_samples_that_only_models_learn_from_may_be_of_training_prompts(
    takers: list[str], only: bool
) -> None:
    drawn = stage("samples", id="drawn")
    others = [stage(made, id=f"s{i}", samples="drawn") for i, made in enumerate(takers)]
    assert is_only_learned_from(SimpleNamespace(stages=[drawn, *others]), drawn) is only
