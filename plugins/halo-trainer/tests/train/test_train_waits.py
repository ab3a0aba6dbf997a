"""A step waits for its device twice at most, and for other processes as often, however it is cut.

The CPU replaces a GPU here: the operations that would have to wait for a GPU are counted.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from halo_core.feedback import Feedback
from halo_core.rows import arrow_schema
from halo_core.stage import ModelInput

WORKER = Path(__file__).parent / "counted_waits.py"
MOST = 2


def load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("counted_waits", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = load_worker()
NAMES = [f"{name}-{budget}" for name in worker.CASES for budget in worker.BUDGETS]


def row(feedback: Feedback, i: int) -> dict[str, Any]:
    own: dict[str, Any] = {
        "demonstration": {"completion": " ".join(["moo"] * (1 + i % 5))},
        "binary": {"completion": " ".join(["moo"] * (1 + i % 5)), "desirable": i % 3 != 0},
        "paired": {"chosen": " ".join(["moo"] * (1 + i % 5)), "rejected": "quack"},
        "scored": {"completions": ["moo", "quack", "moo moo"], "scores": [1.0, 0.0, i / 4]},
    }[feedback]
    prompt = [{"role": "user", "content": f"What {i}?"}]
    return {"id": f"row-{i}", "prompt_id": f"p{i}", "source": "test", "prompt": prompt} | own


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: ModelInput) -> Path:
    folder = tmp_path_factory.mktemp("waits")
    (folder / "model").symlink_to(tiny_model.path)
    feedbacks: tuple[Feedback, ...] = ("demonstration", "binary", "paired", "scored")
    for feedback in feedbacks:
        rows = [row(feedback, i) for i in range(24)]
        table = pa.Table.from_pylist(rows, schema=arrow_schema(feedback))
        with (
            pa.OSFile(str(folder / f"train-{feedback}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
    return folder


@pytest.fixture(scope="module")
def of_two(folder: Path, run_on_two_ranks: Callable[[Path, Path], None]) -> list[dict[str, Any]]:
    """The counts of each of two ranks."""
    run_on_two_ranks(WORKER, folder)
    return [json.loads((folder / f"counts-{rank}.json").read_text()) for rank in (0, 1)]


def is_logged(step: int) -> bool:
    return step == 1 or step % worker.LOGGED == 0 or step == worker.STEPS


def check(steps: list[dict[str, int]], *, collectives: int) -> None:
    for step, counts in enumerate(steps, start=1):
        if step == worker.STEPS:  # the weights are checked, and the state is measured
            continue
        # A step that logs reads all its metrics at once, and sums them over the processes.
        reads = MOST + is_logged(step)
        assert counts.get("reads", 0) <= reads, (step, counts)
        assert counts.get("masks", 0) == 0, (step, counts)
        if not is_logged(step):
            assert counts.get("collectives", 0) <= collectives, (step, counts)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_one_process_reads_from_the_device_twice_at_most(name: str, folder: Path) -> None:
    case, _, budget = name.rpartition("-")
    check(worker.counts_of(folder, case, budget, 0), collectives=0)


@pytest.mark.slow(seconds=2)
@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_two_processes_has_two_collectives_at_most(
    name: str, of_two: list[dict[str, Any]]
) -> None:
    for counts in of_two:
        check(counts[name], collectives=MOST)
        # The counter itself works: processes agree in every step.
        assert all(step["collectives"] >= 1 for step in counts[name])


def test_the_counter_finds_reads_and_masks() -> None:
    import torch

    waits = worker.Waits()
    values = torch.arange(3.0)
    with waits:
        float(values.sum())
        values[values > 1].sum()
        bool(values.any())
        values[torch.tensor([0])].sum()
    assert waits.counts == {"reads": 2, "masks": 1}
