"""A registered component whose target cannot be imported is the plugin's fault."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loaded_site import loaded

from halo_core.errors import PluginError
from halo_core.plugins.local_file import import_file
from halo_core.plugins.registry import import_target

Registers = Callable[..., str]


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


def test_a_target_that_is_not_there_is_the_plugin_s_fault(site: Any, registers: Registers) -> None:
    module = site.add("halo-acme", registers("loss('soft', 'halo_acme_plugin:Soft')"))
    with pytest.raises(PluginError) as caught:
        import_target(loaded(site).find("loss", "acme/soft"))
    assert caught.value.location == f"{site.folder / module}.py:6"
    assert caught.value.message.startswith(
        "halo-acme 1.0: the loss 'soft' cannot be imported from 'halo_acme_plugin:Soft': "
        "AttributeError: "
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
