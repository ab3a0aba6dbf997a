from __future__ import annotations

import json
from pathlib import Path

import pytest

from halo_core.events import EventLog, read_events
from halo_core.run.run_files import to_yaml
from halo_core.workspace.check_values import check_value, damages
from halo_core.workspace.lock import locked
from halo_core.workspace.old_credentials import clean_old_records
from halo_core.workspace.records import RUN, SUITE

ADDRESS = "http://ann:open/sesame@host:5000/?token=t0kent0ken"
PIN = "postgresql://ann:1234@host/runs"


def old_run(workspace: Path, name: str = "old-1a2b3c", address: str = ADDRESS) -> Path:
    """Returns a run's folder as an older halo wrote it."""
    folder = workspace / "runs" / name
    folder.mkdir(parents=True)
    tracking = [{"use": "mlflow", "uri": address}]
    for file in ("spec.yaml", "spec.resolved.yaml"):
        (folder / file).write_text(to_yaml({"name": "old", "tracking": tracking}))
    command = ["halo", "run", "old.yaml", "--set", f"tracking.0.uri={address}"]
    record = {
        "name": name,
        "recipe": "old",
        "seed": 1,
        "command": command,
        "stages": [],
        "data": {},
    }
    record |= {"data": {}, "components": [], "versions": {}, "tracking": tracking}
    record["files"] = {file: check_value(folder / file) for file in ("spec.yaml",)}
    RUN.write(folder, record)  # type: ignore[arg-type]
    log = EventLog(folder / "events.jsonl")
    log.append(
        "run-started",
        name="old",
        run=name,
        spec="spec.yaml",
        resolved="r",
        command=command,
        stages=[],
    )
    log.append("warning", stage=None, message="last")
    (folder / "report.html").write_text(f"<p>{address}</p>")
    return folder


def texts(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_the_records_of_earlier_runs_are_cleaned_and_still_read(tmp_path: Path) -> None:
    folder = old_run(tmp_path)
    offsets = [offset for _, offset in read_events(folder / "events.jsonl")]
    assert clean_old_records(tmp_path, tmp_path / "runs" / "new") == [folder]
    assert "sesame" not in texts(folder)
    assert "t0kent0ken" not in texts(folder)
    assert "host:5000" in texts(folder)
    record = RUN.read(folder)
    assert record is not None
    assert damages(folder, record["files"], read_all=True) == {}
    events = list(read_events(folder / "events.jsonl"))
    assert [offset for _, offset in events] == offsets
    assert events[1][0]["message"] == "last"
    assert clean_old_records(tmp_path, tmp_path / "runs" / "new") == []


def test_a_short_password_is_taken_out_and_no_word_is_cut(tmp_path: Path) -> None:
    folder = old_run(tmp_path, address=PIN)
    (folder / "report.html").write_text(f"1234 steps, {PIN}")
    clean_old_records(tmp_path, folder)
    assert "1234@" not in texts(folder)
    assert (folder / "report.html").read_text().startswith("1234 steps, ")


def test_a_suite_is_cleaned(tmp_path: Path) -> None:
    folder = tmp_path / "suites" / "old"
    folder.mkdir(parents=True)
    (folder / "suite.yaml").write_text(f"tracking: [{{use: mlflow, uri: '{ADDRESS}'}}]\n")
    SUITE.write(folder, {"name": "old", "axes": {}, "cells": [], "trackers": {"a": {"u": ADDRESS}}})
    assert clean_old_records(tmp_path, tmp_path) == [folder]
    assert "sesame" not in texts(folder)
    record = SUITE.read(folder)
    assert record is not None
    assert "host:5000" in json.dumps(record["trackers"])


@pytest.mark.parametrize("kind", ["busy", "link", "clean"])
def test_other_folders_stay_as_they_are(tmp_path: Path, kind: str) -> None:
    workspace = tmp_path / "workspace"
    if kind == "clean":
        address = "https://host/model@main and https://host:5000/model@main"
        folder = old_run(workspace, address=address)
    elif kind == "link":
        folder = old_run(tmp_path)
        (workspace / "runs").mkdir(parents=True)
        (workspace / "runs" / "old").symlink_to(folder)
    else:
        folder = old_run(workspace)
    before = texts(folder)
    with locked(folder if kind == "busy" else tmp_path / "none", ""):
        assert clean_old_records(workspace, workspace / "runs" / "new") == []
    assert texts(folder) == before


def test_a_linked_file_is_not_written_through(tmp_path: Path) -> None:
    folder = old_run(tmp_path / "workspace")
    outside = tmp_path / "outside.html"
    outside.write_text(ADDRESS)
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(outside)
    assert clean_old_records(tmp_path / "workspace", folder) == [folder]
    assert outside.read_text() == ADDRESS
