"""Prompts that are computed once, and the ways that must give the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from halo_core.loss import Loss
from halo_core.reference_point import RefPointEstimator
from halo_core.stage import Known
from halo_methods.components import DPO, GRPO, KTO, NCA, SFT, MatchedKL, MismatchedKL
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.batch.micro_batch import completions_of, global_batch
from halo_trainer.batch.packing import Scored
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample
from halo_trainer.model import linear_head
from halo_trainer.model.probe import make_scorer
from halo_trainer.train.load_models import set_dropout
from halo_trainer.train.objective import Objective
from halo_trainer.train.options import Train
from halo_trainer.train.prepare import prepare
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.reference.mismatched_logratios import logratios, logratios_after_own_pass
from halo_trainer.train.reference.scores import LiveReference
from halo_trainer.train.setup import set_up
from halo_trainer.train.step import Gradient, backward

RELATIVE = 2e-5
VOCABULARY = 60
LOSSES: Mapping[str, tuple[Loss, RefPointEstimator | None]] = {
    "sft": (SFT(), None),
    "dpo": (DPO(), None),
    "kto": (KTO(), MismatchedKL()),
    "kto with fixed partners": (KTO(), MismatchedKL(pairing="fixed")),
    "kto with matched": (KTO(), MatchedKL()),
    "nca": (NCA(beta=0.5, alpha=0.5), None),
    "grpo": (GRPO(aggregate="token", beta=0.5), None),
}
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "initializer_range": 0.1,
}
MODELS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", SIZES | {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "a short window": ("mistral", SIZES | {"num_key_value_heads": 2, "sliding_window": 5}),
    "soft caps": (
        "gemma2",
        SIZES
        | {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "sliding_window": 6,
            "final_logit_softcapping": 3.0,
        },
    ),
    "absolute positions": ("gpt_neox", SIZES),
}


def make(kind: str, scale: float) -> Any:
    torch.manual_seed(0)
    name, options = MODELS[kind]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **options)).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(scale)
    return make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)


def objective(
    loss: Loss, kind: str = "llama", *, budget: int = 10_000, dropout: float = 0.0
) -> Objective:
    policy, reference = make(kind, 1.0), make(kind, 1.05)
    if dropout:
        set_dropout(policy.model, dropout)
    return Objective(
        loss=loss,
        policy=policy.train(),
        reference=LiveReference(reference.requires_grad_(False).eval()),
        ranks=Ranks("cpu"),
        micro_batch_tokens=budget,
        max_length=64,
        dropout=dropout > 0,
    )


def gradient(
    objective: Objective, estimator: Any, examples: list[EncodedExample]
) -> tuple[Gradient, dict[str, torch.Tensor]]:
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    batch = prepare(objective, estimator, examples, plan.batch(1), plan.rng(1, "pairs"), {})
    named = dict(objective.policy.named_parameters())
    objective.policy.zero_grad()
    found = backward(objective, batch, list(named.values()), stop=False, max_norm=None)
    return found, {name: p.grad.clone() for name, p in named.items() if p.grad is not None}


def check_same(one: tuple[Gradient, Any], other: tuple[Gradient, Any]) -> None:
    (found, gradients), (expected, expected_gradients) = one, other
    assert found.loss == pytest.approx(expected.loss, rel=RELATIVE, abs=1e-6)
    if expected.estimate is not None:
        assert found.estimate is not None
        assert found.estimate.value == pytest.approx(expected.estimate.value, rel=1e-3, abs=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    largest = max(float(g.norm()) for g in expected_gradients.values())
    for name, gradient in expected_gradients.items():
        assert (gradients[name] - gradient).norm() <= RELATIVE * max(
            float(gradient.norm()), 1e-2 * largest
        ), name


def draw_examples(feedback: str, shape: list[tuple[int, int, int]]) -> list[EncodedExample]:
    """Examples from (which prompt, its tokens, the completion's tokens). Prompts come again."""
    rng = np.random.Generator(np.random.PCG64(5))
    prompts: dict[int, Any] = {}
    examples = []
    for i, (which, prompt_tokens, tokens) in enumerate(shape):
        fresh = rng.integers(0, VOCABULARY, prompt_tokens).astype(np.int32)
        prompt = prompts.setdefault(which, fresh)
        desirable = [True, False] if feedback == "paired" else [i % 2 == 0]
        if feedback == "scored":
            desirable = [True] * (2 + i % 3)
        completions = tuple(
            EncodedCompletion(
                prompt,
                rng.integers(0, VOCABULARY, tokens + k).astype(np.int32),
                good or feedback == "demonstration",
                f"{i}.{k}",
                score=float(rng.normal()) if feedback == "scored" else None,
                sampler_logps=np.linspace(-6, -3, tokens + k, dtype=np.float32),
            )
            for k, good in enumerate(desirable)
        )
        examples.append(EncodedExample(f"e{i}", f"p{which}", completions))
    return examples


LONG = (40, 30, 18, 38)
"""Completion tokens of long partners."""

SHAPE = [(0, 9, 4), (1, 1, 6), (0, 9, 2), (2, 14, 1), (3, 5, 12), (2, 14, 7), (1, 1, 3), (4, 7, 9)]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", MODELS)
def test_all_ways_give_the_same_loss_point_and_gradient(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, estimator = LOSSES[name]
    examples = draw_examples(loss.resolved_feedback(), SHAPE)
    fast = gradient(objective(loss, kind), estimator, examples)
    slow_objective = objective(loss, kind)
    for scorer in (slow_objective.policy, slow_objective.reference.scorer):  # type: ignore[union-attr]
        scorer.shares = scorer.chunked = False
    slow = gradient(Objective(**{**vars(slow_objective), "shares": False}), estimator, examples)
    check_same(fast, slow)
    monkeypatch.setattr(Objective, "keeps_prompts", lambda *_: False)
    check_same(gradient(objective(loss, kind), estimator, examples), slow)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(LOSSES)),
    kind=st.sampled_from(sorted(MODELS)),
    shape=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 12), st.integers(1, 9)), min_size=1, max_size=9
    ),
    budget=st.sampled_from([1, 20, 60, 10_000]),
    shares=st.booleans(),
    chunked=st.booleans(),
    onto=st.booleans(),
    positions=st.sampled_from([1, 3, 1000]),
)
def test_any_combination_of_optimisations_gives_the_same(
    name: str,
    kind: str,
    shape: list[tuple[int, int, int]],
    budget: int,
    shares: bool,
    chunked: bool,
    onto: bool,
    positions: int,
) -> None:
    loss, estimator = LOSSES[name]
    examples = draw_examples(loss.resolved_feedback(), shape)
    plain = objective(loss, kind)
    for scorer in (plain.policy, plain.reference.scorer):  # type: ignore[union-attr]
        scorer.shares = scorer.chunked = False
    expected = gradient(Objective(**{**vars(plain), "shares": False}), estimator, examples)
    tried = objective(loss, kind, budget=budget)
    for scorer in (tried.policy, tried.reference.scorer):  # type: ignore[union-attr]
        scorer.shares, scorer.chunked = shares, chunked
    tried = Objective(**{**vars(tried), "shares": shares, "recomputes": not onto})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_head, "BUFFER_BYTES", positions * VOCABULARY * 8)
        check_same(gradient(tried, estimator, examples), expected)


