"""`halo check`: whether components keep the rules of their interfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options
from halo_core.errors import Interrupted, PluginError, UserError
from halo_core.stop_flag import BySignal, from_outside

if TYPE_CHECKING:
    from halo_core.check.findings import Finding, State
    from halo_core.check.run_checks import Step

_WORDS: Mapping[State, str] = {
    "pass": "passed",
    "fail": "failed",
    "warn": "warned",
    "skip": "skipped",
}


SHOWN = 3
"""Number of components that a message names."""


@click.command()
@click.argument("target", metavar="[DISTRIBUTION | NAME | file:PATH:CLASS]", required=False)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="An option of the component, as a spec would give it.",
)
@click.option("--strict", is_flag=True, help="Warnings, and refused inputs, count as failures.")
@click.option("--all-rules", is_flag=True, help="Also list the rules that are kept.")
@click.option(
    "--full",
    is_flag=True,
    help="Also kill and resume trainings, and train with two processes. It takes minutes.",
)
@output_options
def check(
    target: str | None,
    settings: tuple[str, ...],
    strict: bool,
    all_rules: bool,
    full: bool,
    output: Output,
) -> None:
    """Check that plugins keep the rules of halo.

    Without a name, everything that is installed is checked. The rules are those of
    halo_core.testing. A component can leave out a rule with a reason: see `unchecked_rules`.
    """
    from halo_core.check.run_checks import steps_of
    from halo_core.check.targets import find_target
    from halo_core.plugins.discovery import discover

    registry = discover()
    wanted = find_target(target, registry)
    options = _options(settings)
    kinds = {registration.kind for registration in wanted.registrations}
    if options and (target is None or wanted.distributions or kinds == {"command"}):
        raise UserError(
            "options are those of one component; give its name: halo check NAME --set "
            f"{settings[0]}",
            location="--set",
        )
    steps = steps_of(wanted, registry, options, full=full)
    findings, unchecked, stopped = _run(steps, output, all_rules=all_rules)
    counts = Counter(finding.state for finding in findings)
    counted = ("fail", "warn") if strict else ("fail",)
    broken = [f for f in findings if f.state in counted or (strict and f.refused)]
    fields = {
        "findings": [asdict(finding) for finding in findings],
        "counts": dict(counts),
        "unchecked": unchecked,
    }
    output.attach(**fields)
    summary = ", ".join(f"{counts[s]} {word}" for s, word in _WORDS.items() if counts[s])
    output.say(f"\n{summary or 'nothing was checked'}")
    if stopped is not None:
        raise Interrupted(
            f"stopped; {len(unchecked)} of {len(steps)} are not checked, or not by all rules: "
            f"{_names(unchecked)}. To check one of them: halo check NAME",
            signal_number=stopped,
        )
    if broken:
        subjects = _names(list(dict.fromkeys(finding.subject for finding in broken)))
        raise PluginError(
            f"{len(broken)} of {len(findings)} rules {'is' if len(broken) == 1 else 'are'} broken, "
            f"by {subjects}; the page 'Rules of the test kit' of the docs explains each rule"
        )
    output.emit(fields)


def _run(
    steps: Sequence[Step], output: Output, *, all_rules: bool
) -> tuple[list[Finding], list[str], int | None]:
    """Returns the findings, the subjects that a signal left unchecked, and that signal."""
    findings: list[Finding] = []
    for number, step in enumerate(steps):
        try:
            output.say(step.subject)
            for finding in step.findings():
                findings.append(finding)
                if all_rules or finding.state != "pass":
                    _say(output, finding)
        except KeyboardInterrupt as error:
            if not from_outside(error):
                raise
            left = [each.subject for each in steps[number:]]
            return findings, left, error.signal_number if isinstance(error, BySignal) else 2
    return findings, [], None


def _say(output: Output, finding: Finding) -> None:
    output.say(
        f"  {finding.state:5}{finding.rule}{f': {finding.reason}' if finding.reason else ''}"
    )
    if finding.place:
        output.say(f"       at {finding.place}")


def _names(subjects: Sequence[str]) -> str:
    more = f" and {len(subjects) - SHOWN} more" if len(subjects) > SHOWN else ""
    return f"{', '.join(subjects[:SHOWN])}{more}"


def _options(settings: Sequence[str]) -> dict[str, Any]:
    """Returns options by name, with their values read as YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    options: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UserError(f"got {setting!r}; expected OPTION=VALUE", location="--set")
        try:
            options[name] = YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            raise UserError(f"{setting!r} is not YAML: {error}", location="--set") from error
    return options
