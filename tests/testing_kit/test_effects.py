"""Effects of calls on all other code, and the settings of libraries that a call imports."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pytest

from halo_core.testing.effects import effects

LIBRARY = """
import os, warnings
os.environ["LIBRARY_THREADS"] = "1"
warnings.simplefilter("ignore")
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_library_with_settings.py").write_text(LIBRARY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "a_library_with_settings", raising=False)


@pytest.mark.usefixtures("library")
def test_settings_of_an_imported_library_are_no_effects_where_imports_are_allowed(
    tmp_path: Path,
) -> None:
    with effects([tmp_path], imports=True) as found:
        import a_library_with_settings  # noqa: F401

    assert not found.done
    assert "LIBRARY_THREADS" not in os.environ


@pytest.mark.usefixtures("library")
def test_settings_of_an_imported_library_are_effects_elsewhere(tmp_path: Path) -> None:
    with effects([tmp_path]) as found:
        import a_library_with_settings  # noqa: F401

    said = ["sets the environment variable LIBRARY_THREADS", "changes the filters of warnings"]
    assert list(found.done) == said


def test_settings_outside_of_imports_are_effects_where_imports_are_allowed() -> None:
    with effects(imports=True) as found:
        os.environ["A_CALL"] = "1"
        warnings.simplefilter("ignore")

    assert list(found.done) == [
        "sets the environment variable A_CALL",
        "changes the filters of warnings",
    ]