def tokens_of_passes(scorer: Any) -> list[tuple[int, bool]]:
    """Collects, for each pass of a scorer, its number of tokens and whether it has a gradient."""
    passes: list[tuple[int, bool]] = []
    scorer.register_forward_pre_hook(
        lambda _, inputs: passes.append((len(inputs[0].input_ids), torch.is_grad_enabled()))
    )
    return passes


def test_a_mismatched_completion_computes_only_its_own_tokens() -> None:
    examples = draw_examples("binary", [(i, 10, 3) for i in range(4)])
    made = objective(KTO())
    assert made.reference is not None
    seen = [tokens_of_passes(scorer) for scorer in (made.policy, made.reference.scorer)]
    gradient(made, MismatchedKL(), examples)
    # Own: 10 + 3 - 1 each. Mismatched: the last token of the prompt and 3 - 1 of the completion.
    assert seen[0] == [(4 * 12, True), (4 * 3, False)]
    assert [tokens for tokens, _ in seen[1]] == [4 * 12, 4 * 3]


def test_rows_of_mismatched_completions_keep_to_the_token_budget() -> None:
    examples = draw_examples("binary", [(i, 10, 3) for i in range(4)])
    long = [c for _, c in completions_of(draw_examples("binary", [(9, 1, n) for n in LONG]))]
    made = objective(KTO(), budget=4 * 12)
    batch = global_batch(examples, budget=4 * 12, rank=0, ranks=1, share=True)
    assert made.keeps_prompts(batch)
    sequences = [
        Scored(own.prompt_ids, other.completion_ids)
        for (_, own), other in zip(batch.completions, long, strict=True)
    ]
    passes = tokens_of_passes(made.policy)
    _, found = logratios_after_own_pass(made, batch, range(4), sequences)
    # The longest is alone with 40, and the others share rows of at most 48 tokens.
    assert sorted(tokens for tokens, with_gradient in passes if not with_gradient) == [38, 40, 48]
    torch.testing.assert_close(found, logratios(made, sequences), rtol=RELATIVE, atol=1e-6)


