"""The token budget: found, stored, and halved when memory runs out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from halo_core.errors import Interrupted, UserError
from halo_core.events import read_events
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_methods.components import KTO, SFT, MatchedKL, MismatchedKL
from halo_models.memory_use import is_out_of_memory
from halo_trainer.model.scorer import Scorer
from halo_trainer.train import loop as loop_module, sharding_choice, token_budget
from halo_trainer.train.loop import Loop
from halo_trainer.train.objective import Objective
from halo_trainer.train.options import Train
from halo_trainer.train.reference.scores import LiveReference
from halo_trainer.train.token_budget import (
    BEFORE,
    Budget,
    first_budget,
    longest_examples,
    size_of,
)

ROWS = [
    {
        "prompt": [{"role": "user", "content": f"What {i}?"}],
        "completion": "moo " * (1 + i % 5),
        "desirable": i % 3 != 0,
    }
    for i in range(12)
]
STEPS = 4


@pytest.fixture
def train(
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
) -> Callable[..., Path]:
    """Trains four steps, and returns the stage's folder."""

    def run(
        name: str,
        loss: Any = None,
        *,
        warnings: list[str] | None = None,
        stop: StopFlag | None = None,
        **options: Any,
    ) -> Path:
        loss = loss or SFT()
        rows = ROWS
        if loss.feedback == "demonstration":
            rows = [{k: v for k, v in row.items() if k != "desirable"} for row in ROWS]
        data = make_data(loss.feedback, rows)
        context = make_context(
            data={"data": data, **({"evaluate.test": data} if "evaluate" in options else {})},
            models={"from": tiny_model, "reference": tiny_model},
            name=name,
            stop=stop,
            warnings=warnings,
        )
        values = {"batch_size": 6, "steps": STEPS, "log_every": 1, "learning_rate": 0.01} | options
        Train(data="d", loss=loss, device="cpu", **values).run(context)
        return context.folder

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def check_same_weights(one: Path, other: Path) -> None:
    found, expected = weights(one), weights(other)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def budgets(folder: Path) -> list[float]:
    """The logged budget of each step."""
    events = [e for e, _ in read_events(folder / "events.jsonl") if e["type"] == "metrics"]
    name = "perf/micro_batch_tokens"
    return [event["metrics"][name] for event in events if name in event["metrics"]]


def fail_at(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, step: int, call: int, times: int = 1
) -> None:
    """Makes calls of a function raise as if memory had run out.

    Args:
        monkeypatch: Ends it.
        owner: The class or module of the function.
        name: The function.
        step: The first step in which it raises.
        call: The first call in this step, counted from 1.
        times: Number of times that it raises.
    """
    before, seed_step = getattr(owner, name), loop_module.seed_step
    now = {"step": 0, "call": 0, "raised": 0}

    def seeded(seed: int, step: int, rank: int) -> None:
        now.update(step=step, call=0)
        seed_step(seed, step, rank)

    def failing(*args: Any, **kwargs: Any) -> Any:
        now["call"] += 1
        if now["step"] >= step and now["call"] >= call and now["raised"] < times:
            now["raised"] += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return before(*args, **kwargs)

    monkeypatch.setattr(loop_module, "seed_step", seeded)
    monkeypatch.setattr(owner, name, failing)


