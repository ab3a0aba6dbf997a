"""The design page lists the files on each way through the code, and each file once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^### (The way of [^\n]+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
STEP = re.compile(r"`([\w./-]+\.\w+)`: \S")


def ways_in(page: str) -> dict[str, list[str]]:
    """Returns the lines of each way by name, without their numbers.

    Raises:
        ValueError: When lines are not numbered 1, 2, 3...
    """
    ways = {}
    for name, text in SECTION.findall(page):
        numbered = LINE.findall(text)
        if [int(number) for number, _ in numbered] != list(range(1, len(numbered) + 1)):
            raise ValueError(f"{name}: lines are not numbered 1 to {len(numbered)}")
        ways[name] = [line for _, line in numbered]
    return ways


def mistakes_of(lines: Sequence[str], root: Path) -> list[str]:
    """Returns the mistakes in the lines of a way."""
    mistakes, files = [], []
    for line in lines:
        match = STEP.match(line)
        if match is None:
            mistakes.append(f"no `file`: what happens: {line}")
            continue
        if not (root / match[1]).is_file():
            mistakes.append(f"not there: {match[1]}")
        if match[1] in files:
            mistakes.append(f"twice: {match[1]}")
        files.append(match[1])
    return mistakes


WAYS: Mapping[str, Sequence[str]] = ways_in((ROOT / "docs/explanation/design.md").read_text())


@pytest.mark.parametrize("name", WAYS)
def test_a_way_names_files_that_are_there_each_of_them_once(name: str) -> None:
    assert WAYS[name]
    assert mistakes_of(WAYS[name], ROOT) == []


def test_the_design_page_tells_the_ways_of_a_batch_an_option_and_a_verdict() -> None:
    told = {"The way of a batch", "The way of an option", "The way of a verdict"}
    assert told <= set(WAYS)


def test_files_that_are_gone_or_named_twice_and_other_lines_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    page = (
        "### The way of x\n\n1. `a.py`: reads\n2. `b.py`: is gone\n3. `a.py`: again\n4. a.py\n## y"
    )
    (way,) = ways_in(page).values()
    assert mistakes_of(way, tmp_path) == [
        "not there: b.py",
        "twice: a.py",
        "no `file`: what happens: a.py",
    ]


def test_lines_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="not numbered 1 to 2"):
        ways_in("### The way of x\n1. `a.py`: reads\n3. `b.py`: writes\n")
