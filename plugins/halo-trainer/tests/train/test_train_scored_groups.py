"""Training on scored groups: batches, metrics, the token budget and the whole stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from halo_core import ModelInput
from halo_core.events import read_events
from halo_core.loss import LossOutput
from halo_core.stage import StageContext
from halo_core.testing import loss_batch
from halo_methods.components import NCA, InfoNCA
from halo_trainer.batch.micro_batch import (
    Scores,
    collate,
    computed_tokens,
    global_batch,
    make_loss_batch,
)
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample
from halo_trainer.train import group_metrics as metrics_module
from halo_trainer.train.metrics import Metrics, means
from halo_trainer.train.options import Train


def group(number: int, *scores: float, prompt: int = 6, logps: bool = True) -> EncodedExample:
    rng = np.random.Generator(np.random.PCG64(number))
    asked = rng.integers(0, 60, prompt).astype(np.int32)
    completions = []
    for k, score in enumerate(scores):
        ids = rng.integers(0, 60, 2 + k).astype(np.int32)
        known = -rng.random(len(ids)).astype(np.float32) if logps else None
        completions.append(
            EncodedCompletion(asked, ids, True, f"{number}.{k}", score=score, sampler_logps=known)
        )
    return EncodedExample(f"g{number}", f"p{number}", tuple(completions))


def test_a_loss_gets_the_scores_and_log_probabilities_that_it_needs() -> None:
    examples = [group(1, 1.0, 2.0), group(2, 0.5, -1.0, 3.0)]
    micro = collate(examples)
    scores = Scores(torch.zeros(len(micro.row.targets)), {})
    seen = make_loss_batch(micro, scores, None, None, {}, ("scores", "sampler_logps"))
    assert seen.scores is not None
    assert seen.sampler_token_logps is not None
    assert (seen.scores.tolist(), seen.scores.dtype) == ([1.0, 2.0, 0.5, -1.0, 3.0], torch.float64)
    expected = [c.sampler_logps for e in examples for c in e.completions]
    assert seen.sampler_token_logps.tolist() == np.concatenate(expected).tolist()  # type: ignore[arg-type]
    assert (seen.examples, seen.group_sizes.tolist()) == (2, [2.0, 3.0])
    without = make_loss_batch(micro, scores, None, None, {}, ("policy_logps",))
    assert (without.scores, without.sampler_token_logps) == (None, None)


def test_a_group_is_never_split_and_a_large_one_is_alone() -> None:
    examples = [group(1, 1.0, 2.0), group(2, *range(9)), group(3, 0.0, 1.0, 2.0)]
    sizes = [computed_tokens(example, share=True) for example in examples]
    # The prompt is computed once: 5 of its tokens, and each completion after the last of them.
    assert sizes[0] == 5 + 2 + 3
    for ranks in (1, 2):
        batch = global_batch(examples, budget=sizes[0] + sizes[2], rank=0, ranks=ranks, share=True)
        parts = [list(part) for share in batch.shares for part in share if part]
        assert [1] in parts  # above the budget
        assert sorted(i for part in parts for i in part) == [0, 1, 2]


def scored_metrics(
    scores: list[float], groups: list[int], rewards: list[float] | None
) -> dict[str, float]:
    batch = loss_batch([[-1.0]] * len(scores), examples=groups, scores=scores)
    given = None if rewards is None else torch.tensor(rewards)
    output = LossOutput(torch.zeros(max(groups) + 1), rewards=given)
    metrics = Metrics()
    metrics.add_output("scored", batch, output)
    return means(metrics.sums())


@pytest.mark.parametrize("at_a_time", [1, 2, 1024])
def test_metrics_of_groups_count_pairs_with_different_scores(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "AT_A_TIME", at_a_time)
    found = scored_metrics(
        [3.0, 1.0, 2.0, 5.0, 5.0, 0.0, 1.0],
        [0, 0, 0, 1, 1, 2, 2],
        [4.0, 1.0, 5.0, 9.0, 0.0, 2.0, 2.0],
    )
    # Pairs: 3 > 1 (margin 3), 3 > 2 (-1), 2 > 1 (4), and 1 > 0 of the last group (0, not above it).
    assert found["rewards/margins"] == pytest.approx((3 - 1 + 4 + 0) / 4)
    assert found["rewards/accuracies"] == 0.5
    assert found["scores/mean"] == pytest.approx(17 / 7)
    assert found["groups/equal_scores"] == pytest.approx(1 / 3)
    assert found["groups/size"] == pytest.approx(7 / 3)
    assert found["rewards/mean"] == pytest.approx(23 / 7)
    assert "rewards/chosen" not in found


def test_a_loss_without_rewards_has_the_other_metrics() -> None:
    found = scored_metrics([1.0, 1.0], [0, 0], None)
    assert "rewards/accuracies" not in found
    assert (found["groups/equal_scores"], found["scores/mean"]) == (1.0, 1.0)


ROWS: list[dict[str, Any]] = [
    {
        "prompt": [{"role": "user", "content": f"{i} cows?"}],
        "completions": ["moo", "quack quack", "moo moo", "ant"][: 2 + i % 3],
        "scores": [2.0, 0.0, 1.0, -1.0][: 2 + i % 3],
    }
    for i in range(6)
]


@pytest.fixture
def train(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> Callable[..., Path]:
    """Returns a function that trains on `ROWS` and returns the stage's folder."""

    def go(loss: Any, name: str, **options: Any) -> Path:
        rows = make_data("scored", ROWS)
        context = make_context(
            data={"data": rows, "evaluate.test": rows},
            models={"from": tiny_model, "reference": tiny_model},
            name=name,
        )
        stage = Train(
            **{"data": "train", "evaluate": {"test": "test"}, "device": "cpu", "steps": 12}
            | options,
            loss=loss,
            batch_size=6,
            learning_rate=1e-3,
            log_every=1,
        )
        assert not stage.mistakes()
        stage.run(context)
        return context.folder

    return go


def test_training_orders_the_completions_of_groups_by_their_scores(
    train: Callable[..., Path],
) -> None:
    folder = train(NCA(beta=1.0), "nca")
    last: dict[str, float] = {}
    first: dict[str, float] = {}
    for event, _ in read_events(folder / "events.jsonl"):
        if event["type"] == "metrics":
            last |= event["metrics"]
            first = {**event["metrics"], **first}
    assert first["train/loss"] == pytest.approx(2 * np.log(2), rel=1e-5)
    assert last["train/loss"] < first["train/loss"] - 0.05
    assert last["eval/test/rewards/accuracies"] > 0.9
    scores = [score for row in ROWS for score in row["scores"]]
    assert last["eval/test/scores/mean"] == pytest.approx(sum(scores) / len(scores))


def test_the_budget_of_tokens_changes_groups_only_by_rounding(train: Callable[..., Path]) -> None:
    def trained(budget: int) -> dict[str, torch.Tensor]:
        folder = train(InfoNCA(beta=1.0), f"b{budget}", steps=2, micro_batch_tokens=budget)
        return load_file(folder / "model" / "model.safetensors")

    whole, parts = trained(10_000), trained(8)
    for name, weights in whole.items():
        torch.testing.assert_close(parts[name], weights, rtol=2e-4, atol=2e-5)
