"""A run has one title for people. It says what varies, and never changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import PathError
from halo_core.run.run_files import to_yaml
from halo_core.workspace.layout import find
from halo_core.workspace.records import RUN, RunCell, RunRecord, RunStage
from halo_core.workspace.run_title import new_title, recorded_title, run_title

Begin = Callable[..., str]


def resolved(loss: str = "kto", **options: Any) -> dict[str, Any]:
    data = [{"use": "toy", "size": options.pop("size", 10)}]
    beta = options.pop("beta", 0.1)
    stage = {"use": "train", "loss": {"use": loss, "beta": beta}, "data": data, **options}
    return {"name": "toy", "seed": 1, "data": {"train": data}, "stages": {"align": stage}}


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Begins runs of one recipe in one workspace, and returns their titles."""

    def begin(name: str, tree: dict[str, Any], cell: RunCell | None = None, seed: int = 1) -> str:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True, exist_ok=True)
        loss = tree["stages"]["align"]["loss"]["use"]
        stage = RunStage(
            id="align", use="train", folder="f", key="k", product="model", loss=loss, roles={}
        )
        stage["roles"] = {"loss": "loss"}
        record = RunRecord(name=name, recipe="toy", seed=seed, suite=cell, stages=[stage])
        record["title"] = new_title(record, tree, folder)
        (folder / "spec.resolved.yaml").write_text(to_yaml(tree))
        RUN.write(folder, record)
        return run_title(folder)

    return begin


def test_titles_say_the_loss_its_beta_the_seed_and_what_differs_from_a_namesake(
    begin: Begin,
) -> None:
    assert begin("toy-000001", resolved(learning_rate=1e-5)) == "kto-b0.1-s1"
    assert begin("toy-000002", resolved(learning_rate=2e-5)) == "kto-b0.1-s1-lr2e-05"
    assert begin("toy-000003", resolved(learning_rate=1e-5, size=20)) == "kto-b0.1-s1-size20"
    assert begin("toy-000004", resolved(beta=0.5)) == "kto-b0.5-s1"
    assert begin("toy-000005", resolved("acme/dpo"), seed=2) == "dpo-b0.1-s2"
    # The same options: only what they read can differ.
    assert begin("toy-00000a", resolved(learning_rate=2e-5)) == "kto-b0.1-s1-lr2e-05-00000a"


def test_a_run_is_found_by_its_title_if_no_other_run_has_it(begin: Begin, tmp_path: Path) -> None:
    begin("toy-000001", resolved(learning_rate=1e-5))
    begin("toy-000002", resolved(learning_rate=2e-5))
    assert find("kto-b0.1-s1-lr2e-05", tmp_path).folder.name == "toy-000002"
    assert find("kto-b0.1-s1:win", tmp_path, stages=True).folder.name == "toy-000001"
    path = tmp_path / "runs" / "toy-000002" / "run.json"
    record = RUN.read(path.parent)
    assert record is not None
    RUN.write(path.parent, {**record, "title": "kto-b0.1-s1"})
    with pytest.raises(PathError, match="is the title of 2 runs; name one of them: toy-000001"):
        find("kto-b0.1-s1", tmp_path)
    path.write_text("{")
    assert find("kto-b0.1-s1", tmp_path).folder.name == "toy-000001"


def test_a_run_that_continues_keeps_its_title(begin: Begin) -> None:
    first = begin("toy-000001", resolved(learning_rate=1e-5))
    begin("toy-000002", resolved(learning_rate=2e-5))
    assert begin("toy-000001", resolved(learning_rate=1e-5)) == first


def test_the_title_of_a_cell_is_the_cell_s_id(begin: Begin) -> None:
    cell = RunCell(folder="suites/s", cell="small/kto", axes={"size": "small", "method": "kto"})
    assert begin("toy-small-kto-000001", resolved(), cell) == "small/kto"


def test_a_run_of_an_older_halo_is_called_by_its_folder_and_keeps_what_trackers_called_it(
    begin: Begin, tmp_path: Path
) -> None:
    begin("toy-000001", resolved())
    path = tmp_path / "runs" / "toy-000001" / "run.json"
    record = json.loads(path.read_text())
    del record["title"], record["crc"]
    path.write_text(json.dumps(record))
    assert run_title(path.parent) == "toy-000001"
    assert recorded_title(RUN.read(path.parent) or RunRecord(), path.parent) == "kto-b0.1-s1"
    assert begin("toy-000001", resolved()) == "kto-b0.1-s1"
    path.unlink()
    assert run_title(path.parent) == "toy-000001"


def test_credentials_are_not_part_of_a_title(begin: Begin) -> None:
    begin("toy-000001", resolved(api_key="one", source="http://ann:sesame@h/a"))
    title = begin("toy-000002", resolved(api_key="two", source="http://ann:sesame@h/b"))
    assert title == "kto-b0.1-s1-sourceb"
