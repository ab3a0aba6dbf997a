"""`halo check`: it finds every broken component, and lets the good ones pass."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.check import component_rules, kind_rules, rule
from halo_core.check.component_rules import check_class
from halo_core.check.findings import Finding
from halo_core.check.surroundings import AFTER
from halo_core.component import interface_of
from halo_core.judge import Comparison, Quote, Verdict
from halo_core.plugins.registrar import Registration
from halo_core.testing.commands.command_calls import CALL_CHECKS
from halo_core.testing.commands.command_process import outcome_of

BROKEN = Path(__file__).with_name("broken")


def load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


MODULES = {file.stem: load(file) for file in sorted(BROKEN.glob("*.py"))}
CLASSES = {
    name: value
    for module in MODULES.values()
    for name, value in vars(module).items()
    if isinstance(value, type) and "breaks" in vars(value) and "advised" not in vars(value)
}
ADVISED = {
    name: value
    for module in MODULES.values()
    for name, value in vars(module).items()
    if isinstance(value, type) and "advised" in vars(value)
}
COMMANDS = MODULES["broken_commands"].BREAKS | MODULES["broken_command_runs"].BREAKS
DEFINITIONS = MODULES["broken_definitions"].DEFINITIONS
GOOD = [name for name, value in CLASSES.items() if not value.breaks]


def command_of(name: str) -> Any:
    modules = (MODULES["broken_commands"], MODULES["broken_command_runs"])
    return next(getattr(module, name) for module in modules if name in module.BREAKS)


def findings(name: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Finding]:
    # A training takes seconds, and imports are checked in a process of their own.
    monkeypatch.setattr(kind_rules, "check_training", lambda *_: None)
    cls = CLASSES.get(name) or ADVISED[name]
    if getattr(cls, "breaks", "") != "elsewhere":  # It starts processes.
        monkeypatch.setattr(
            "halo_core.testing.circumstances.elsewhere.check_elsewhere", lambda *_, **__: None
        )
    file = inspect.getfile(cls)
    registration = Registration(
        interface_of(cls).kind, name, f"broken:{name}", "halo-broken", "1", file
    )
    return list(check_class(registration, cls, options))


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.testing.component.check_import_budget", lambda _: None)
    monkeypatch.setattr("halo_core.testing.commands.rules.check_import_budget", lambda _: None)


@pytest.fixture(autouse=True)
def _settings_of_torch() -> Iterator[None]:
    """Takes back what broken losses change: `halo check` calls them in a process of their own."""
    dtype, state = torch.get_default_dtype(), torch.get_rng_state()
    yield
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(True)
    torch.autograd.set_detect_anomaly(False)  # It would make all later gradients slow.
    torch.set_rng_state(state)


@pytest.fixture(autouse=True)
def _no_files_elsewhere() -> Iterator[None]:
    """Removes what broken components write outside of the folders that they get."""
    yield
    for left in Path(tempfile.gettempdir()).glob(f"halo-broken-*-{os.getpid()}.txt"):
        left.unlink()


ALL_RULES = ("Exits", "MixesRuns", "PaysBack", "Twice", "WrongSign")
"""Broken components that meet all rules. The others meet the rule that they break. What `MixesRuns`
keeps comes from the other rules."""


REPEATED = ("Rows", "Pairs", "Around")
"""Good sources that are read in another Python process, too."""


def only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs one rule of those that call the component, or all if its finding needs them all."""
    if name in AFTER:
        return
    run = component_rules.run_rule

    def run_one(subject: str, each: rule.Rule, *more: Any) -> Finding:
        return (
            run(subject, each, *more) if each.name == name else Finding(subject, each.name, "skip")
        )

    monkeypatch.setattr(component_rules, "run_rule", run_one)


