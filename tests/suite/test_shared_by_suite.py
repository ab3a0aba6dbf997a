"""Equal components of a suite's cells are built once, and nothing else changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import SpecErrors
from halo_core.plugins.discovery import discover
from halo_core.run.plan import make_plan
from halo_core.spec.resolver import Resolver
from halo_core.spec.spec import check_spec
from halo_core.spec.suite import load_suite
from halo_core.workspace.layout import Workspace
from halo_data.sources.files import Files

SUITE = """\
name: many
model: {path: base}
data:
  train: {use: files, path: rows.jsonl}
  holdout: 0.2
matrix:
  beta: {stages.align.loss.beta: [0.1, 0.2, 0.3]}
  seed: {seed: [1, 2, 3, 4]}
stages:
  first: {use: train, loss: kto, data: train, steps: 10}
  align: {use: train, loss: {use: kto, beta: 0.1}, data: train, steps: 10}
  answers: {use: sample, from: align, prompts: test}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    rows = [f'{{"prompt": "p {i}", "completion": "c {i}", "label": true}}\n' for i in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path / "suite.yaml"


def test_each_stage_is_built_once_and_each_source_is_asked_once(
    suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[Any] = Counter()
    build, inspect = Resolver._build, Files.inspect

    def counted_build(self: Any, component_class: Any, registration: Any, *more: Any) -> Any:
        calls[(registration.name, more[-1])] += 1
        return build(self, component_class, registration, *more)

    def counted_inspect(self: Files) -> Any:
        calls["inspect"] += 1
        return inspect(self)

    monkeypatch.setattr(Resolver, "_build", counted_build)
    monkeypatch.setattr(Files, "inspect", counted_inspect)
    assert len(load_suite(suite).specs) == 12
    assert calls["inspect"] == 1
    assert calls["train", ("stages", "first")] == 1
    assert calls["train", ("stages", "align")] == 3
    assert calls["sample", ("stages", "answers")] == 1


def test_cells_are_the_same_as_if_each_was_checked_by_itself(suite: Path, tmp_path: Path) -> None:
    workspace, registry = Workspace(tmp_path / "workspace"), discover()
    for spec in load_suite(suite).specs:
        alone = check_spec(spec.document, registry, spec.cell)
        together, apart = make_plan(spec, workspace), make_plan(alone, workspace)
        assert [stage.key for stage in together.stages] == [stage.key for stage in apart.stages]
        assert together.run_name == apart.run_name
        for one, other in zip(spec.stages, alone.stages, strict=True):
            assert one.resolved.tree() == other.resolved.tree()
            assert one.resolved.keys == other.resolved.keys


def test_a_mistake_is_found_in_each_cell_that_has_it(suite: Path) -> None:
    suite.write_text(SUITE.replace("[0.1, 0.2, 0.3]", "[0.1, 0.0, 0.3]"))
    with pytest.raises(SpecErrors) as raised:
        load_suite(suite)
    (error,) = raised.value.errors
    assert "in 4 of 12 cells" in str(error)


def test_a_number_and_its_text_are_not_the_same(suite: Path) -> None:
    values = "beta: {stages.align.loss.beta: [0.1, 0.2, 0.3]}"
    both = "{one: {stages.align.loss.beta: 0.1}, two: {stages.align.loss.beta: '0.1'}}"
    suite.write_text(SUITE.replace(values, f"beta: {both}"))
    with pytest.raises(SpecErrors) as raised:
        load_suite(suite)
    assert "in 4 of 8 cells" in str(raised.value)
