"""A server for completions, and contexts of stages that ask it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext

if TYPE_CHECKING:
    from completion_server import Server

# The tests import the server from here.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def server() -> Iterator[Server]:
    from completion_server import Server

    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def context(
    tiny_model: ModelInput,
    make_data: Callable[..., DataSet],
    make_context: Callable[..., StageContext],
) -> Callable[..., StageContext]:
    from completion_server import ROWS

    data = make_data("demonstration", ROWS, name="test")

    def make(name: str = "answers", **options: Any) -> StageContext:
        inputs = {"data": {"prompts": data}, "models": {"from": tiny_model}, "name": name}
        return make_context(**(inputs | options))

    return make
