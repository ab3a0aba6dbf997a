"""The names of `halo_statistics`: sorted, complete, and free to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import halo_statistics as statistics

HEAVY = ("matplotlib", "numpy", "openai", "pandas", "scipy", "statsmodels", "torch")


def exported_in_source():
    tree = ast.parse(Path(statistics.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names}


def test_all_is_sorted_without_repetition_and_what_the_package_imports():
    kinds = lambda name: (not name.isupper(), name[0].islower(), name)  # noqa: E731
    assert statistics.__all__ == sorted(set(statistics.__all__), key=kinds)
    assert set(statistics.__all__) == exported_in_source()


@pytest.mark.parametrize("name", statistics.__all__)
def test_every_name_is_there_and_documented_where_it_can_be(name):
    value = getattr(statistics, name)
    if callable(value) and not isinstance(value, type(statistics.Result)):
        assert value.__module__.startswith("halo_statistics.")
        assert value.__doc__


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, halo_statistics; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_arrays_are_taken_like_lists():
    import numpy as np

    points, lengths = [1, 0, 0.5, 1], [4, 3, 2, 1]
    array, widths = np.array(points), np.array(lengths)
    assert statistics.bootstrap_rate(array) == statistics.bootstrap_rate(points)
    assert statistics.calibration(array, array) == statistics.calibration(points, points)
    assert statistics.cohen_kappa(array, widths) == statistics.cohen_kappa(points, lengths)
    assert statistics.length_controlled_rate(
        array, widths, [2] * 4
    ) == statistics.length_controlled_rate(points, lengths, [2] * 4)
