"""Two processes that share the weights of a model give the same results as one process."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from safetensors.torch import load_file

from halo_core.stage import ModelInput
from halo_trainer.train.ranks import Ranks

pytestmark = pytest.mark.slow
RELATIVE = 1e-5
WORKER = Path(__file__).parent / "sharded_ranks.py"


def load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sharded_ranks", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: ModelInput,
    run_on_two_ranks: Callable[[Path, Path], None],
) -> Path:
    """The folder in which two ranks have run `sharded_ranks.py`."""
    folder = tmp_path_factory.mktemp("sharded-ranks")
    (folder / "model").symlink_to(tiny_model.path)
    run_on_two_ranks(WORKER, folder)
    return folder


def test_the_gradient_of_sharded_weights_is_that_of_one_process(finished: Path) -> None:
    expected = load_worker().all_gradients(finished, Ranks("cpu"))
    assert len(expected) == 4 * len(load_worker().LOSSES)
    for name, gradient in expected.items():
        for rank in (0, 1):
            found = load_file(finished / f"gradient-{name}-{rank}.safetensors")
            assert found.keys() == gradient.keys()
            for tensor in gradient:
                error = (found[tensor] - gradient[tensor]).norm()
                assert error <= RELATIVE * gradient[tensor].norm(), (name, rank, tensor)
