"""The time left of a run comes from planned work and measured speed; the rest is unknown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.display.view import Later
from halo_core.errors import PluginError
from halo_core.guarded.stage_calls import work_of
from halo_core.run.forecast import known_of
from halo_core.run.plan import make_plan
from halo_core.run.time_left import TimeLeft
from halo_core.spec.spec import load_spec
from halo_core.stage import Known, Work
from halo_core.workspace.layout import open_workspace


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A plan of four stages that say their work, of which one is in the store."""
    works = {
        "sft": Work("train", 100.0),
        "kto": Work("train", 300.0),
        "stored": Work("train", 1000.0),
        "answers": Work("sample", 50.0),
        "win": None,
    }
    stages = [
        SimpleNamespace(id=name, folder=tmp_path / name, spec=SimpleNamespace(component=work))
        for name, work in works.items()
    ]
    monkeypatch.setattr("halo_core.run.time_left.work_of", lambda component, known: component)
    monkeypatch.setattr("halo_core.run.time_left.known_of", lambda plan, stage, weights: None)
    monkeypatch.setattr(
        "halo_core.run.time_left.stage_done", lambda folder: folder.name == "stored" or None
    )
    return SimpleNamespace(stages=stages)


def test_the_current_stage_tells_the_time_of_later_ones_of_its_kind(plan: Any) -> None:
    time_left = TimeLeft(plan)
    time_left.begin(plan.stages[0])
    assert time_left.later(None) == Later(0.0, 3)
    assert time_left.later(20.0) == Later(60.0, 2)


def test_a_finished_stage_tells_the_time_of_later_ones_of_its_kind(plan: Any) -> None:
    time_left = TimeLeft(plan)
    time_left.begin(plan.stages[0])
    time_left.end(10.0)
    time_left.begin(plan.stages[1])
    # The stage itself is not a later one, and what samples and judges has not been measured.
    assert time_left.later(None) == Later(0.0, 2)
    time_left.end(30.0)
    time_left.begin(plan.stages[3])
    assert time_left.later(5.0) == Later(0.0, 1)


def test_before_the_first_stage_nothing_is_later(plan: Any) -> None:
    assert TimeLeft(plan).later(None) == Later()


class Odd:
    """A stage of a plugin whose method is wrong."""

    spec_name = "acme/odd"
    spec_origin = None

    def __init__(self, returned: object) -> None:
        self.returned = returned

    def work(self, known: Known) -> object:
        if isinstance(self.returned, Exception):
            raise self.returned
        return self.returned


@pytest.mark.parametrize(
    "returned", [3, Work("a", -1.0), Work("a", float("nan")), Work(3, 1.0), ValueError("bug")]
)
def test_a_wrong_work_of_a_plugin_is_its_error_and_unknown_in_a_run(
    returned: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd: Any = Odd(returned)
    with pytest.raises(PluginError):
        work_of(odd, Known(cache=tmp_path))
    monkeypatch.setattr("halo_core.run.time_left.known_of", lambda *_: Known(cache=tmp_path))
    stages = [
        SimpleNamespace(id=name, folder=tmp_path / name, spec=SimpleNamespace(component=odd))
        for name in ("a", "b")
    ]
    time_left = TimeLeft(SimpleNamespace(stages=stages))  # type: ignore[arg-type]
    time_left.begin(stages[0])  # type: ignore[arg-type]
    assert time_left.later(1.0) == Later(0.0, 1)


def test_a_stage_knows_the_size_of_its_rows_when_they_are_on_disk(
    spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, halo: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = make_plan(load_spec(spec_file), open_workspace(str(tmp_path / "workspace")))
    assert known_of(plan, plan.stages[0], None).row_bytes == {"data": None}
    assert halo("run", str(spec_file), "--json").code == 0
    (size,) = known_of(plan, plan.stages[0], None).row_bytes.values()
    assert size is not None
    assert size > 10
