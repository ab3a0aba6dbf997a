"""Fixtures for tests of plugins. pytest finds them where halo-core is installed.

This module imports nothing but pytest until a test uses one of its fixtures, because every test
session of every project in the same environment imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from halo_core.stage import ModelInput, StageContext
    from halo_core.testing import SpecRun, TrackerServer


@pytest.fixture
def halo_stage_context(tmp_path: Path) -> Callable[..., StageContext]:
    """Returns `halo_core.testing.stage_context` for the folder ``stage`` of the test."""
    from functools import partial

    from halo_core.testing import stage_context

    return partial(stage_context, tmp_path / "stage")


@pytest.fixture
def halo_run_spec(tmp_path: Path) -> Callable[..., SpecRun]:
    """Returns `halo_core.testing.run_spec` for the folder of the test."""
    from functools import partial

    from halo_core.testing import run_spec

    return partial(run_spec, tmp_path)


@pytest.fixture(scope="session")
def halo_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> ModelInput:
    """Returns a `halo_core.testing.tiny_model` that all tests share, so do not change its files."""
    from halo_core.testing import tiny_model

    return tiny_model(tmp_path_factory.mktemp("halo-tiny-model"))


@pytest.fixture
def halo_tracker_server() -> Iterator[TrackerServer]:
    """Yields a `halo_core.testing.TrackerServer` that listens."""
    from halo_core.testing import TrackerServer

    with TrackerServer() as server:
        yield server