def in_its_suite(name: str) -> Any:
    """Returns the name as a parameter. Other processes take seconds, so their rule is slow."""
    slow = CLASSES[name].breaks == "elsewhere"
    return pytest.param(name, marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize("name", [in_its_suite(name) for name in CLASSES if name not in GOOD])
def test_a_broken_component_breaks_its_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "Sleeps":
        monkeypatch.setattr(rule.Rule.__new__, "__defaults__", (0.2,))
    if name in ("SlowLoss", "SlowMix"):
        monkeypatch.setattr("halo_core.testing.losses.loss_reports.SLOW_S", 0.0)
        monkeypatch.setattr("halo_core.testing.points.reference_updates.SLOW_S", 0.0)
    if name == "ReadsAllForEach":
        monkeypatch.setattr("halo_core.testing.reports.report_pages.LONG_S", 0.25)
    if name == "OpensSlowly":
        monkeypatch.setattr("halo_core.testing.trackers.rules.OPEN_S", 0.05)
    if CLASSES[name].breaks == "killed":
        # All kills, however long the first runs take.
        monkeypatch.setattr("halo_core.check.stage_rules.KILLS_S", 1e6)
    else:  # Kills need several processes.
        monkeypatch.setattr("halo_core.testing.stages.kills.check_killed", lambda *_, **__: None)
    if CLASSES[name].breaks != "repeatable":  # It starts Python again.
        monkeypatch.setattr(
            "halo_core.testing.circumstances.repeatable.check_repeatable", lambda _: None
        )
    if name not in ALL_RULES:
        only(CLASSES[name].breaks, monkeypatch)
    found = findings(name, monkeypatch)
    broken = {each.rule: each for each in found if each.state == "fail"}
    assert CLASSES[name].breaks in broken, [each for each in found if each.state != "pass"]
    assert broken[CLASSES[name].breaks].reason
    assert inspect.getfile(CLASSES[name]) in broken[CLASSES[name].breaks].place


@pytest.mark.parametrize("name", ADVISED)
def test_advice_is_given_and_breaks_no_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.testing.stages.kills.check_killed", lambda *_, **__: None)
    found = [each for each in findings(name, monkeypatch) if each.state not in ("pass", "skip")]
    assert [(each.rule, each.state) for each in found] == [(ADVISED[name].advised, "warn")]
    assert inspect.getfile(ADVISED[name]) in found[0].place


@pytest.mark.parametrize("name", [name for name, rule in COMMANDS.items() if rule in CALL_CHECKS])
def test_a_broken_body_of_a_command_breaks_its_rule(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("never_ends", "works_until_the_end"):
        seconds = 0.3 if name == "never_ends" else 1.0
        monkeypatch.setitem(outcome_of.__kwdefaults__, "seconds", seconds)
        monkeypatch.setattr("halo_core.testing.commands.command_calls.FOLLOWED_S", 0.02)
    if name == "leaves_out_the_encoding" and sys.flags.utf8_mode:
        pytest.skip("in Python's UTF-8 mode, as with LC_ALL=C, each file is read as UTF-8")
    command = command_of(name)
    found = rule.run_rule(name, rule.Rule(COMMANDS[name], CALL_CHECKS[COMMANDS[name]]), command)
    assert found.state == "fail"
    assert found.reason.startswith(f"'{command.name}")


OTHERS = [name for name, rule in COMMANDS.items() if rule and rule not in CALL_CHECKS]


@pytest.mark.parametrize("name", OTHERS)
def test_a_broken_command_breaks_its_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.testing.commands.command_calls.CALL_CHECKS", {})
    if name == "thinks_about_its_help":
        monkeypatch.setattr("halo_core.testing.commands.rules.HELP_S", 0.2)
    file = str(BROKEN / "broken_commands.py")
    registration = Registration("command", name, f"broken:{name}", "halo-broken", "1", file)
    found = check_class(registration, command_of(name), {})
    assert COMMANDS[name] in {each.rule for each in found if each.state == "fail"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "shows_stages" else pytest.mark.slow(seconds=2))
        for name, rule in COMMANDS.items()
        if not rule
    ],
)
def test_a_command_that_keeps_the_rules_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in MODULES["broken_commands"].BREAKS:
        monkeypatch.delitem(CALL_CHECKS, "numbers")  # It makes many calls.
    registration = Registration("command", name, f"broken:{name}", "halo-broken", "1", "")
    found = check_class(registration, command_of(name), {})
    assert {each.state for each in found} == {"pass"}


