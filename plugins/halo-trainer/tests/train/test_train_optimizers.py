from __future__ import annotations

import pytest
import torch
from torch import nn

from halo_trainer.train.checkpoints.checkpoint import Checkpoints
from halo_trainer.train.checkpoints.counts import Scores, steps_to_keep
from halo_trainer.train.checkpoints.files import contents_of
from halo_trainer.train.checkpoints.search import find_whole
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.learning_rate import learning_rate
from halo_trainer.train.optimizers import (
    OPTIMIZERS,
    Named,
    load_state_tensors,
    make_optimizer,
    state_tensors,
    trainable,
    update_weights,
)


def make_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))


def step(module: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    module.zero_grad()
    module(torch.randn(5, 3)).square().sum().backward()
    update_weights(optimizer, 0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizers_state_survives_as_tensors(name: str) -> None:
    options = {"momentum": 0.9} if "momentum" in OPTIMIZERS[name] else {}
    module = make_module()
    optimizer = make_optimizer(trainable(module), name, weight_decay=0.1, options=options)
    step(module, optimizer, 1)
    other = make_module()
    other.load_state_dict(module.state_dict())
    copy = make_optimizer(trainable(other), name, weight_decay=0.1, options=options)
    saved = {k: t.clone() for k, t in state_tensors(optimizer, trainable(module)).items()}
    load_state_tensors(copy, trainable(other), saved)
    for seed in (2, 3):
        step(module, optimizer, seed)
        step(other, copy, seed)
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_matrices_decay() -> None:
    module = make_module()
    optimizer = make_optimizer(trainable(module), "SGD", weight_decay=0.5, options={})
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    update_weights(optimizer, 1.0)
    for name, parameter in module.named_parameters():
        factor = 0.5 if parameter.ndim == 2 else 1.0
        assert torch.equal(parameter, before[name] * factor)


def test_list_options_become_tuples() -> None:
    optimizer = make_optimizer(
        trainable(make_module()), "AdamW", weight_decay=0.0, options={"betas": [0.5, 0.6]}
    )
    assert optimizer.defaults["betas"] == (0.5, 0.6)


def rates(schedule: str, warmup: int, total: int) -> list[float]:
    return [
        learning_rate(s, peak=2.0, warmup_steps=warmup, total_steps=total, schedule=schedule)  # type: ignore[arg-type]
        for s in range(1, total + 1)
    ]


def test_warmup_rises_linearly_to_the_peak() -> None:
    assert rates("constant", 4, 6) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_linear_falls_to_one_step_above_zero() -> None:
    assert rates("linear", 0, 4) == [2.0, 1.5, 1.0, 0.5]


def test_cosine_is_half_way_in_the_middle_and_never_zero() -> None:
    found = rates("cosine", 2, 10)
    assert found[2] == 2.0
    assert found[6] == pytest.approx(1.0)
    assert found == sorted(found[:2]) + sorted(found[2:], reverse=True)
    assert found[-1] > 0


def test_warmup_longer_than_the_training_never_reaches_the_peak() -> None:
    assert rates("cosine", 10, 2) == [pytest.approx(0.2), pytest.approx(0.4)]


def test_the_best_and_the_latest_checkpoints_are_kept() -> None:
    scores = {1: 0.3, 2: None, 3: 0.1, 4: 0.1, 5: 0.2}
    assert steps_to_keep(scores, keep_last=1, keep_best=1) == {3, 5}
    assert steps_to_keep(scores, keep_last=2, keep_best=0) == {4, 5}
    assert steps_to_keep(scores, keep_last=1, keep_best=3) == {3, 4, 5}
    assert steps_to_keep(scores, keep_last=0, keep_best=1) == {3}


@pytest.fixture
def checkpoints(tmp_path: object) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", keep_last=1, keep_best=1)  # type: ignore[operator]


def save(
    checkpoints: Checkpoints, state: TrainState, parameters: Named, optimizer: torch.optim.Optimizer
) -> None:
    gone = checkpoints.note(state.step, state.score)
    checkpoints.write(contents_of(state, parameters, optimizer, None, copied=True), gone)


def found(checkpoints: Checkpoints, warnings: list[str] | None = None) -> Scores:
    warn = ([] if warnings is None else warnings).append
    return find_whole(checkpoints.folder, warn, with_reference=False, exports_best=False)


def test_without_a_checkpoint_a_training_starts_anew(checkpoints: Checkpoints) -> None:
    module = make_module()
    optimizer = make_optimizer(trainable(module), "SGD", weight_decay=0, options={})
    assert checkpoints.restore(found(checkpoints), trainable(module), optimizer) == TrainState()


def test_a_state_is_restored_as_it_was(checkpoints: Checkpoints) -> None:
    module = make_module()
    optimizer = make_optimizer(trainable(module), "AdamW", weight_decay=0, options={})
    step(module, optimizer, 1)
    state = TrainState(3, 70, {"mean": 0.1}, {"a": (1 / 3, 7.0)}, 0.5, {"train/loss": 0.1}, 0.2)
    save(checkpoints, state, trainable(module), optimizer)
    other = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    fresh = make_optimizer(trainable(other), "AdamW", weight_decay=0, options={})
    assert checkpoints.restore(found(checkpoints), trainable(other), fresh) == state
    assert all(
        torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True)
    )


def test_half_a_checkpoint_is_set_aside_and_remains_are_removed(checkpoints: Checkpoints) -> None:
    module = make_module()
    optimizer = make_optimizer(trainable(module), "SGD", weight_decay=0, options={})
    save(checkpoints, TrainState(step=1), trainable(module), optimizer)
    half = checkpoints.folder / "step-00000009"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"")
    (checkpoints.folder / ".step-00000008.abc.partial").mkdir()
    warnings: list[str] = []
    scores = found(checkpoints, warnings)
    assert warnings == [
        f"{half / 'state.json'} is gone. Its checkpoint is set aside as damaged-step-00000009. "
        "The training continues from the checkpoint of step 1"
    ]
    assert checkpoints.restore(scores, trainable(module), optimizer).step == 1
    save(checkpoints, TrainState(step=2), trainable(module), optimizer)
    names = {"README.md", "step-00000002", "damaged-step-00000009"}
    assert {path.name for path in checkpoints.folder.iterdir()} == names


def test_only_a_lower_score_is_best(checkpoints: Checkpoints) -> None:
    module = make_module()
    optimizer = make_optimizer(trainable(module), "SGD", weight_decay=0, options={})
    assert checkpoints.is_best(0.5)
    assert not checkpoints.is_best(None)
    save(checkpoints, TrainState(step=1, score=0.5), trainable(module), optimizer)
    assert not checkpoints.is_best(0.5)
    assert checkpoints.is_best(0.4)
