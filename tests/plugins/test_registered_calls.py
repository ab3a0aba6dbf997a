"""Registrations and hooks that cannot be used break their plugin, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from loaded_site import broken

Registers = Callable[..., str]


def test_a_method_that_the_registry_lacks_is_answered_with_those_it_has(
    site: Any, registers: Registers
) -> None:
    site.add("halo-acme", registers("losses('a', 'm:A')"))
    assert broken(site).hint.startswith("The methods of the registry are command, data, judge, ")


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