def with_budgets(monkeypatch: pytest.MonkeyPatch, budget_of: Callable[[int], int]) -> None:
    """Makes each step use a budget of its own."""
    step = Loop._step

    def with_own(self: Loop) -> Any:
        self.memory.budget = Budget(budget_of(self.state.step + 1), "auto")
        return step(self)

    monkeypatch.setattr(Loop, "_step", with_own)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "sft": (SFT(), {}),
    "sft, dropout": (SFT(), {"dropout": 0.3}),
    "kto, mismatched": (KTO(), {"reference_point": MismatchedKL()}),
    "kto, matched": (KTO(), {"reference_point": MatchedKL()}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("owner", ["policy", "reference"])
def test_a_step_without_memory_is_repeated_with_half_the_budget(
    name: str, owner: str, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, options = CASES[name]
    if owner == "reference" and not isinstance(loss, KTO):
        return
    warnings: list[str] = []
    kind, method = (Scorer, "forward") if owner == "policy" else (LiveReference, "token_logps")
    with monkeypatch.context() as patched:
        # The second micro-batch of a pass: the first is done, with its gradient.
        fail_at(patched, kind, method, step=2, call=2)
        folder = train("halved", loss, micro_batch_tokens=80, warnings=warnings, **options)
    assert budgets(folder) == [80, 40, 40, 40]
    expected = (
        "step 2: out of memory with micro_batch_tokens at 80; repeated with 40, which this "
        "training keeps"
    )
    assert [text for text in warnings if "memory" in text] == [expected]
    with monkeypatch.context() as patched:
        with_budgets(patched, lambda step: 80 if step == 1 else 40)
        expected_folder = train("expected", loss, **options)
    check_same_weights(folder, expected_folder)


def test_the_halved_budget_is_stored_and_used_after_a_stop(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(StopFlag):
        left = 3

        def is_set(self) -> bool:
            self.left -= 1
            return self.left == 0

    with monkeypatch.context() as patched:
        fail_at(patched, loop_module, "backward", step=2, call=1)
        whole = train("whole", micro_batch_tokens=80)
    with monkeypatch.context() as patched:
        fail_at(patched, loop_module, "backward", step=2, call=1)
        with pytest.raises(Interrupted):
            train("cut", micro_batch_tokens=80, stop=Stop())
    (state,) = (whole.parent / "cut" / "checkpoints").glob("*/state.json")
    record = json.loads(state.read_text())
    assert (record["micro_batch_tokens"], record["micro_batch_option"]) == (40, 80)
    cut = train("cut", micro_batch_tokens=80)
    assert budgets(cut)[-1] == 40
    check_same_weights(cut, whole)


def test_a_budget_that_was_found_is_not_searched_for_again(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(StopFlag):
        left = 2

        def is_set(self) -> bool:
            self.left -= 1
            return self.left == 0

    with monkeypatch.context() as patched:
        patched.setattr(loop_module, "budget_that_fits", lambda *args: 50)
        whole = train("whole")
        with pytest.raises(Interrupted):
            train("cut", stop=Stop())
    with monkeypatch.context() as patched:
        patched.setattr(loop_module, "budget_that_fits", pytest.fail)
        cut = train("cut")
    assert budgets(cut) == budgets(whole) == [50.0] * STEPS
    check_same_weights(cut, whole)


def test_an_evaluation_without_memory_is_repeated(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"evaluate": {"test": "d"}, "micro_batch_tokens": 80}
    warnings: list[str] = []
    plain = train("plain", **options)
    with monkeypatch.context() as patched:
        fail_at(patched, loop_module, "evaluate_set", step=4, call=1)
        again = train("again", warnings=warnings, **options)
    check_same_weights(again, plain)
    assert warnings[0].startswith("evaluation of 'test' at step 4: out of memory with micro_batch")


def test_one_example_that_does_not_fit_is_one_error_and_the_state_is_kept(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    fail_at(monkeypatch, loop_module, "backward", step=3, call=1, times=100)
    with pytest.raises(UserError) as raised:
        train("small", micro_batch_tokens=80, warnings=warnings)
    message = str(raised.value)
    assert message.startswith("step 3: out of memory with micro_batch_tokens at ")
    for option in ("max_length", "gradient_checkpointing: true", "lora"):
        assert option in message
    assert 1 <= len(warnings) <= 3
    monkeypatch.undo()
    # It continues from the step before, with a budget of the user's.
    assert budgets(train("small", micro_batch_tokens=60))[-2:] == [60, 60]


@pytest.mark.parametrize(
    ("option", "stored", "done", "expected"),
    [
        ("auto", None, 0, Budget(7, "auto")),
        ("auto", None, 3, Budget(BEFORE, "auto")),
        ("auto", Budget(99, "auto"), 3, Budget(99, "auto")),
        ("auto", Budget(99, 198), 3, Budget(7, "auto")),
        (512, Budget(99, "auto"), 3, Budget(512, 512)),
        (512, Budget(256, 512), 3, Budget(256, 512)),
        (512, None, 3, Budget(512, 512)),
    ],
)
def test_the_checkpoint_decides_unless_the_option_changed(
    option: Any, stored: Budget | None, done: int, expected: Budget
) -> None:
    assert first_budget(option, stored, done=done, find=lambda: 7) == expected


def test_the_search_leaves_weights_gradients_and_random_states_alone(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    search = loop_module.budget_that_fits

    def watched(objective: Any, parameters: Any, *others: Any) -> int:
        before = [p.detach().clone() for _, p in parameters]
        state = torch.get_rng_state()
        found.append(search(objective, parameters, *others))
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(p, b) for (_, p), b in zip(parameters, before, strict=True))
        assert all(p.grad is None for _, p in parameters)
        assert objective.policy.training
        return found[-1]

    monkeypatch.setattr(loop_module, "budget_that_fits", watched)
    options = {"dropout": 0.2, "reference_point": MismatchedKL()}
    folder = train("auto", KTO(), **options)
    assert found == [BEFORE]
    check_same_weights(folder, train("given", KTO(), micro_batch_tokens=found[0], **options))


@pytest.mark.parametrize(("tokens", "expected"), [(10**9, 512), (200, 128), (100, 64), (0, 32)])
def test_a_gpu_is_tried_with_falling_budgets(
    tokens: int,
    expected: int,
    make_tiny: Callable[..., Any],
    make_examples: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The functions of torch for a GPU are replaced; it has room for some tokens."""
    tiny = make_tiny(SFT())
    rows: list[int] = []
    scores = Objective.scores

    def watched(self: Objective, micro: Any, computed: Any) -> Any:
        rows.append(len(micro.row.input_ids))
        if rows[-1] > 2 * tokens + 50:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return scores(self, micro, computed)

    monkeypatch.setattr(Objective, "scores", watched)
    monkeypatch.setattr(token_budget, "LEAST", 32)
    fakes = {
        "mem_get_info": lambda device: (1000.0, 2000.0),
        "memory_reserved": lambda device: 0.0,
        "max_memory_allocated": lambda device: 900.0 if rows[-1] <= tokens else 901.0,
        "reset_peak_memory_stats": lambda device: None,
        "empty_cache": lambda: None,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    longest = longest_examples(tiny.objective, make_examples("demonstration", 40), 24)
    sizes = [size_of(tiny.objective, example) for example in longest]
    assert 256 < sum(sizes) < 512
    assert sizes == sorted(sizes, reverse=True)
    parameters = list(tiny.policy.parameters())
    optimizer = torch.optim.AdamW(parameters)
    found = token_budget._that_fits_gpu(tiny.objective, parameters, optimizer, longest, sizes)
    assert found == expected
    assert rows == sorted(rows, reverse=True)
    assert all(parameter.grad is None for parameter in parameters)


def test_less_free_memory_gives_a_smaller_budget(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_budget, "LEAST", 8)
    sizes = []
    for free in (10**12, 3 * 10**6, 10):
        monkeypatch.setattr(sharding_choice, "free_memory", lambda free=free: free)
        sizes.append(budgets(train(f"free-{free}"))[0])
    assert sizes[0] > sizes[1] > sizes[2] == 8, sizes


def test_errors_about_memory_are_known() -> None:
    message = "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: 1"
    assert is_out_of_memory(RuntimeError(message))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(MemoryError())


def test_gathered_weights_of_sharding_leave_less_room_for_a_micro_batch(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*, spread: bool) -> float:
        with monkeypatch.context() as patched:
            # The search of sharded weights, on weights that are not sharded.
            patched.setattr(token_budget, "is_spread", lambda module: spread)
            patched.setattr(token_budget, "gathered_bytes", lambda scorer: 3 * 10**7)
            patched.setattr(token_budget, "free_bytes", lambda ranks: 8 * 10**7)
            return budgets(train(f"spread-{spread}", steps=1, micro_batch_tokens="auto"))[0]

    assert found(spread=True) < found(spread=False)
