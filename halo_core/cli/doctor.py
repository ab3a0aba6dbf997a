"""`halo doctor [SPEC]`: facts about this machine, and what a spec lacks on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from halo_core.cli.options import RunRequest, optional_spec_options, parse_overrides
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import HaloError, SpecErrors

if TYPE_CHECKING:
    from halo_core.finding import Finding
    from halo_core.spec.spec import Spec


@click.command()
@optional_spec_options
@workspace_option
@output_options
def doctor(spec_file: str | None, overrides: Sequence[str], workspace: str, output: Output) -> None:
    """Show versions, devices, memory and disks, and with SPEC what is missing for it.

    It ends with exit code 1 if something is missing. Values of keys are never shown.
    """
    from halo_core.doctor.machine import machine_findings
    from halo_core.doctor.spec_needs import spec_findings

    root = Path(workspace).expanduser().resolve()
    found = machine_findings(root)
    output.attach(findings=_json(found))
    mistakes: SpecErrors | None = None
    if spec_file is not None:
        try:
            found += spec_findings(_specs(spec_file, overrides, output), root)
        except SpecErrors as error:
            mistakes = error
    _say(found, output)
    answer = {"findings": _json(found), "missing": sum(bool(each.missing) for each in found)}
    output.attach(**answer)
    output.emit(answer)
    if mistakes is not None:
        raise mistakes
    _end(found, spec_file, output)


def _specs(spec_file: str, overrides: Sequence[str], output: Output) -> Sequence[Spec]:
    request = RunRequest(Path(spec_file), parse_overrides(overrides))
    return request.suite().specs if request.is_suite() else [request.spec()]


def _json(found: Sequence[Finding]) -> list[dict[str, str | None]]:
    return [
        {
            "topic": each.topic,
            "name": each.name,
            "value": each.value,
            "missing": each.missing or None,
        }
        for each in found
    ]


def _say(found: Sequence[Finding], output: Output) -> None:
    from halo_core.cli.terminal import drawn, listing

    if output.json:
        return
    topics = dict.fromkeys(each.topic for each in found)
    for topic in topics:
        pairs = [(e.name, _text(e)) for e in found if e.topic == topic]
        output.say(drawn(listing(topic, pairs)))


def _text(finding: Finding) -> str:
    if not finding.missing:
        return finding.value
    return f"{finding.value}\nMISSING: {finding.missing}".strip()


def _end(found: Sequence[Finding], spec_file: str | None, output: Output) -> None:
    missing = sum(bool(each.missing) for each in found)
    if missing:
        raise HaloError(f"{missing} of {len(found)} checks found something missing; see above")
    if spec_file is None:
        output.say("nothing is missing. What a spec needs: halo doctor SPEC")
    else:
        output.say(f"nothing is missing. Models and rows: halo plan {quote(str(spec_file))}")
