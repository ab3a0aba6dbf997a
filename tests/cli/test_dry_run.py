"""`halo run --dry-run` shows the plan, and what judges would cost; it runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]


def test_a_dry_run_prints_what_plan_prints(halo: Halo, spec_file: Path, tmp_path: Path) -> None:
    dry = halo("run", str(spec_file), "--dry-run", "--set", "seed=3")
    assert dry.code == 0
    assert dry.out == halo("plan", str(spec_file), "--set", "seed=3").out
    assert "  requests     known after answers" in dry.out
    assert not (tmp_path / "workspace" / "runs").exists()
    assert not (tmp_path / "workspace" / "stages").exists()


def test_a_dry_run_of_a_suite_tells_alike_stages_ahead_once(halo: Halo, suite_file: Path) -> None:
    dry = halo("run", str(suite_file), "--dry-run", "--jobs", "2")
    assert dry.out == halo("plan", str(suite_file)).out
    named = "6 stages: small/none, small/weak, small/strong, ..."
    assert dry.out.splitlines()[-2:] == ["ahead", f"  win ({named}): requests known after answers"]


def test_a_suites_plan_asks_what_is_ahead_of_samples_that_are_there(
    halo: Halo, suite_file: Path
) -> None:
    halo("run", str(suite_file), "--cell", "small/none")
    again = ["--set", "stages.win.against=answers", "--cell", "small/none"]
    stages = halo("run", str(suite_file), "--dry-run", "--json", *again).json["stages"]
    assert [stage["ahead"] for stage in stages] == [{}, {}, {"requests": "2 to a judge"}]


@pytest.mark.parametrize(
    "option", [("--again", "win"), ("--submit", "local"), ("--submit-option", "a=1")]
)
def test_options_that_a_dry_run_cannot_show_are_refused(
    halo: Halo, spec_file: Path, option: tuple[str, str]
) -> None:
    refused = halo("run", str(spec_file), "--dry-run", *option)
    assert refused.code == 2
    assert refused.err == f"{option[0]}: has no effect with --dry-run; leave it out\n"
