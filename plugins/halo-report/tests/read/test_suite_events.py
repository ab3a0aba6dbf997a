"""A cell that is done must have the events of its run."""

import pytest

from halo_core.errors import DataError
from halo_core.workspace.layout import Target
from halo_core.workspace.records import RUN
from halo_report.read.suite_cells import read_suite


@pytest.mark.parametrize("content", [b"", bytes(500)])
def test_a_cell_that_is_done_and_has_lost_its_events_is_an_error(suite, content):
    cells = [((name,), suite.run(name, ["win", "loss"]), "computed", None) for name in ("a", "b")]
    folder = suite.write("tiny", {"method": ["a", "b"]}, cells)
    target = Target("suite", folder)
    assert [cell.status for _, cell in read_suite(target, None).cells] == ["done", "done"]
    events = suite.workspace / "runs" / "b" / "events.jsonl"
    events.write_bytes(content)
    with pytest.raises(DataError, match="says that the cell 'b' is done") as error:
        read_suite(target, None)
    assert error.value.location == str(events)
    assert "Run the same command again" in error.value.message
    RUN.write(events.parent, {})
    events.unlink()
    with pytest.raises(DataError, match="says that the cell 'b' is done"):
        read_suite(target, None)
