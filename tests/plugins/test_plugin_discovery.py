"""Discovery: which distributions are found, left out or refused before their code runs."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loaded_site import broken, loaded, message_of

from halo_core import __version__
from halo_core.cli.output import Output
from halo_core.cli.plugins import _print_installed
from halo_core.plugins.entry_points import (
    GROUP,
    announcements,
    leftovers,
    misspelt_groups,
    normalised,
)

ROOT = Path(__file__).parents[2]
Registers = Callable[..., str]


def test_announcements_are_those_of_importlib_metadata() -> None:
    expected = {
        (normalised(entry.dist.name), entry.dist.version, entry.value)
        for entry in importlib.metadata.entry_points(group=GROUP)
        if entry.dist is not None
    }
    found = {(normalised(a.distribution), a.version, m) for a in announcements() for m in a.modules}
    assert found == expected
    assert ("halo-methods", __version__, "halo_methods.plugin") in found


def test_the_core_s_version_is_that_of_its_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == __version__


def test_the_first_distribution_of_a_name_on_the_path_holds(
    site: Any, registers: Registers, tmp_path: Path
) -> None:
    site.add("halo-acme", registers("loss('a', 'm:A')"))
    later = type(site)(tmp_path / "later")
    later.folder.mkdir()
    later.add("halo-acme", registers("loss('a', 'm:A')"), version="2.0")
    found = announcements([str(site.folder), str(later.folder), "/no/such/folder"])
    assert [(a.distribution, a.version) for a in found] == [("halo-acme", "1.0")]


def test_two_entry_points_of_one_distribution_are_one_plugin(
    site: Any, registers: Registers
) -> None:
    first = site.add("halo-acme", registers("loss('a', 'm:A')"))
    second = f"{first}_more"
    (site.folder / f"{second}.py").write_text(registers("loss('b', 'm:B')"))
    entries = f"[halo]\none = {first}\ntwo = {second}\nagain = {first}\n\n[other]\nx = y\n"
    (site.folder / "halo_acme-1.0.dist-info" / "entry_points.txt").write_text(entries)
    assert loaded(site).names("loss") == ["acme/a", "acme/b"]
    (site.folder / f"{second}.py").write_text(registers("loss('a', 'm:Other')"))
    sys.modules.pop(second)
    assert broken(site).error == "PluginError: halo-acme registers the loss 'a' twice"


def test_what_pip_left_behind_is_no_distribution(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"))
    (site.folder / "halo_acme-0.9.dist-info").mkdir()  # empty, and before the real one
    ghost = site.folder / "~alo_acme-1.0.dist-info"
    ghost.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (ghost / name).write_text((site.folder / "halo_acme-1.0.dist-info" / name).read_text())
    assert [a.version for a in announcements([str(site.folder)])] == ["1.0"]
    assert loaded(site).names("loss") == ["acme/soft"]
    left = {Path(folder).name for folder in leftovers([str(site.folder)])}
    assert left == {"halo_acme-0.9.dist-info", "~alo_acme-1.0.dist-info"}


@pytest.mark.parametrize(
    "group", ["halo.plugins", "Halo", "hallo", "halo-plugin", "haloplugins", "hola", "haIo"]
)
def test_a_misspelt_group_is_found(group: str, site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"))
    assert misspelt_groups([str(site.folder)]) == []
    file = site.folder / "halo_acme-1.0.dist-info" / "entry_points.txt"
    file.write_text(file.read_text().replace("[halo]", f"[{group}]"))
    assert misspelt_groups([str(site.folder)]) == [(str(file.parent), group)]


def test_groups_of_other_programs_are_not_misspelt(site: Any) -> None:
    site.add("words", "", entry_point="words")
    file = site.folder / "words-1.0.dist-info" / "entry_points.txt"
    file.write_text("[console_scripts]\na = words:a\n[halotools]\na = words\n[hello]\na = words\n")
    assert misspelt_groups([str(site.folder)]) == []


def test_a_requirement_that_cannot_be_read_is_one_sentence(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"), requires="halo-core >= one")
    row = broken(site)
    assert row.error == (
        "PluginError: halo-acme 1.0 has a requirement that is not valid: 'halo-core >= one'"
    )
    assert row.location.endswith("halo_acme-1.0.dist-info")


def test_one_broken_plugin_leaves_the_others_alone(site: Any, registers: Registers) -> None:
    site.add("halo-acme", "1 / 0\n")
    site.add("halo-good", registers("judge('fair', 'good:Fair')"))
    registry = loaded(site)
    assert [row.distribution for row in registry.broken] == ["halo-acme"]
    assert registry.names("judge") == ["good/fair"]


def test_a_plugin_with_only_other_hooks_is_loaded_and_listed(
    site: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        "from halo_core.hooks import hookimpl\n\n@hookimpl\ndef halo_doctor():\n    return []\n"
    )
    site.add("halo-acme", source)
    registry = loaded(site)
    assert registry.broken == ()
    (plugin,) = registry.hooks_only
    assert (plugin.distribution, plugin.hooks) == ("halo-acme", ("halo_doctor",))
    _print_installed(Output(), registry, strict=True)
    assert "halo_doctor" in capsys.readouterr().out


@pytest.mark.parametrize("requires", ["halo-core>=99", "halo_core (>=99)", "halo-core[all]>=99"])
def test_a_plugin_for_a_newer_core_is_not_imported(site: Any, requires: str) -> None:
    site.add("halo-acme", "raise AssertionError('imported')\n", requires=requires)
    row = broken(site)
    assert row.error == (
        f"CoreVersionError: halo-acme 1.0 needs {requires}, but halo-core is {__version__}"
    )
    assert row.hint == ("Install versions that go together: pip install -U halo-core halo-acme")


@pytest.mark.parametrize(
    "requires",
    [
        f"halo-core=={__version__}",
        "halo-core>=0.1,<99",
        "halo-core>=99; extra == 'never'",
        "halo-core-tools>=99",
        "halo-core",
    ],
)
def test_a_requirement_that_is_met_is_no_obstacle(
    site: Any, registers: Registers, requires: str
) -> None:
    site.add("halo-acme", registers("loss('a', 'm:A')"), requires=requires)
    assert loaded(site).names("loss") == ["acme/a"]


def test_the_allowlist_leaves_out_all_others_unimported(site: Any, registers: Registers) -> None:
    site.add("halo-acme", "raise AssertionError('imported')\n")
    site.add("halo-good", registers("loss('a', 'm:A')"))
    registry = loaded(site, allowlist=" Halo_Good, halo-other,")
    assert registry.names("loss") == ["good/a"]
    assert registry.broken == ()
    assert [(r.distribution, r.version) for r in registry.left_out] == [("halo-acme", "1.0")]
    assert message_of(registry, "loss", "acme/x") == (
        "the loss 'acme/x' is in halo-acme, which HALO_PLUGINS leaves out: "
        "add halo-acme to HALO_PLUGINS"
    )