def test_a_command_leaves_out_a_rule_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    command = MODULES["broken_commands"].takes_everything
    reason = {"usage": "the words are those of another program"}
    monkeypatch.setattr(command, "unchecked_rules", reason, raising=False)
    registration = Registration("command", "acme/all", "m:all", "halo-acme", "1", "")
    found = {each.rule: each for each in check_class(registration, command, {})}
    assert (found["usage"].state, found["usage"].reason) == (
        "skip",
        "by its author: the words are those of another program",
    )


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_rule_without_a_reason_is_checked(
    reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = MODULES["broken_commands"].takes_everything
    monkeypatch.setattr(command, "unchecked_rules", {"usage": reason}, raising=False)
    registration = Registration("command", "acme/all", "m:all", "halo-acme", "1", "")
    found = {each.rule: each for each in check_class(registration, command, {})}
    assert found["unchecked-rules"].reason == (
        "unchecked_rules has no reason for usage; expected a text, why"
    )
    assert found["usage"].state == "fail"


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_class_that_cannot_be_defined_is_a_broken_rule(
    name: str, tmp_path: Path, halo_in: Any
) -> None:
    source, said = DEFINITIONS[name]
    (tmp_path / "mine.py").write_text(MODULES["broken_definitions"].HEAD + source, "utf-8")
    done = halo_in(tmp_path, "check", "file:./mine.py:Mine")
    assert done.code == 3
    assert said in done.err + done.out
    assert "Traceback" not in done.err + done.out


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_a_component_that_keeps_the_rules_passes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in REPEATED:
        monkeypatch.setattr(
            "halo_core.testing.circumstances.repeatable.check_repeatable", lambda _: None
        )
    found = findings(name, monkeypatch)
    # Here, torch is imported, with which a stage is not checked in another process.
    others = [each for each in found if each.rule != "elsewhere"]
    # The shortest stages end before anybody could stop them.
    others = [each for each in others if "never asks context.stop" not in each.reason]
    assert [each for each in others if each.state != "pass"] == []


@pytest.mark.parametrize(("cost", "state"), [(None, "skip"), (0.5, "skip"), (0.0, "pass")])
def test_a_judge_that_may_have_to_be_paid_for_is_not_asked(
    cost: float | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Paid(CLASSES["First"]):  # type: ignore[misc]
        """Takes money."""

        def quote(self, comparisons: Sequence[Comparison], shared: Path) -> Quote:
            return Quote(len(comparisons), 0, 1, 1, cost, "gpt")

        @staticmethod
        def verdict(comparison: Comparison) -> Verdict:
            asked.append(comparison)
            return Verdict(comparison.id, "A")

    monkeypatch.setitem(CLASSES, "Paid", Paid)
    found = {each.rule: each for each in findings("Paid", monkeypatch)}
    assert (found["quote"].state, found["verdicts"].state) == ("pass", state)
    assert bool(asked) == (state == "pass")
    if state == "skip":
        assert "requests to gpt may have to be paid for" in found["verdicts"].reason


def test_a_component_that_goes_on_after_exceptions_is_ended_in_time_too() -> None:
    def check(_: object) -> None:
        with contextlib.suppress(Exception):
            time.sleep(30)
        raise ValueError("it went on")

    found = rule.run_rule("loss mine", rule.Rule("patience", check, 0.1), None)
    assert (found.state, found.reason) == ("fail", "it takes longer than 0.1 s; expected less")


def test_a_component_that_computes_without_end_waits_for_one_rule_only() -> None:
    def loops(_: object) -> None:
        while True:
            pass

    rules = [rule.Rule("patience", loops, 0.1), rule.Rule("next", loops, 0.1)]
    found = list(component_rules._checked("loss mine", rule.Rule, rules, dict))
    assert [(each.rule, each.state) for each in found] == [("patience", "fail"), ("next", "skip")]
    assert found[1].reason == (
        "not tried, because 'patience' took too long; it would probably wait, too"
    )


@pytest.mark.parametrize(
    ("source", "state", "reason"),
    [
        (
            "return None",
            "skip",
            "not checked, because 'output' is broken: TypeError: ",
        ),
        ("return batch.nothing", "fail", "AttributeError: 'NoneType' object has no attribute "),
    ],
)
def test_what_follows_from_a_broken_rule_is_no_further_broken_rule(
    source: str, state: str, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / f"author_{state}.py"
    file.write_text(f"class Mine:\n    def __call__(self, batch):\n        {source}\n", "utf-8")
    mine = load(file).Mine()

    def output(_: object) -> None:
        raise AssertionError("expected LossOutput")

    def split(_: object) -> None:
        len(mine(None))

    rules = [rule.Rule("output", output), rule.Rule("split", split)]
    found = list(component_rules._checked("loss mine", mine, rules, dict))
    assert [(each.rule, each.state) for each in found] == [("output", "fail"), ("split", state)]
    assert found[1].reason.startswith(reason)


def test_no_two_broken_components_have_one_name() -> None:
    names = Counter(
        name
        for module in MODULES.values()
        for name, value in vars(module).items()
        if isinstance(value, type)
        and "breaks" in vars(value)
        and value.__module__ == module.__name__
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_there_are_many_broken_components_of_every_kind() -> None:
    kinds = Counter(interface_of(value).kind for value in CLASSES.values() if value.breaks)
    least = {"loss": 45, "reference_point": 11, "reference_update": 5, "data": 27, "judge": 18}
    least |= {"tracker": 16, "stage": 24, "report": 12}
    assert {kind: kinds[kind] for kind, count in least.items() if kinds[kind] < count} == {}
    assert sum(kinds.values()) + len(DEFINITIONS) + len(COMMANDS) >= 190
