from __future__ import annotations

import pytest
import torch
from torch import nn

from halo_core.errors import ModelError
from halo_core.loss import LossBatch, LossOutput
from halo_core.reference_point import Estimate
from halo_methods.components import KTO, RunningMean
from halo_trainer.train.load_models import set_dropout
from halo_trainer.train.metrics import Metrics, Sources, means, total


def batch(logps: list[float], desirable: list[bool]) -> LossBatch:
    index = torch.arange(len(logps))
    return LossBatch(torch.tensor(logps), index, index, torch.tensor(desirable))


def add(metrics: Metrics, losses: list[float], desirable: list[bool], feedback: str) -> None:
    values = torch.tensor(losses)
    output = LossOutput(values, torch.ones_like(values), rewards=values * 10)
    metrics.add_output(feedback, batch(losses, desirable), output)  # type: ignore[arg-type]


def test_an_uneven_batch_does_not_weigh_as_much_as_a_full_one() -> None:
    metrics = Metrics()
    add(metrics, [1.0, 1.0, 1.0], [True] * 3, "binary")
    add(metrics, [5.0], [True], "binary")
    assert means(metrics.sums())["train/loss"] == 2.0


def test_rewards_are_means_over_the_examples_of_their_class() -> None:
    metrics = Metrics()
    add(metrics, [1.0, 2.0, 3.0], [True, False, True], "binary")
    add(metrics, [5.0], [False], "binary")
    found = means(metrics.sums())
    assert found["rewards/desirable"] == 20.0
    assert found["rewards/undesirable"] == 35.0


def test_a_class_without_examples_has_no_mean() -> None:
    metrics = Metrics()
    add(metrics, [1.0], [True], "binary")
    assert "rewards/undesirable" not in means(metrics.sums())


def test_pairs_have_margins_and_accuracies() -> None:
    metrics = Metrics()
    add(metrics, [3.0, 1.0, 1.0, 2.0], [True, False, True, False], "paired")
    found = means(metrics.sums())
    assert found["rewards/margins"] == 5.0
    assert found["rewards/accuracies"] == 0.5
    assert (found["rewards/chosen"], found["rewards/rejected"]) == (20.0, 15.0)


def test_the_sums_of_ranks_add_up_even_where_names_differ() -> None:
    found = total([{"a": (1.0, 2.0)}, {"a": (3.0, 2.0), "b": (5.0, 1.0)}])
    assert found == {"a": (4.0, 4.0), "b": (5.0, 1.0)}


def test_what_counted_nothing_has_no_mean() -> None:
    assert means({"b": (1.0, 0.0), "c": (1.0, 2.0)}) == {"c": 0.5}


def test_a_metric_that_is_no_number_is_told_with_the_component_that_gave_it() -> None:
    sources = Sources(KTO(), RunningMean())
    sources.take(Estimate(0.0, metrics={"spread": (1.0, 1.0)}))
    assert sources.fault({"a": (1.0, 0.0), "spread": (2.0, 1.0)}) is None
    for name, who in (("a", "the loss KTO"), ("spread", "the reference point RunningMean")):
        assert sources.fault({name: (float("-inf"), 1.0)}) == (
            f"{who} gave the metric {name!r} as -inf; expected a finite number. Look at how it "
            "is computed, and at the rows"
        )


def test_sums_are_kept_in_float64() -> None:
    metrics = Metrics()
    metrics.add("a", torch.tensor(1e8), 1)
    metrics.add("a", torch.tensor(1.0), 1)
    assert metrics.sums()["a"] == (1e8 + 1, 2.0)


def test_kept_sums_go_on() -> None:
    metrics = Metrics({"a": (1.0, 2.0)})
    other = Metrics()
    other.add("a", 4.0, 1)
    metrics.merge(other)
    assert metrics.sums() == {"a": (5.0, 3.0)}


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_dropout_is_set_wherever_a_model_keeps_it(kind: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(kind, **sizes, attention_dropout=0.3, bos_token_id=0, eos_token_id=1)
    ).train()
    ids = torch.arange(9)[None]
    set_dropout(model, 0.0)
    assert torch.equal(model(ids).logits, model(ids).logits)
    set_dropout(model, 0.5)
    assert not torch.equal(model(ids).logits, model(ids).logits)
    assert all(m.p == 0.5 for m in model.modules() if isinstance(m, nn.Dropout))


def test_dropout_of_a_model_that_drops_nothing_out_is_refused() -> None:
    set_dropout(torch.nn.Linear(2, 2), 0.0)
    with pytest.raises(ModelError, match=r"Linear has no dropout, so a rate of 0.5"):
        set_dropout(torch.nn.Linear(2, 2), 0.5)
