"""Plans read a model once, and a stage cannot change what the next stage sees of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from halo_core.stage import Inputs, ModelInput
from halo_models.findings import Findings
from halo_trainer.model import look_ahead
from halo_trainer.model.look_ahead import Ahead, look_at
from halo_trainer.sample.options import Sample


def seen(model: ModelInput, *, begins: bool = False) -> Ahead:
    found = Findings()
    inputs = Inputs(
        models={"from": model}, there={"from"}, data={}, sketch=Path("sketch"), begins=begins
    )
    ahead = look_at(inputs, "from", None, found)
    assert found.pairs == []
    assert ahead is not None
    return ahead


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models of which a tokenizer was read."""
    read = look_ahead.load_tokenizer
    asked: list[str] = []

    def counting(source: ModelInput, template: str | None) -> Any:
        asked.append(source.path)
        return read(source, template)

    monkeypatch.setattr(look_ahead, "load_tokenizer", counting)
    return asked


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configurations of which a model without weights was made."""
    build = look_ahead.skeleton
    made: list[Any] = []

    def counting(config: Any) -> Any:
        made.append(config)
        return build(config)

    monkeypatch.setattr(look_ahead, "skeleton", counting)
    return made


@pytest.fixture
def model(tmp_path: Path, tiny_model: ModelInput) -> ModelInput:
    """A copy of the tiny model, which may be changed."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model.path, folder)
    return ModelInput(str(folder), None, "tiny")


def test_a_plan_reads_a_model_once(model: ModelInput, reads: list[str], built: list[Any]) -> None:
    first, second = seen(model), seen(model)
    assert first.config is second.config
    assert (reads, built) == ([model.path], [first.config])


def test_a_model_that_cannot_be_built_is_one_mistake(
    model: ModelInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(config: Any) -> Any:
        raise ValueError("odd sizes")

    monkeypatch.setattr(look_ahead, "skeleton", fails)
    inputs = Inputs(models={"from": model}, there={"from"}, data={}, sketch=Path("sketch"))
    for _ in range(2):  # An error is not remembered as a model.
        found = Sample(prompts="train").check_inputs(inputs)
        assert found == [("from", "cannot be used: ValueError: odd sizes")]


def test_a_run_keeps_no_model_in_memory(model: ModelInput, reads: list[str]) -> None:
    assert seen(model, begins=True).tokenizer is not seen(model, begins=True).tokenizer
    assert reads == [model.path] * 2


def test_a_model_that_was_changed_is_read_again(model: ModelInput, reads: list[str]) -> None:
    seen(model)
    settings = Path(model.path) / "tokenizer_config.json"
    settings.write_text(settings.read_text() + "\n")
    seen(model)
    assert len(reads) == 2


def test_a_tokenizer_with_new_tokens_is_not_seen_by_the_next_stage(
    model: ModelInput, reads: list[str]
) -> None:
    changed = seen(model).tokenizer
    changed.add_tokens(["<|good|>"])
    assert "<|good|>" not in seen(model).tokenizer.get_vocab()
