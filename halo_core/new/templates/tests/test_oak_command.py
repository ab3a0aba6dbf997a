import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from halo_core import PathError, UserError
from halo_core.testing import check_command

from halo_acorn.oak_command import command, final_numbers


@pytest.fixture
def run(tmp_path: Path) -> Path:
    numbers = {"sft": {"loss": 2.5, "steps": 8.0}, "kto": {}}
    events = [{"type": "stage-ended", "stage": s, "metrics": m} for s, m in numbers.items()]
    lines = "".join(f"{json.dumps(event)}\n" for event in [{"type": "run-started"}, *events])
    (tmp_path / "events.jsonl").write_text(lines + '{"type": "run-en')
    return tmp_path


def printed(*arguments: str) -> str:
    return CliRunner().invoke(command, arguments, catch_exceptions=False).output


def test_the_command_keeps_the_rules() -> None:
    check_command(command)


def test_the_numbers_of_each_stage_are_printed(run: Path) -> None:
    assert printed(str(run)) == "sft: loss 2.5, steps 8\nkto: no numbers\n"


def test_one_stage_can_be_chosen(run: Path) -> None:
    assert printed(str(run), "--stage", "kto") == "kto: no numbers\n"
    with pytest.raises(UserError, match="no finished stage 'dpo'; the finished ones: sft, kto"):
        printed(str(run), "--stage", "dpo")


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="give the folder of a run"):
        final_numbers(tmp_path)
