"""What is tested on must not be trained on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_core.rows import DataSet
from halo_core.run.data_checks import check_overlap, is_only_learned_from
from halo_core.testing import data_set


def data(folder: Path, name: str, feedback: Feedback, *rows: dict[str, Any]) -> DataSet:
    full = [{**row, "prompt": [{"role": "user", "content": row["question"]}]} for row in rows]
    return data_set(folder, feedback, full, name=name)


def test_a_pair_and_its_half_overlap(tmp_path: Path) -> None:
    train = data(
        tmp_path, "train", "binary", {"question": "q", "completion": "a", "desirable": True}
    )
    test = data(tmp_path, "test", "paired", {"question": "q", "chosen": "a", "rejected": "b"})
    with pytest.raises(DataError, match=r"1 of its 1 rows stand in 'train' too, .*is test-0"):
        check_overlap([train], [test], warn=pytest.fail)


def test_a_shared_prompt_with_other_completions_only_warns(tmp_path: Path) -> None:
    train = data(tmp_path, "train", "demonstration", {"question": "q", "completion": "a"})
    test = data(tmp_path, "test", "demonstration", {"question": "q", "completion": "c"})
    told: list[str] = []
    check_overlap([train], [test], warn=told.append)
    assert told == ["1 prompts of 'test' stand in 'train' too, with other completions"]


def test_a_set_may_be_used_for_both_on_purpose(tmp_path: Path) -> None:
    train = data(tmp_path, "train", "demonstration", {"question": "q", "completion": "a"})
    check_overlap([train], [train], warn=pytest.fail)


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
