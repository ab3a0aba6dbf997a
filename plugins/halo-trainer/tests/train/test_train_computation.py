"""The sentence that says how a training computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from halo_core.events import read_events
from halo_core.loss import Loss
from halo_core.stage import ModelInput
from halo_methods.components import KTO, SFT, Zero
from halo_trainer.model.probe import make_scorer
from halo_trainer.train.computation import how_it_computes
from halo_trainer.train.objective import Objective
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.reference.scores import LiveReference

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
PACKED = "computes packed sequences, prompts once, in float32; attention: halo_packed, blocks of "
FUSED = "sequences through torch's scaled_dot_product_attention"


def scorer(kind: str, **options: Any) -> Any:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options)).eval()
    return make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=lambda _: None)


def said_of(policy: Any, reference: Any = None, **options: Any) -> str:
    objective = Objective(SFT(), policy, reference, Ranks("cpu"), 100, 64, **options)
    return how_it_computes(policy, objective)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("llama", SIZES, f"{PACKED}{FUSED}; output head: in chunks; reference: none"),
        (
            "gemma2",
            SIZES | {"attn_logit_softcapping": 2.0},
            f"{PACKED}sequences through explicit scores, because the model has soft caps or "
            "sinks; output head: in chunks; reference: none",
        ),
        (
            "bloom",
            {"vocab_size": 60, "hidden_size": 16, "n_layer": 2, "n_head": 2},
            "computes padded sequences, each with its prompt in float32; attention: eager; "
            "output head: in chunks; reference: none",
        ),
    ],
)
def test_the_route_and_the_attention_are_named(
    kind: str, options: dict[str, Any], said: str
) -> None:
    assert said_of(scorer(kind, **options)) == said


def test_prompts_that_are_kept_apart_and_references_are_named() -> None:
    made = scorer("llama", **SIZES)
    said = said_of(made, LiveReference(made), dropout=True)
    assert said.startswith("computes packed sequences, each with its prompt, in float32; ")
    assert said.endswith("; reference: computed in every step")


@pytest.mark.parametrize(
    ("loss", "options", "said"),
    [
        (SFT(), {}, "reference: none"),
        (KTO(), {"reference_store": "on"}, "reference: from its store"),
    ],
    ids=["sft", "kto"],
)
def test_a_training_writes_it_to_its_events(
    loss: Loss,
    options: dict[str, Any],
    said: str,
    tiny_model: ModelInput,
    make_data: Callable[..., Any],
    make_context: Callable[..., Any],
) -> None:
    row = {"prompt": [{"role": "user", "content": "What?"}], "completion": "moo"}
    feedback = loss.resolved_feedback()
    rows = [row | ({"desirable": i < 2} if feedback == "binary" else {}) for i in range(4)]
    context = make_context(
        data={"data": make_data(feedback, rows)},
        models={"from": tiny_model, "reference": tiny_model},
    )
    train = Train(
        data="d",
        loss=loss,
        reference_point=Zero() if isinstance(loss, KTO) else None,
        steps=1,
        device="cpu",
        micro_batch_tokens=2000,
        **options,
    )
    train.run(context)
    notes = [event for event, _ in read_events(context.folder / "events.jsonl")]
    messages = [event["message"] for event in notes if event["type"] == "note"]
    assert messages[0].endswith(said)
    assert messages[1] == "micro-batches of at most 2,000 tokens"
