"""The requirements of a spec on this machine: packages, variables, judges, disk and memory."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from halo_core.component import Component
from halo_core.errors import HaloError
from halo_core.finding import Finding, Requirement
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.judge import Judge
from halo_core.overview.sizes import size_text
from halo_core.run.devices_here import devices_here
from halo_core.run.forecast import disk_needed, disk_warning, forecasts
from halo_core.run.plan import make_plan
from halo_core.run.run_files import used_components
from halo_core.secret import secrets_in
from halo_core.spec.resolved import Resolved
from halo_core.spec.spec import Spec
from halo_core.stage import Forecast
from halo_core.workspace.disk import free_bytes
from halo_core.workspace.layout import Workspace


def spec_findings(specs: Sequence[Spec], workspace: Path) -> list[Finding]:
    """Returns what checked specs need on this machine, present or missing, each once.

    Args:
        specs: The spec, or the specs of a suite's cells.
        workspace: The workspace, which may not exist yet.

    Raises:
        PluginError: When a component breaks its interface.
    """
    used = [part for spec in specs for part in used_components(spec)]
    distinct = list({(r.registration.kind, str(r.tree())): r for r in used}.values())
    found = [*_components(distinct), *_data(specs), *_room(specs, Workspace(workspace))]
    return list(dict.fromkeys(found))


def _components(used: Iterable[Resolved]) -> Iterator[Finding]:
    for part in used:
        component = part.component
        with blaming(component, "needed_here"):
            needed: object = component.needed_here()
        if not isinstance(needed, list | tuple) or not all(
            isinstance(each, Requirement) for each in needed
        ):
            what = f"returned {needed!r}; expected a list of halo_core.Requirement"
            raise plugin_error(component, "needed_here", what)
        found = [
            _presence(part, requirement) for requirement in [*needed, *_secrets(component, needed)]
        ]
        yield from found
        if part.registration.kind == "judge" and not any(finding.missing for finding in found):
            yield from _judge(part)


def _secrets(component: Component, needed: Sequence[Requirement]) -> Iterator[Requirement]:
    """Yields the variables of a component's secrets that it does not name itself."""
    named = {requirement.name for requirement in needed}
    for variable in sorted({secret.variable for _, secret in secrets_in(component)} - named):
        yield Requirement("variable", variable, "set it to the secret")


def _presence(part: Resolved, requirement: Requirement) -> Finding:
    who = f"{part.registration.kind.replace('_', ' ')} {part.short_name}"
    if requirement.kind == "variable":
        there = bool(os.environ.get(requirement.name, "").strip())
        value = f"{requirement.name} is {'set' if there else 'not set'}"
    else:
        there = _is_installed(requirement.name)
        value = f"package {requirement.name} is {'' if there else 'not '}installed"
    return Finding("this spec", who, value, "" if there else f"{value}: {requirement.get}")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _judge(part: Resolved) -> Iterator[Finding]:
    judge = cast(Judge, part.component)
    try:
        with blaming(judge, "check_ready"):
            judge.check_ready()
    except HaloError as error:
        yield Finding("this spec", f"judge {part.short_name}", "not ready", error.message)


def _data(specs: Sequence[Spec]) -> Iterator[Finding]:
    for spec in specs:
        for name, data in spec.sets.items():
            for source in data.sources:
                if source.info.digest is None and not source.resolved.written:
                    yield Finding(
                        "this spec",
                        f"data {name}",
                        "unknown",
                        f"{source.resolved.short_name} tells no digest here. If it cannot be "
                        "reached, download it where there is a network, or name a file",
                    )


def _room(specs: Sequence[Spec], workspace: Workspace) -> Iterator[Finding]:
    known: dict[Path, tuple[object, object]] = {}
    plans, devices = [make_plan(spec, workspace) for spec in specs], devices_here()
    for plan in plans:
        asked = forecasts(plan, devices=devices)
        for stage in plan.stages:
            known.setdefault(stage.folder, (stage, asked[stage.id]))
            if stage.state != "done" and (
                memory := _memory(asked[stage.id], example=devices.origin == "example")
            ):
                yield Finding("this spec", f"memory of {stage.id}", memory)
    needed = disk_needed(known.values())  # type: ignore[arg-type]
    if not needed:
        return
    free = free_bytes(workspace.root)
    text = f"about {size_text(needed)} needed, {size_text(free)} free"
    yield Finding("this spec", "disk", text, disk_warning(needed, workspace.root) or "")


def _memory(forecast: Forecast, *, example: bool) -> str:
    """Returns what a stage needs on a device; "" if it is not known.

    Args:
        forecast: The forecast of the stage.
        example: Whether it is for devices that this machine does not have.
    """
    known = forecast.size.get("memory", "")
    fit = forecast.fit
    if known or fit is None:
        return known
    if example:
        return f"{fit.gigabytes:,.1f} GB per device; this machine has no GPU to compare with"
    verdict = {True: "fits", False: "does not fit", None: "unknown whether it fits"}[fit.fits]
    return f"{fit.gigabytes:,.1f} of {fit.usable:.1f} GB per device: {verdict}"
