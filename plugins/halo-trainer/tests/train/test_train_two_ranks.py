"""Two processes over gloo give the same results as one process."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from stage_on_words import curves, weights

from halo_core.feedback import Feedback
from halo_core.rows import arrow_schema
from halo_core.stage import ModelInput
from halo_trainer.train.ranks import Ranks

pytestmark = pytest.mark.slow(seconds=2)
RELATIVE = 1e-5
WORKER = Path(__file__).parent / "two_ranks.py"
WORDS = [1 + i * 5 % 7 for i in range(12)]
"""Number of words, and so about the number of tokens, of each row's completion."""


def load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("two_ranks", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_rows(folder: Path, feedback: Feedback) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": f"row-{i}",
            "prompt_id": f"p{i}",
            "source": "test",
            "prompt": [{"role": "user", "content": f"What {i}?"}],
            "completion": " ".join(["moo"] * words),
        }
        | ({"desirable": i % 3 != 0} if feedback == "binary" else {})
        for i, words in enumerate(WORDS)
    ]
    table = pa.Table.from_pylist(rows, schema=arrow_schema(feedback))
    with (
        pa.OSFile(str(folder / f"train-{feedback}.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: ModelInput,
    run_on_two_ranks: Callable[[Path, Path], None],
) -> Path:
    """The folder in which two ranks have run `two_ranks.py`."""
    folder = tmp_path_factory.mktemp("two-ranks")
    (folder / "model").symlink_to(tiny_model.path)
    write_rows(folder, "binary")
    write_rows(folder, "demonstration")
    run_on_two_ranks(WORKER, folder)
    return folder


def test_the_gradient_of_two_ranks_is_that_of_one(finished: Path) -> None:
    expected = load_worker().all_gradients(finished, Ranks("cpu"))
    assert len(expected) == 4 * len(load_worker().LOSSES)
    assert "state.mean" in expected["running-mean-5-12"]
    for name, gradient in expected.items():
        for rank in (0, 1):
            found = load_file(finished / f"gradient-{name}-{rank}.safetensors")
            assert found.keys() == gradient.keys()
            for tensor in gradient:
                error = (found[tensor] - gradient[tensor]).norm()
                assert error <= RELATIVE * gradient[tensor].norm(), (name, rank, tensor)


def test_a_stage_on_two_ranks_gives_the_weights_and_metrics_of_one(finished: Path) -> None:
    worker = load_worker()
    worker.train(finished, "kto-1", worker.KTO(), rank=0)
    one, two = curves(finished / "kto-1"), curves(finished / "kto-2")
    assert two == pytest.approx(one, rel=1e-3, abs=1e-4)
    assert {(4, "eval/test/loss"), (1, "counts/desirable")} <= two.keys()
    expected = weights(finished / "kto-1")
    for name, tensor in weights(finished / "kto-2").items():
        assert (tensor - expected[name]).norm() <= 1e-4 * expected[name].norm()


def test_a_stop_on_one_rank_stops_all_and_goes_on_as_if_nothing_had_been(finished: Path) -> None:
    for rank in (0, 1):
        message = (finished / f"stopped-{rank}.txt").read_text()
        assert message.startswith("Interrupted: stopped; step 2 of 4 is kept")
    expected = weights(finished / "kto-2")
    found = weights(finished / "stopped")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert curves(finished / "stopped") == curves(finished / "kto-2")


def test_no_object_but_python_s_own_holds_the_process_group_at_the_end(finished: Path) -> None:
    # See `_drop_exchange` in ranks.py: the last holder must not wait with Python's global lock.
    for rank in (0, 1):
        before, after = json.loads((finished / f"holders-{rank}.json").read_text())
        assert before == ["Logger", "Reducer"]
        assert after == []


def test_a_disk_that_fails_in_the_thread_of_rank_0_stops_all_ranks(finished: Path) -> None:
    messages = [(finished / f"full-{rank}.txt").read_text() for rank in (0, 1)]
    assert messages[0] == messages[1]
    assert messages[0].startswith("DiskError: ")
    assert "the disk is full: " in messages[0]
    assert not list((finished / "full").glob("checkpoints/step-*"))
    assert not (finished / "full" / "model").exists()


def test_all_ranks_pass_over_a_damaged_checkpoint(finished: Path) -> None:
    assert (finished / "damaged-1.txt").read_text().startswith("Interrupted: stopped; step 2")
    (aside,) = finished.glob("damaged/checkpoints/damaged-*")
    assert aside.name == "damaged-step-00000002"
    expected = weights(finished / "kto-2")
    found = weights(finished / "damaged")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


@pytest.fixture(scope="module")
def refreshed(finished: Path) -> Path:
    """The same folder, after one rank has run the stages with a changing reference too."""
    load_worker().train_refreshed(finished, Ranks("cpu"))
    return finished


@pytest.mark.parametrize("name", ["copy", "ema"])
def test_a_changing_reference_is_the_same_on_all_ranks_and_that_of_one(
    name: str, refreshed: Path
) -> None:
    one, *both = (
        load_file(refreshed / f"{name}-{folder}" / "reference.safetensors")
        for folder in ("1-reference-0", "2-reference-0", "2-reference-1")
    )
    started = load_file(refreshed / "model" / "model.safetensors")
    for weight, expected in one.items():
        assert torch.equal(both[0][weight], both[1][weight])
        assert (both[0][weight] - expected).norm() <= 1e-4 * expected.norm()
    assert not torch.equal(one["model.norm.weight"], started["model.norm.weight"])
    folders = refreshed / f"{name}-1", refreshed / f"{name}-2"
    one_curve, two = (curves(folder) for folder in folders)
    assert two == pytest.approx(one_curve, rel=1e-3, abs=1e-4)
    assert (4, "reference/age_steps") in two


def test_a_changing_reference_goes_on_after_a_stop_as_if_nothing_had_been(refreshed: Path) -> None:
    expected, found = weights(refreshed / "ema-2"), weights(refreshed / "ema-cut")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert curves(refreshed / "ema-cut") == curves(refreshed / "ema-2")


def test_not_a_number_on_some_rank_stops_all_and_names_every_example(finished: Path) -> None:
    messages = [(finished / f"broken-{rank}.txt").read_text() for rank in (0, 1)]
    assert messages[0] == messages[1]
    assert messages[0].startswith("NotFiniteError: broken: step 1: not a number")
    named = set(re.findall(r"row-(\d+)", messages[0]))
    assert named
    assert named <= {str(i) for i, words in enumerate(WORDS) if words >= 5}
    assert not (finished / "broken" / "model").exists()


def test_weights_that_are_too_large_stop_all_ranks_alike(finished: Path) -> None:
    messages = [(finished / f"diverged-{rank}.txt").read_text() for rank in (0, 1)]
    assert messages[0] == messages[1]
    assert re.match(r"NotFiniteError: diverged: step \d: the weights (have|are no)", messages[0])
    assert "with a learning rate of 1e+09, and no row is to blame" in messages[0]
    assert not (finished / "diverged" / "model").exists()
    assert not list((finished / "diverged").glob("checkpoints/step-*"))
