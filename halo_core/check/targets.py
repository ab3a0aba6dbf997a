"""The argument of `halo check`: a distribution, a component, or a class in a Python file."""

from __future__ import annotations

from dataclasses import dataclass, field

from halo_core.check.distribution_rules import without_entry_point
from halo_core.check.findings import Finding
from halo_core.errors import UserError, did_you_mean
from halo_core.plugins.builtin_names import KINDS
from halo_core.plugins.entry_points import Announcement, announcements, normalised
from halo_core.plugins.local_file import FILE_PREFIX, class_in_file
from halo_core.plugins.registrar import Registration, namespace
from halo_core.plugins.registry import Registry


@dataclass
class Target:
    """The distributions and components of one call.

    Attributes:
        distributions: The distributions whose plugin modules are checked.
        registrations: The components.
        findings: The findings of the search for the target.
    """

    distributions: list[Announcement] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def find_target(name: str | None, registry: Registry) -> Target:
    """Returns what a name means; everything that is installed without a name.

    Args:
        name: A distribution, a component as specs write it, or ``file:PATH:CLASS``.
        registry: The installed components.

    Raises:
        UserError: When nothing has this name.
        PluginError: When a file cannot be imported, or has no such class.
    """
    announced = announcements()
    if name is None:
        return Target(announced, list(registry.registrations))
    if name.startswith(FILE_PREFIX):
        return Target(registrations=[class_in_file(name)])
    of_name = [each for each in announced if normalised(each.distribution) == normalised(name)]
    if of_name:
        ours = [r for r in registry.registrations if r.distribution == of_name[0].distribution]
        return Target(of_name, ours)
    components = [
        r for r in registry.registrations if name in (r.canonical, *registry.all_names(r))
    ]
    if components:
        return Target(registrations=components)
    registry.check_namespace(name)
    if normalised(name) == "halo-core":
        raise UserError(
            "halo-core is the core, which has no plugin; name a plugin, or leave the name out to "
            "check all of them"
        )
    missing = without_entry_point(name)
    if missing is not None:
        return Target(findings=[missing])
    raise UserError(_nothing(name, registry, announced))


def _nothing(name: str, registry: Registry, announced: list[Announcement]) -> str:
    known = [each.distribution for each in announced]
    ours = [each for each in known if namespace(each) == normalised(name)]
    known += [written for kind in KINDS for written in registry.names(kind)]
    meant = f" Did you mean {ours[0]!r}?" if ours else did_you_mean(name, known)
    return (
        f"no distribution and no component named {name!r}.{meant} All names: "
        "halo plugins. For a class in a file: halo check file:./my_loss.py:MyLoss"
    )
