"""The page on large models has the tables that its script computes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "large-models.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "benchmarks" / "large_models.py"
    spec = importlib.util.spec_from_file_location("large_models_script", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Data classes look their module up.
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "table", ["memory_table", "accumulation_table", "time_table", "break_even_table"]
)
def test_the_page_has_the_computed_table(script: ModuleType, table: str) -> None:
    assert "\n".join(getattr(script, table)()) in PAGE


def test_a_ring_moves_all_but_a_ranks_own_share(script: ModuleType) -> None:
    model = script.models()["Llama 30B"]
    moved = script.traffic(model, 8)
    assert moved.forward == 2 * 32_528_943_616 * 7 / 8
    assert moved.total == (2 + 2 + 4 + 2) * 32_528_943_616 * 7 / 8


def test_at_the_break_even_computing_takes_as_long_as_the_exchange(script: ModuleType) -> None:
    model = script.models()["Llama 30B"]
    tokens = script.break_even_tokens(model, "A100", 25.0, 64)
    exchange = script.traffic(model, 64).total / 25e9
    assert script.compute_seconds(model, tokens, "A100") == pytest.approx(exchange)
