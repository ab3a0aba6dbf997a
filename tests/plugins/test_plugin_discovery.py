"""Discovery and names: found plugins, broken plugins with reasons, and the meaning of names."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core import __version__
from halo_core.cli.output import Output
from halo_core.cli.plugins import _print_installed
from halo_core.errors import HaloError, PluginError, UserError
from halo_core.plugins.discovery import load
from halo_core.plugins.entry_points import (
    GROUP,
    announcements,
    leftovers,
    misspelt_groups,
    normalised,
)
from halo_core.plugins.local_file import import_file
from halo_core.plugins.registry import BrokenPlugin, Registry, import_target

ROOT = Path(__file__).parents[2]
Registers = Callable[..., str]


def loaded(site: Any, allowlist: str = "") -> Registry:
    return load(announcements([str(site.folder)]), allowlist=allowlist)


def broken(site: Any) -> BrokenPlugin:
    registry = loaded(site)
    assert registry.registrations == ()
    (row,) = registry.broken
    return row


def message_of(registry: Registry, kind: str, name: str) -> str:
    with pytest.raises(HaloError) as caught:
        registry.find(kind, name)
    return str(caught.value)


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


def test_a_stranger_s_component_has_its_distribution_as_namespace(
    site: Any, registers: Registers
) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme.components:Soft')"))
    site.add("Losses_Of_Bob", registers("loss('hard', 'bob:Hard')"))
    registry = loaded(site)
    assert registry.broken == ()
    assert registry.names("loss") == ["acme/soft", "losses-of-bob/hard"]
    assert registry.find("loss", "acme/soft").target == "acme.components:Soft"
    assert registry.find("loss", "halo-acme/soft").version == "1.0"
    assert registry.find("loss", "acme/soft").origin.endswith("halo_acme_plugin.py")


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


def test_a_bare_name_never_means_a_stranger_s_component(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"))
    assert message_of(loaded(site), "loss", "soft") == (
        "no loss named 'soft'. Did you mean 'acme/soft'? Installed: acme/soft. "
        "Others: halo plugins --available"
    )


def test_a_plugin_that_raises_at_import_is_a_row_with_file_and_line(site: Any) -> None:
    module = site.add("halo-acme", "import os\n\nraise RuntimeError('no licence\\nfound')\n")
    row = broken(site)
    assert row.error == "RuntimeError: no licence found"
    assert row.location == f"{site.folder / module}.py:3"
    assert row.hint == "Report it to the authors of halo-acme, or: pip uninstall halo-acme"


def test_a_plugin_that_exits_at_import_does_not_end_halo(site: Any) -> None:
    site.add("halo-acme", "import sys\nsys.exit('bye')\n")
    assert broken(site).error == "SystemExit: bye"


def test_a_component_s_module_that_exits_at_import_does_not_end_halo(
    site: Any, registers: Registers, tmp_path: Path
) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme_leaves:Soft')"))
    (site.folder / "acme_leaves.py").write_text("raise SystemExit(0)\n")
    registration = loaded(site).find("loss", "acme/soft")
    with pytest.raises(PluginError, match="'acme_leaves:Soft': SystemExit: 0"):
        import_target(registration)
    for _ in range(2):
        (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
        with pytest.raises(PluginError, match=r"leaves.py:1: SystemExit: 0"):
            import_file(tmp_path / "leaves.py")


def test_a_syntax_error_is_reported_at_its_line(site: Any) -> None:
    module = site.add("halo-acme", "x = 1\ndef f(:\n")
    assert broken(site).location == f"{site.folder / module}.py:2"


def test_a_missing_package_is_to_be_installed_and_required(site: Any) -> None:
    site.add("halo-acme", "x = 1\nimport no_such_module_anywhere.part\n")
    row = broken(site)
    assert row.error == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    assert row.location.endswith("halo_acme_plugin.py:2")
    assert row.hint == (
        "The package no_such_module_anywhere is missing: pip install no_such_module_anywhere, and "
        "as an author add it to the dependencies of halo-acme"
    )


def test_a_missing_module_of_its_own_is_the_author_s(site: Any) -> None:
    site.add("halo-acme", "", entry_point="no_such_plugin_module.plugin")
    hint = broken(site).hint
    assert hint.startswith("Its own module no_such_plugin_module is missing: check the name")
    assert hint.endswith("pip install --force-reinstall halo-acme")


def test_a_module_of_its_own_with_a_similar_name_is_named(site: Any) -> None:
    site.add("halo-acme", "", entry_point="acme_parts.plugins")
    (site.folder / "acme_parts").mkdir()
    for name in ("__init__", "plugin", "other"):
        (site.folder / "acme_parts" / f"{name}.py").write_text("")
    hint = broken(site).hint
    assert "acme_parts.plugins is missing. Did you mean 'acme_parts.plugin'? Check" in hint
    sys.modules.pop("acme_parts")


def test_a_module_next_to_the_plugin_is_no_missing_package(site: Any) -> None:
    site.add("halo-acme", "", entry_point="acme_near.plugin")
    (site.folder / "acme_near").mkdir()
    texts = {"__init__": "", "plugin": "import acme_loss\n", "acme_loss": ""}
    for name, text in texts.items():
        (site.folder / "acme_near" / f"{name}.py").write_text(text)
    assert broken(site).hint == "Nothing is relative: write from acme_near import acme_loss"
    sys.modules.pop("acme_near")


@pytest.mark.parametrize("entry_point", [".plugin", "acme/plugin.py", "acme\\plugin", " "])
def test_an_entry_point_that_is_no_module_is_one_sentence(entry_point: str, site: Any) -> None:
    site.add("halo-acme", "", entry_point=entry_point)
    row = broken(site)
    assert row.error == (
        f"PluginError: its entry point is {entry_point.strip()!r}; expected the full name of a "
        "module, as in 'halo_acme.plugin'"
    )
    assert row.location.endswith("halo_acme-1.0.dist-info/entry_points.txt")


def test_a_method_that_the_registry_lacks_is_answered_with_those_it_has(
    site: Any, registers: Registers
) -> None:
    site.add("halo-acme", registers("losses('a', 'm:A')"))
    assert broken(site).hint.startswith("The methods of the registry are command, data, judge, ")


def test_an_error_without_a_text_is_its_name(site: Any) -> None:
    site.add("halo-acme", "raise MemoryError\n")
    assert broken(site).error == "MemoryError"


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("acme_far.loss:Sofd", "has no attribute 'Sofd'. Did you mean 'Soft'?"),
        ("acme_far.loss:Fiel", "has no attribute 'Fiel'"),  # Field is not its own.
        ("acme_far.los:Soft", "No module named 'acme_far.los'. Did you mean 'acme_far.loss'?"),
        ("acme_loss:Soft", "'acme_loss'. Nothing is relative: write 'acme_far.acme_loss:Soft'"),
        ("acme_far.needs:A", "'acme_no'. The package acme_no is missing: pip install acme_no"),
        ("acme_far.lacks:A", "No module named 'acme_far.helper'"),
    ],
)
def test_a_target_that_cannot_be_imported_has_its_line_and_advice(
    target: str, advice: str, site: Any, registers: Registers
) -> None:
    site.add("halo-acme", "", entry_point="acme_far.plugin")
    folder = site.folder / "acme_far"
    folder.mkdir()
    texts = {"__init__": "", "acme_loss": "", "needs": "import acme_no.part\n"}
    texts["lacks"] = "from acme_far.helper import A\n"
    texts["loss"] = "from pydantic import Field\nclass Soft: ...\n"
    texts["plugin"] = registers(f"loss('soft', {target!r})")
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    with pytest.raises(PluginError) as caught:
        import_target(loaded(site).find("loss", "acme/soft"))
    assert advice in caught.value.message
    assert caught.value.message.endswith(advice)
    inside = {"acme_far.needs:A": "needs.py:1", "acme_far.lacks:A": "lacks.py:1"}
    line = texts["plugin"].splitlines().index(f"    registry.loss('soft', {target!r})") + 1
    assert caught.value.location == str(folder / inside.get(target, f"plugin.py:{line}"))
    for name in [*sys.modules]:
        if name.partition(".")[0] == "acme_far":
            sys.modules.pop(name)


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


def test_a_skip_of_pytest_is_at_the_line_that_calls_it(site: Any) -> None:
    site.add("halo-acme", "\nimport pytest\npytest.skip('no', allow_module_level=True)\n")
    row = broken(site)
    assert (row.error, row.location.endswith("halo_acme_plugin.py:3")) == ("Skipped: no", True)


def test_a_requirement_that_cannot_be_read_is_one_sentence(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"), requires="halo-core >= one")
    row = broken(site)
    assert row.error == (
        "PluginError: halo-acme 1.0 has a requirement that is not valid: 'halo-core >= one'"
    )
    assert row.location.endswith("halo_acme-1.0.dist-info")


def test_a_name_of_another_kind_is_said_to_be_one(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("judge('fair', 'acme:Fair')"))
    assert message_of(loaded(site), "loss", "acme/fair") == (
        "no loss named 'acme/fair': it is a judge, of halo-acme. Installed: none"
    )


def test_an_entry_point_to_nothing_is_located_at_the_entry_point(site: Any) -> None:
    site.add("halo-acme", "", entry_point="no_such_plugin_module")
    assert broken(site).location.endswith("halo_acme-1.0.dist-info/entry_points.txt")


def test_one_broken_plugin_leaves_the_others_alone(site: Any, registers: Registers) -> None:
    site.add("halo-acme", "1 / 0\n")
    site.add("halo-good", registers("judge('fair', 'good:Fair')"))
    registry = loaded(site)
    assert [row.distribution for row in registry.broken] == ["halo-acme"]
    assert registry.names("judge") == ["good/fair"]


def test_a_built_in_name_is_free_behind_a_namespace(site: Any, registers: Registers) -> None:
    site.add("halo-ema", registers("reference_point('mismatched-kl', 'ema:KL')"))
    registry = loaded(site)
    assert registry.names("reference_point") == ["ema/mismatched-kl"]
    assert registry.find("reference_point", "ema/mismatched-kl").distribution == "halo-ema"


def test_a_bare_built_in_name_never_means_a_stranger_s(site: Any, registers: Registers) -> None:
    site.add("halo-ema", registers("loss('kto', 'ema:KTO')"))
    assert message_of(loaded(site), "loss", "kto") == (
        "the loss 'kto' is in halo-methods, which is not installed: pip install halo-methods"
    )


def test_a_stranger_s_command_never_takes_the_place_of_the_core_s(
    site: Any, registers: Registers
) -> None:
    site.add("halo-acme", registers("command('run', 'acme:run', help='Mine.')"))
    assert loaded(site).names("command") == ["acme/run"]


def test_a_name_of_another_kind_is_free(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("judge('kto', 'acme:J')"))
    assert loaded(site).names("judge") == ["acme/kto"]


FORM = "'module:attribute'"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("loss('a/b', 'm:A')", "'a/b'; expected letters, digits, '.', '_' and '-' only"),
        ("loss('', 'm:A')", "''; expected letters, digits, '.', '_' and '-' only"),
        ("loss('acme/b', 'm:A')", "'acme/b'; expected 'b', because halo puts 'acme/' before it"),
        ("loss(None, 'm:A')", "None; expected a text as its name, and then a text " + FORM),
        ("loss('m:A', 'a')", "'m:A'; expected its name first, and then the text " + FORM),
        ("loss('a', 'm.A')", "'a' as 'm.A'; expected 'module:attribute', as in 'm:A'"),
        ("loss('a', 'm/n.py:A')", "'a' as 'm/n.py:A'; expected " + FORM + ", as in 'm.n:A'"),
        ("loss('a', 'm:')", "'a' as 'm:'; expected 'module:attribute'"),
        ("loss('a', dict)", "'a' as the class dict; expected a text 'module:attribute'"),
        ("loss('a', None)", "'a' as None; expected a text 'module:attribute'"),
        (
            "loss('a', hookimpl)",
            "'a' as an object of the class HookimplMarker; expected a text " + FORM,
        ),
        ("loss('a', lambda: 0)", "'a' as the function <lambda>; expected a text " + FORM),
        (
            "loss('a', halo_register)",
            "'a' as the function halo_register; expected the text 'halo_acme_plugin:halo_register'",
        ),
        (
            "loss('a', __import__('re'))",
            "'a' as the module re; expected a text, as in 're:MyClass'",
        ),
        (
            "loss('a', '.losses:A')",
            "'a' as '.losses:A'; expected 'package.module:attribute', because nothing is relative",
        ),
    ],
)
def test_a_registration_that_cannot_be_used_is_refused(
    site: Any, registers: Registers, call: str, error: str
) -> None:
    site.add("halo-acme", registers(call))
    assert broken(site).error == f"PluginError: halo-acme registers the loss {error}"


def test_one_name_registered_twice_breaks_the_plugin(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("loss('a', 'm:A')", "loss('a', 'm:B')"))
    assert broken(site).error == "PluginError: halo-acme registers the loss 'a' twice"


def test_a_misspelt_hook_is_named_with_its_line(site: Any) -> None:
    source = "from halo_core.hooks import hookimpl\n\n@hookimpl\ndef halo_regster(registry): ...\n"
    module = site.add("halo-acme", source)
    row = broken(site)
    assert row.error == (
        "UnknownHookError: unknown hook 'halo_regster'; expected halo_register(registry), "
        "halo_caches, halo_doctor"
    )
    assert row.location == f"{site.folder / module}.py:3"
    assert "halo_register(registry)" in row.hint


def test_a_hook_with_a_wrong_argument_says_which(site: Any) -> None:
    source = "from halo_core.hooks import hookimpl\n\n@hookimpl\ndef halo_register(reg): ...\n"
    module = site.add("halo-acme", source)
    row = broken(site)
    assert "Argument(s) {'reg'} are declared in the hookimpl" in row.error
    assert "\n" not in row.error
    assert row.location == f"{site.folder / module}.py"


def test_a_plugin_that_registers_nothing_is_broken(site: Any) -> None:
    module = site.add("halo-acme", "def halo_register(registry): ...\n")
    row = broken(site)
    assert row.error == (
        "PluginError: it registers nothing; expected a function halo_register(registry), or "
        "another hook, marked @hookimpl"
    )
    assert row.location == f"{site.folder / module}.py"


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


def test_two_distributions_with_one_namespace_need_their_full_names(
    site: Any, registers: Registers
) -> None:
    site.add("halo-acme", registers("loss('a', 'm:A')", "loss('b', 'm:B')"))
    site.add("acme", registers("loss('a', 'm:A')"))
    registry = loaded(site)
    assert registry.names("loss") == ["acme/a", "halo-acme/a", "halo-acme/b"]
    assert registry.find("loss", "halo-acme/a").distribution == "halo-acme"
    assert message_of(registry, "loss", "acme/b") == (
        "the loss 'acme/b' is ambiguous: acme and halo-acme share the namespace 'acme'. "
        "Write halo-acme/b, or leave one out with HALO_PLUGINS"
    )
    assert message_of(registry, "loss", "acme/a") == (
        "the loss 'acme/a' is ambiguous: acme and halo-acme share the namespace 'acme'. "
        "Write halo-acme/a, or leave one out with HALO_PLUGINS"
    )


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


def test_a_built_in_that_is_absent_says_what_to_install() -> None:
    with pytest.raises(UserError) as caught:
        Registry([]).find("reference_point", "mismatched-kl")
    assert str(caught.value) == (
        "the reference point 'mismatched-kl' is in halo-methods, which is not installed: "
        "pip install halo-methods"
    )


def test_a_component_of_a_broken_plugin_is_the_plugin_s_fault(site: Any) -> None:
    module = site.add("halo-acme", "1 / 0\n")
    registry = loaded(site)
    with pytest.raises(PluginError) as caught:
        registry.find("loss", "acme/soft")
    assert str(caught.value) == (
        f"{site.folder / module}.py:1: the loss 'acme/soft' is in halo-acme 1.0, which is broken: "
        "ZeroDivisionError: division by zero. Report it to the authors of halo-acme, "
        "or: pip uninstall halo-acme"
    )


def test_a_misspelt_name_gets_the_nearest_one(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("loss('soft-kto', 'm:A')"))
    assert "Did you mean 'acme/soft-kto'?" in message_of(loaded(site), "loss", "acme/soft-kt")
    assert message_of(loaded(site), "loss", "kt0").startswith(
        "no loss named 'kt0'. Did you mean 'kto'? Installed: acme/soft-kto."
    )


def test_a_target_that_is_not_there_is_the_plugin_s_fault(site: Any, registers: Registers) -> None:
    module = site.add("halo-acme", registers("loss('soft', 'halo_acme_plugin:Soft')"))
    with pytest.raises(PluginError) as caught:
        import_target(loaded(site).find("loss", "acme/soft"))
    assert caught.value.location == f"{site.folder / module}.py:6"
    assert caught.value.message.startswith(
        "halo-acme 1.0: the loss 'soft' cannot be imported from 'halo_acme_plugin:Soft': "
        "AttributeError: "
    )


def test_a_module_that_the_core_has_no_more_says_where_its_names_are(
    site: Any, registers: Registers
) -> None:
    site.add("halo-acme", "from halo_core.installed import GROUP\n")
    row = broken(site)
    assert row.error == "ModuleNotFoundError: No module named 'halo_core.installed'"
    assert row.hint == (
        f"halo-core {__version__} has no such module: import public names from halo_core itself, "
        "as in from halo_core import Loss, Registrar, hookimpl; "
        "or update it: pip install -U halo-acme"
    )


def test_a_component_that_imports_such_a_module_says_so_too(
    site: Any, registers: Registers, tmp_path: Path
) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme_soft:Soft')"))
    (site.folder / "acme_soft.py").write_text("from halo_core.scoring import Score\n")
    registration = loaded(site).find("loss", "acme/soft")
    with pytest.raises(PluginError, match="import public names from halo_core itself"):
        import_target(registration)
    (tmp_path / "mine.py").write_text("from halo_core.scoring import Score\n")
    with pytest.raises(PluginError, match="import public names from halo_core itself"):
        import_file(tmp_path / "mine.py")


def test_the_module_from_which_plugins_once_took_registrar_still_has_it() -> None:
    from halo_core import Registrar, registry

    assert registry.Registrar is Registrar
