from __future__ import annotations

from pathlib import Path

import pytest

from halo_mlflow.store.state import STATE_FILE, RunState, load_state, save_state


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"stores": 1}', '{"stores": {"a": {"x": 1}}}'])
def test_a_state_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / STATE_FILE
    path.write_text(text)
    assert load_state(path, "a") == RunState()
    save_state(path, "a", RunState(run_id="7"))
    assert load_state(path, "a").run_id == "7"
    assert load_state(path, "b") == RunState()
