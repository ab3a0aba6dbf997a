"""`halo check`: whether components keep the rules of their interfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options
from halo_core.errors import PluginError, UserError

if TYPE_CHECKING:
    from halo_core.check.findings import Finding, State

_WORDS: Mapping[State, str] = {
    "pass": "passed",
    "fail": "failed",
    "warn": "warned",
    "skip": "skipped",
}


@click.command()
@click.argument("target", metavar="[DISTRIBUTION | NAME | file:PATH:CLASS]", required=False)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="An option of the component, as a spec would give it.",
)
@click.option("--strict", is_flag=True, help="Warnings count as failures.")
@click.option("--all-rules", is_flag=True, help="Also list the rules that are kept.")
@output_options
def check(
    target: str | None,
    settings: tuple[str, ...],
    strict: bool,
    all_rules: bool,
    output: Output,
) -> None:
    """Check that plugins keep the rules of halo.

    Without a name, everything that is installed is checked. The rules are those of
    halo_core.testing. A component can leave out a rule with a reason: see `unchecked_rules`.
    """
    from halo_core.check.run_checks import run_checks
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
    findings: list[Finding] = []
    shown = ""
    for finding in run_checks(wanted, registry, options):
        findings.append(finding)
        if finding.subject != shown:
            shown = finding.subject
            output.say(shown)
        if all_rules or finding.state != "pass":
            _say(output, finding)
    counts = Counter(finding.state for finding in findings)
    failures = counts["fail"] + (counts["warn"] if strict else 0)
    fields = {"findings": [asdict(finding) for finding in findings], "counts": dict(counts)}
    output.attach(**fields)
    summary = ", ".join(f"{counts[s]} {word}" for s, word in _WORDS.items() if counts[s])
    output.say(f"\n{summary}")
    if failures:
        broken = [f for f in findings if f.state == "fail" or (strict and f.state == "warn")]
        raise PluginError(
            f"{failures} of {len(findings)} rules are broken, by {_subjects(broken)}; the rules "
            "are in the reference of halo_core.testing"
        )
    output.emit(fields)


def _say(output: Output, finding: Finding) -> None:
    output.say(
        f"  {finding.state:5}{finding.rule}{f': {finding.reason}' if finding.reason else ''}"
    )
    if finding.place:
        output.say(f"       at {finding.place}")


def _subjects(findings: Sequence[Finding]) -> str:
    names = list(dict.fromkeys(finding.subject for finding in findings))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


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
