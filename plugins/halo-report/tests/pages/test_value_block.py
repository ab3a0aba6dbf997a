"""The block of value functions on a page."""

from __future__ import annotations

import pytest

from halo_core.errors import PluginError
from halo_report.pages import value_block


def test_a_broken_plugin_is_named_in_place_of_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: str) -> list[object]:
        raise PluginError(f"the loss of {spec} is broken")

    monkeypatch.setattr(value_block, "run_values", broken)
    block = value_block.value_block(["a spec"])
    assert block is not None
    assert (block.note, block.plots) == ("They are not drawn: the loss of a spec is broken", ())
