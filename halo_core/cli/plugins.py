"""`halo plugins`: lists the plugins, what they offer, and which are broken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options
from halo_core.cli.terminal import table
from halo_core.errors import HaloError, PluginError, UserError, did_you_mean
from halo_core.plugins.builtin_names import KINDS, RESERVED
from halo_core.plugins.discovery import discover
from halo_core.plugins.entry_points import GROUP, leftovers, misspelt_groups
from halo_core.plugins.local_file import FILE_PREFIX, class_in_file
from halo_core.plugins.unread_targets import may_be_wrong

if TYPE_CHECKING:
    from halo_core.plugins.registrar import Registration
    from halo_core.plugins.registry import BrokenPlugin, Registry


@click.group(invoke_without_command=True)
@click.option("--available", is_flag=True, help="List plugins that are not installed.")
@click.option(
    "--strict",
    is_flag=True,
    help="Also import every component. Exit code 3 if something is broken.",
)
@output_options
@click.pass_context
def plugins(context: click.Context, output: Output, available: bool, strict: bool) -> None:
    """List the installed plugins.

    To show one component: halo plugins show NAME. To find others: halo plugins search WORD.
    """
    if context.invoked_subcommand is not None:
        return
    if available:
        from halo_core.cli.plugins_available import say_available

        say_available(output, discover())
    else:
        _print_installed(output, discover(), strict=strict)


@plugins.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Required if two kinds have this name.")
@output_options
def show(name: str, kind: str | None, output: Output) -> None:
    """Show a component: its options, its requirements and its origin."""
    from halo_core.cli.show import component_fields, component_text

    if name.startswith(FILE_PREFIX):
        found = class_in_file(name)
    else:
        found = _find(discover(), name, kind)
    fields = component_fields(found)
    output.emit(fields)
    output.say(component_text(fields))


@plugins.command()
@click.argument("words", nargs=-1, metavar="WORD...", required=True)
@output_options
def search(words: tuple[str, ...], output: Output) -> None:
    """Search the catalogue, also for plugins that are not installed.

    A component is found if every word occurs in its name, kind, description, options or citation,
    or in the name or description of its distribution.
    """
    from halo_core.cli.plugins_available import say_found

    say_found(output, discover(), words)


@plugins.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Install without asking.")
@output_options
def install(name: str, yes: bool, output: Output) -> None:
    """Install a distribution of the catalogue with pip.

    The command shows it first. NAME is a distribution, or a component such as exo/pair. Only what
    an entry of the catalogue names is installed, in the versions of the entry.
    """
    from halo_core.cli.plugins_install import install_entry

    install_entry(output, discover(), name, yes=yes)


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
    if catalogued := registry.catalogued(name):
        return f"{name!r} is in {catalogued}"
    known = sorted({written for kind in KINDS for written in registry.names(kind)})
    return f"no component named {name!r}.{did_you_mean(name, known)} All names: halo plugins"


def _print_installed(output: Output, registry: Registry, *, strict: bool) -> None:
    faults = _faults([r for r in registry.registrations if strict or may_be_wrong(r)])
    listed = [_row(registry, r, faults) for r in _sorted(registry)]
    left_behind, misspelt = leftovers(), misspelt_groups()
    fields = {
        "plugins": listed,
        "broken": [broken._asdict() for broken in registry.broken],
        "hooks_only": [plugin._asdict() for plugin in registry.hooks_only],
        "left_out": [absent._asdict() for absent in registry.left_out],
        "leftovers": left_behind,
        "misspelt_groups": [{"folder": folder, "group": group} for folder, group in misspelt],
    }
    output.emit(fields)
    output.attach(**fields)
    rows = [[r["kind"], r["name"], r["distribution"], r["version"], r["status"]] for r in listed]
    rows += [["hooks", ", ".join(h.hooks), *h[:2], "ok"] for h in registry.hooks_only]
    rows += [["-", "-", b.distribution, b.version, "broken"] for b in registry.broken]
    rows += [["-", "-", a.distribution, a.version, "left out"] for a in registry.left_out]
    if not rows and not misspelt:
        output.say("No plugins are installed. Available: halo plugins --available")
        return
    output.say(table(["kind", "name", "distribution", "version", "status"], rows))
    _say_origins(output, registry)
    for broken in registry.broken:
        output.say(_broken_text(broken))
    for registration, error in faults.items():
        output.say(f"\nBroken: {registration.kind} {registry.written(registration)}\n  {error}")
    for folder in left_behind:
        output.say(
            f"\nNot a distribution, but the rest of an interrupted pip: {folder}\n"
            f"  Remove it: rm -r '{folder}'"
        )
    for folder, group in misspelt:
        output.say(
            f"\nNot found as a plugin: {folder}\n  Its entry points are in the group {group!r}; "
            f"expected {GROUP!r}: [project.entry-points.{GROUP}] in its pyproject.toml"
        )
    if registry.left_out:
        output.say('\nHALO_PLUGINS disables the plugins marked "left out".')
    output.say("\nDetails: halo plugins show NAME. Not installed: halo plugins --available")
    if strict and (registry.broken or faults or misspelt):
        raise PluginError(
            f"broken: {len(registry.broken)} of the plugins, {len(faults)} of the components of "
            f"the others, {len(misspelt)} not found by their groups; the list says why"
        )


def _faults(registrations: Iterable[Registration]) -> dict[Registration, HaloError]:
    """Imports components, and returns the errors of those that cannot be used."""
    registrations = [*registrations]
    if not registrations:
        return {}
    from halo_core.check.component_rules import wrong_kind
    from halo_core.plugins.registry import import_target

    faults: dict[Registration, HaloError] = {}
    for registration in registrations:
        try:
            wrong = wrong_kind(registration, import_target(registration))
        except HaloError as error:
            faults[registration] = error
            continue
        if wrong:
            faults[registration] = PluginError(wrong, location=registration.where)
    return faults


def _sorted(registry: Registry) -> list[Registration]:
    return sorted(registry.registrations, key=lambda r: (KINDS.index(r.kind), r.canonical))


def _row(
    registry: Registry, registration: Registration, faults: Mapping[Registration, HaloError]
) -> dict[str, Any]:
    return {
        "kind": registration.kind,
        "name": registry.written(registration),
        "distribution": registration.distribution,
        "version": registration.version,
        "origin": registration.origin,
        "status": "broken" if registration in faults else "ok",
        "error": str(faults[registration]) if registration in faults else None,
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
