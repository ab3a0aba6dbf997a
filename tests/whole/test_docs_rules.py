"""The guide to the test kit names each rule of each kind of component, and where it is checked.

An author needs the names, because `unchecked_rules` contains them. After a new rule, add an item
that begins with its name to the section of its kind in `docs/reference/rules.md`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from halo_core.check.command_rules import command_rules
from halo_core.check.component_rules import OPTION_RULES
from halo_core.check.kind_rules import rules_of
from halo_core.check.surroundings import AFTER
from halo_core.check.wrapping import around_given, wrapper_rule
from halo_core.loss_wrapper import LossWrapper
from halo_core.plugins.discovery import discover
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import import_target
from halo_core.testing import (
    check_conversion,
    check_data_source,
    check_loss,
    check_reference_point,
    check_reference_update,
    check_report,
    check_scoring_judge,
    check_stage,
    check_tracker,
    stage_context,
)
from halo_core.testing.component import COMPONENT_CHECKS, rule_name

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"
ITEM = re.compile(r"^- (.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"`[a-z-]+`((, | and )`[a-z-]+`)*")
ONLY = "only in `halo check"
COMMON = {rule_name(check) for check in COMPONENT_CHECKS}


def items(heading: str) -> dict[str, bool]:
    """Returns the rules that begin the items of a section, and whether a test checks them, too."""
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE.name} has no section {heading!r}"
    rules: dict[str, bool] = {}
    for item in ITEM.findall(found[1]):
        for part in re.split(r"(?<=check`), (?=`)", item.partition(":")[0]):
            names = NAMES.match(part)
            assert names, f"{heading}: an item begins without the name of a rule: {item[:60]!r}"
            for name in re.findall(r"`([a-z-]+)`", names[0]):
                assert name not in rules, f"{heading}: two items begin with {name!r}"
                rules[name] = ONLY not in part
    return rules


def registered(kind: str, name: str) -> tuple[Registration, Any]:
    """Returns the registration of a built-in component, and its class."""
    (found,) = (r for r in discover().registrations if (r.kind, r.canonical) == (kind, name))
    return found, import_target(found)


def made(kind: str, name: str, **options: Any) -> Any:
    return registered(kind, name)[1](**options)


def scorer() -> Any:
    return made("judge", "reward-model", hub="owner/name")


def checked(kind: str, name: str, **options: Any) -> set[str]:
    """Returns the rules of ``halo check --full`` for a component, without those of every one."""
    registration, cls = registered(kind, name)
    return {rule.name for rule in rules_of(cls(**options), registration, full=True)} - COMMON


def converting() -> set[str]:
    source, rules = around_given(*registered("data", "paired-to-binary"), {})
    registration, _ = registered("data", "paired-to-binary")
    known = {rule.name for rule in (*rules_of(source, registration), *rules)}
    return known - COMMON - {"rows", "digest"}  # `wrapping` contains these two.


def of_packages() -> set[str]:
    """Returns the rules that the command itself checks, as its source names them."""
    command = Path(__file__).parents[2] / "halo_core" / "check"
    sources = [file.read_text(encoding="utf-8") for file in command.glob("*.py")]
    named = {name for text in sources for name in re.findall(r'Finding\([\w.]+, "([\w-]+)"', text)}
    assert {"loads", "kind", "import-time"} <= named
    return named - COMMON - {*AFTER}


SECTIONS: Mapping[str, Callable[[], set[str]]] = {
    "A package": of_packages,
    "Every component": lambda: COMMON | {*OPTION_RULES} | {*AFTER},
    "`check_loss`": lambda: checked("loss", "kto"),
    "`check_loss_wrapper`": lambda: {wrapper_rule(LossWrapper, {}).name},
    "`check_reference_point`": lambda: (
        checked("reference_point", "mismatched-kl") | checked("reference_point", "dispreferred")
    ),
    "`check_reference_update`": lambda: checked("reference_update", "copy", every=1),
    "`check_data_source`": lambda: checked("data", "toy"),
    "`check_conversion`": converting,
    "`check_judge` and `check_scoring_judge`": lambda: checked(
        "judge", "reward-model", hub="owner/name"
    ),
    "`check_stage` and `check_killed`": lambda: checked("stage", "sample", prompts="rows"),
    "`check_tracker`": lambda: checked("tracker", "mlflow"),
    "`check_report`": lambda: checked("report", "html"),
    "`check_command`": lambda: {rule.name for rule in command_rules()},
}
"""The rules of ``halo check --full`` by the heading of their section."""


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_guide_names_the_rules_of_each_kind(heading: str) -> None:
    assert {*items(heading)} == SECTIONS[heading]()


def calls(folder: Path) -> Mapping[str, Sequence[Callable[[], object]]]:
    """Returns calls of the functions of the kit, by the heading of their section."""
    _, conversion = registered("data", "paired-to-binary")
    stage, context = made("stage", "sample", prompts="rows"), stage_context(folder / "stage")
    return {
        "`check_loss`": [lambda: check_loss(made("loss", "kto"))],
        "`check_reference_point`": [
            lambda: check_reference_point(made("reference_point", "mismatched-kl")),
            lambda: check_reference_point(made("reference_point", "dispreferred")),
        ],
        "`check_reference_update`": [
            lambda: check_reference_update(made("reference_update", "copy", every=1))
        ],
        "`check_data_source`": [lambda: check_data_source(made("data", "toy"))],
        "`check_conversion`": [lambda: check_conversion(lambda source: conversion(source=source))],
        "`check_judge` and `check_scoring_judge`": [lambda: check_scoring_judge(scorer(), folder)],
        "`check_stage` and `check_killed`": [lambda: check_stage(stage, context)],
        "`check_tracker`": [lambda: check_tracker(made("tracker", "mlflow"), folder)],
        "`check_report`": [lambda: check_report(made("report", "html"), folder)],
    }


def test_the_guide_says_which_rules_the_functions_of_the_kit_leave_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: set[str] = set()

    def note(_: object, checks: Any) -> None:
        run.update(checks if isinstance(checks, Mapping) else map(rule_name, checks))

    for name, module in list(sys.modules.items()):
        if name.startswith("halo_core.testing") and hasattr(module, "check_rules"):
            monkeypatch.setattr(module, "check_rules", note)
    for heading, functions in calls(tmp_path).items():
        run.clear()
        for call in functions:
            call()
        in_tests = {name for name, by_the_kit in items(heading).items() if by_the_kit}
        assert run - COMMON == in_tests - {"killed"}, heading  # `check_killed` is its own function.
