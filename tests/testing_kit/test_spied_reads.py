"""The kit notes which variables a component reads, and at which files of its folder it looks."""

import os
import sys
from pathlib import Path

import pytest
import torch.distributed as distributed
from pydantic import Field

from halo_core import ReferenceUpdate
from halo_core.testing.circumstances.elsewhere import Answer, _check_first_calls, _second_rank
from halo_core.testing.processes.spied_reads import spied_reads

HERE = [sys.modules[__name__]]


class Named(ReferenceUpdate):
    """An update whose option names a file."""

    file: str = Field(default="named.txt", description="The file.")

    def mix(self, step: int) -> float:
        return 0.0


def test_reads_of_other_code_and_of_named_files_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stat = os.stat
    with spied_reads() as reads:
        os.environ.get("HALO_TEST_SHARE")
        os.path.expanduser("~")  # The standard library reads HOME for this module.
        Path("share.txt").exists()
        Path("named.txt").exists()
        Path(__file__).exists()
        with pytest.raises(FileNotFoundError):
            open("absent.txt")
    os.environ.get("HALO_TEST_LATER")
    Path("later.txt").exists()
    assert "HALO_TEST_SHARE" in reads.variables_of(HERE)
    assert "HALO_TEST_LATER" not in reads.variables_of(HERE)
    assert reads.files_of(HERE, Named()) == ["share.txt", "absent.txt"]
    assert (reads.variables_of([]), reads.files_of([], Named())) == ([], [])
    assert os.stat is stat


def test_a_text_that_is_no_path_names_no_file() -> None:
    with spied_reads() as reads:
        Path("share.txt").exists()
    # As with letters outside of ASCII in a process with LC_ALL=C.
    assert reads.files_of(HERE, Named(file="moo\0")) == ["share.txt"]


@pytest.mark.parametrize(
    ("answered", "message"),
    [
        (Answer({}, ["writes or removes /x"]), "its first call in a process writes or removes /x"),
        (Answer({}, [], [], ["a.txt"]), "it looks for 'a.txt' in the current folder"),
    ],
)
def test_what_a_first_call_does_besides_is_named(answered: Answer, message: str) -> None:
    _check_first_calls(Named(), Answer({}))
    with pytest.raises(AssertionError, match=message):
        _check_first_calls(Named(), answered)


def test_torch_says_that_a_process_is_the_second_one_in_a_block_only() -> None:
    usual = distributed.is_initialized()
    with _second_rank(True):
        assert (distributed.is_initialized(), distributed.get_rank()) == (True, 1)
        assert distributed.get_world_size() == 2
    with _second_rank(False):
        assert distributed.is_initialized() == usual
    assert distributed.is_initialized() == usual
