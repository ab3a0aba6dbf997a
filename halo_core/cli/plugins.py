"""`halo plugins`: lists the plugins, what they offer, and which are broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options
from halo_core.cli.terminal import table
from halo_core.errors import HaloError, UserError, did_you_mean
from halo_core.plugins.builtin_names import KINDS, RESERVED
from halo_core.plugins.catalogue import Entry, catalogue
from halo_core.plugins.discovery import discover
from halo_core.plugins.entry_points import normalised

if TYPE_CHECKING:
    from halo_core.plugins.registrar import Registration
    from halo_core.plugins.registry import BrokenPlugin, Registry


@click.group(invoke_without_command=True)
@click.option("--available", is_flag=True, help="List plugins that are not installed.")
@output_options
@click.pass_context
def plugins(context: click.Context, output: Output, available: bool) -> None:
    """List the installed plugins. To show one component: halo plugins show NAME."""
    if context.invoked_subcommand is not None:
        return
    if available:
        _print_available(output)
    else:
        _print_installed(output, discover())


@plugins.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Required if two kinds have this name.")
@output_options
def show(name: str, kind: str | None, output: Output) -> None:
    """Show a component: its options, its requirements and its origin."""
    from halo_core.cli.show import component_fields, component_text

    fields = component_fields(_find(discover(), name, kind))
    output.emit(fields)
    output.say(component_text(fields))


def _find(registry: Registry, name: str, kind: str | None) -> Registration:
    if kind is not None:
        return registry.find(kind, name)
    kinds = [k for k in KINDS if _is_found(registry, k, name)]
    if not kinds:
        registry.check_namespace(name)
        kinds = [k for k in KINDS if RESERVED[k].get(name, "halo-core") != "halo-core"]
    if len(kinds) > 1:
        raise UserError(
            f"{name!r} is the name of a {' and of a '.join(kinds)}; add --kind {kinds[0]}"
        )
    if kinds:
        return registry.find(kinds[0], name)
    raise UserError(_no_component(registry, name))


def _is_found(registry: Registry, kind: str, name: str) -> bool:
    try:
        registry.find(kind, name)
    except HaloError:
        return False
    return True


def _no_component(registry: Registry, name: str) -> str:
    known = sorted({written for kind in KINDS for written in registry.names(kind)})
    return f"no component named {name!r}.{did_you_mean(name, known)} All names: halo plugins"


def _print_installed(output: Output, registry: Registry) -> None:
    output.emit(
        {
            "plugins": [_row(registry, r) for r in _sorted(registry)],
            "broken": [broken._asdict() for broken in registry.broken],
            "left_out": [absent._asdict() for absent in registry.left_out],
        }
    )
    rows = [
        [r["kind"], r["name"], r["distribution"], r["version"], r["status"]]
        for r in (_row(registry, r) for r in _sorted(registry))
    ]
    rows += [["-", "-", b.distribution, b.version, "broken"] for b in registry.broken]
    rows += [["-", "-", a.distribution, a.version, "left out"] for a in registry.left_out]
    if not rows:
        output.say("No plugins are installed. Available: halo plugins --available")
        return
    output.say(table(["kind", "name", "distribution", "version", "status"], rows))
    _say_origins(output, registry)
    for broken in registry.broken:
        output.say(_broken_text(broken))
    if registry.left_out:
        output.say('\nHALO_PLUGINS disables the plugins marked "left out".')
    output.say("\nDetails: halo plugins show NAME. Not installed: halo plugins --available")


def _sorted(registry: Registry) -> list[Registration]:
    return sorted(registry.registrations, key=lambda r: (KINDS.index(r.kind), r.canonical))


def _row(registry: Registry, registration: Registration) -> dict[str, Any]:
    return {
        "kind": registration.kind,
        "name": registry.written(registration),
        "distribution": registration.distribution,
        "version": registration.version,
        "origin": registration.origin,
        "status": "ok",
    }


def _say_origins(output: Output, registry: Registry) -> None:
    origins = sorted({(r.distribution, r.origin) for r in registry.registrations})
    if origins:
        output.say("\nFrom:\n" + table([], [[f"  {name}", origin] for name, origin in origins]))


def _broken_text(broken: BrokenPlugin) -> str:
    return (
        f"\nBroken: {broken.distribution} {broken.version}\n"
        f"  {broken.error}\n"
        f"  at {broken.location}\n"
        f"  {broken.hint}"
    )


def _print_available(output: Output) -> None:
    registry = discover()
    here = {normalised(r.distribution) for r in registry.registrations}
    here |= {normalised(b.distribution) for b in registry.broken}
    here |= {normalised(a.distribution) for a in registry.left_out}
    absent = [entry for entry in catalogue() if entry.distribution not in here]
    output.emit({"available": [_entry_fields(entry) for entry in absent]})
    if not absent:
        output.say("Everything in the catalogue is installed. List it: halo plugins")
    for entry in absent:
        output.say(f"{entry.distribution} {entry.version}: {entry.summary}")
        for component in entry.components:
            output.say(f"  {component.kind:16} {component.name}")
        output.say(f"  pip install {entry.distribution}\n")


def _entry_fields(entry: Entry) -> dict[str, Any]:
    return {
        "distribution": entry.distribution,
        "version": entry.version,
        "summary": entry.summary,
        "homepage": entry.homepage,
        "install": f"pip install {entry.distribution}",
        "components": [component._asdict() for component in entry.components],
    }
