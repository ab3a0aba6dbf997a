"""The record of what each store has of a run."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from halo_mlflow.store import state
from halo_mlflow.store.state import RunState, known_stores, load_state, save_state


def test_two_trackers_that_save_at_once_keep_the_records_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, stores = tmp_path / "mlflow.json", ["http://a:5000", "http://b:5000"]
    write = state.write_json

    def slowly(path: Path, record: Any) -> None:
        time.sleep(0.1)  # The other one has read the file in the meantime, unless it waits.
        write(path, record)

    monkeypatch.setattr(state, "write_json", slowly)
    savers = [
        threading.Thread(target=save_state, args=(file, store, RunState(run_id=store)))
        for store in stores
    ]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join()
    assert sorted(known_stores(file)) == stores
    assert [load_state(file, store).run_id for store in stores] == stores


def test_a_record_is_saved_while_another_process_holds_the_lock_of_a_suites_run(
    tmp_path: Path,
) -> None:
    from halo_core.workspace.lock import held

    file = tmp_path / "mlflow.json"
    with held(file):  # As `SuiteParent.find` does.
        save_state(file, "http://a:5000", RunState(run_id="1"))
    assert load_state(file, "http://a:5000").run_id == "1"
