"""A process that code of others forked does not do the work of halo a second time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Halo = Callable[..., Any]

FORKS = """
import os

def fork():
    child = os.fork()
    if child:
        os.waitpid(child, 0)
"""
COMMAND = f"""
{FORKS}
import sys
from halo_core.cli.output import Output, finish

def command():
    output.emit({{"done": True}})
    fork()

output = Output(json=True)
sys.exit(finish(output, command))
"""
SOURCE = f"""
{FORKS}
from halo_core.data import DataInfo, DataSource


class Odd(DataSource):
    def inspect(self):
        fork()
        with open({{log!r}}, "a") as log:
            log.write("inspected\\n")
        return DataInfo(digest="d", splits={{{{"train": "paired"}}}})

    def load(self, split):
        raise NotImplementedError
"""


def test_a_command_whose_forked_process_returns_prints_its_object_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["done"] is True
    assert "the command forked the process " in done.stderr
    assert "A forked process must end with os._exit" in done.stderr


def test_a_component_whose_forked_process_returns_is_named_and_called_once(
    halo_process: Halo, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    source = tmp_path / "odd.py"
    source.write_text(SOURCE.format(log=str(log)))
    done = halo_process("data", f"file:{source}:Odd", "--json")
    assert len(done.out.split('"schema"')) == 2, "one object"
    assert "Odd.inspect() forked the process" in done.err
