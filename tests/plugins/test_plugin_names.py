"""The meaning of the names of components: bare, with a namespace, ambiguous or misspelt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from loaded_site import loaded, message_of

from halo_core.errors import PluginError, UserError
from halo_core.plugins.registry import Registry

Registers = Callable[..., str]


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


def test_a_bare_name_never_means_a_stranger_s_component(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"))
    assert message_of(loaded(site), "loss", "soft") == (
        "no loss named 'soft'. Did you mean 'acme/soft'? Installed: acme/soft. "
        "Others: halo plugins --available"
    )


def test_a_name_of_another_kind_is_said_to_be_one(site: Any, registers: Registers) -> None:
    site.add("halo-acme", registers("judge('fair', 'acme:Fair')"))
    assert message_of(loaded(site), "loss", "acme/fair") == (
        "no loss named 'acme/fair': it is a judge, of halo-acme. Installed: none"
    )


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
