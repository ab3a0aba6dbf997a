"""A plugin that cannot be imported is a row with its reason, its line and advice."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from loaded_site import broken, loaded

from halo_core import __version__

Registers = Callable[..., str]


def test_a_plugin_that_raises_at_import_is_a_row_with_file_and_line(site: Any) -> None:
    module = site.add("halo-acme", "import os\n\nraise RuntimeError('no licence\\nfound')\n")
    row = broken(site)
    assert row.error == "RuntimeError: no licence found"
    assert row.location == f"{site.folder / module}.py:3"
    assert row.hint == "Report it to the authors of halo-acme, or: pip uninstall halo-acme"


def test_a_plugin_that_exits_at_import_does_not_end_halo(site: Any) -> None:
    site.add("halo-acme", "import sys\nsys.exit('bye')\n")
    assert broken(site).error == "SystemExit: bye"


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


def test_an_error_without_a_text_is_its_name(site: Any) -> None:
    site.add("halo-acme", "raise MemoryError\n")
    assert broken(site).error == "MemoryError"


def test_a_skip_of_pytest_is_at_the_line_that_calls_it(site: Any) -> None:
    site.add("halo-acme", "\nimport pytest\npytest.skip('no', allow_module_level=True)\n")
    row = broken(site)
    assert (row.error, row.location.endswith("halo_acme_plugin.py:3")) == ("Skipped: no", True)


def test_an_entry_point_to_nothing_is_located_at_the_entry_point(site: Any) -> None:
    site.add("halo-acme", "", entry_point="no_such_plugin_module")
    assert broken(site).location.endswith("halo_acme-1.0.dist-info/entry_points.txt")


def test_an_entry_point_to_an_attribute_that_is_not_there_is_one_sentence(
    site: Any, registers: Registers
) -> None:
    text = registers("judge('fair', 'acme:Fair')")
    site.add("halo-acme", text, entry_point="halo_acme_plugin:nothing")
    row = broken(site)
    assert row.error == (
        "PluginError: its entry point is 'halo_acme_plugin:nothing', but halo_acme_plugin has no "
        "'nothing'; expected only the module: 'halo_acme_plugin'"
    )
    assert row.location.endswith("halo_acme-1.0.dist-info/entry_points.txt")
    site.add("halo-fine", text, entry_point="halo_fine_plugin:halo_register")
    assert loaded(site).names("judge") == ["fine/fair"]


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


def test_the_module_from_which_plugins_once_took_registrar_still_has_it() -> None:
    from halo_core import Registrar, registry

    assert registry.Registrar is Registrar