def test_micro_batches_and_recomputed_activations_score_the_pairs_in_a_first_pass() -> None:
    examples = draw_examples("binary", [(i, 10, 3) for i in range(4)])
    for made in (
        objective(KTO(), budget=24),
        Objective(**{**vars(objective(KTO())), "recomputes": True}),
    ):
        passes = tokens_of_passes(made.policy)
        gradient(made, MismatchedKL(), examples)
        grads = [with_gradient for _, with_gradient in passes]
        assert grads == sorted(grads)
        assert sum(tokens for tokens, _ in passes) == 2 * 4 * 12


def test_with_dropout_each_sequence_of_the_gradient_pass_has_its_own_prompt() -> None:
    examples = draw_examples("paired", [(i, 10, 3) for i in range(4)])
    made = objective(DPO(), "absolute positions", dropout=0.1)
    assert made.reference is not None
    policy, reference = (tokens_of_passes(s) for s in (made.policy, made.reference.scorer))
    gradient(made, None, examples)
    apart = 4 * (12 + 13)
    assert policy == [(apart, True)]
    assert [tokens for tokens, _ in reference] == [apart - 4 * 9]
    made.policy.eval()
    policy.clear()
    gradient(made, None, examples)
    assert policy == [(apart - 4 * 9, True)]


def test_dropout_does_not_join_sequences_that_share_a_prompt() -> None:
    """Two equal sequences get different masks, so their log-probabilities differ."""
    made = objective(SFT(), "absolute positions", dropout=0.5)
    (example,) = draw_examples("demonstration", [(0, 8, 5)])
    micro = made.collate([example, example])
    first, second = made.policy(micro.row).token_logps.chunk(2)
    assert not torch.equal(first, second)


class Broken(nn.Module):
    """A scorer that never runs."""

    def forward(self, row: Any) -> Any:
        raise AssertionError("computed")


def test_known_results_of_the_gradient_pass_are_not_computed_again(
    make_examples: Callable[..., Any],
) -> None:
    examples = make_examples("binary", 6)
    made = objective(KTO())
    plan = BatchPlan(6, 6, seed=0, shuffled=False)
    batch = prepare(made, MismatchedKL(), examples, plan.batch(1), plan.rng(1, "pairs"), {})
    named = dict(made.policy.named_parameters())
    again = Objective(**{**vars(made), "policy": Broken()})
    found = backward(again, batch, list(named.values()), stop=False, max_norm=None)
    assert found.norm > 0


@pytest.mark.parametrize(
    ("options", "told"), [({}, False), ({"lora": {"dropout": 0.1}}, True)], ids=["none", "dropout"]
)
def test_plan_and_log_say_that_dropout_keeps_prompts_apart(
    options: dict[str, Any],
    told: bool,
    tmp_path: Path,
    tiny_model: Any,
    make_data: Any,
    make_context: Any,
) -> None:
    stage = Train(data="rows", loss=DPO(), steps=1, batch_size=2, precision="float32", **options)
    forecast = stage.forecast(Known(weights=1000, learned=4, cache=tmp_path))
    assert ("prompts" in forecast.size) == told
    rows = [
        {
            "id": str(i),
            "prompt": [{"role": "user", "content": "a b"}],
            "chosen": "c",
            "rejected": "d e",
        }
        for i in range(2)
    ]
    warnings: list[str] = []
    context = make_context(
        data={"data": make_data("paired", rows)},
        models={"from": tiny_model, "reference": tiny_model},
        warnings=warnings,
    )
    set_up(stage.recipe(), context, Ranks("cpu"))
    assert any("because dropout is above 0" in warning for warning in warnings) == told
