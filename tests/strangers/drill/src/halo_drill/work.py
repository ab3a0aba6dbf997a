"""Trains a model with plain gradient descent, one completion at a time."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from halo_core import LossBatch, StageContext, StageResult
from halo_drill.stage import Drill


def drill(stage: Drill, context: StageContext) -> StageResult:
    """Returns the result. The model is in ``model/``."""
    pupil, elder = (
        AutoModelForCausalLM.from_pretrained(context.models[option].path, dtype=torch.float32)
        for option in ("pupil", "elder")
    )
    tokenizer = AutoTokenizer.from_pretrained(context.models["pupil"].path)
    descent = torch.optim.SGD(pupil.parameters(), lr=stage.rate)
    for step, row in enumerate(context.data["corpus"], start=1):
        if context.stop.is_set():
            context.stop.raise_interrupted("nothing is kept; the stage will begin again")
        loss = stage.objective(batch_of(row, pupil, elder, tokenizer)).losses.mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        context.events.append(
            "metrics", stage=context.id, step=step, metrics={"train/loss": loss.item()}
        )
    pupil.save_pretrained(context.folder / "model")
    tokenizer.save_pretrained(context.folder / "model")
    return StageResult({"loss": loss.item(), "steps": step}, f"drilled {step} completions")


def batch_of(row: dict[str, Any], pupil: Any, elder: Any, tokenizer: Any) -> LossBatch:
    """Returns a batch with one completion, as the input of a loss."""
    turns = [*row["prompt"], {"role": "assistant", "content": row["completion"]}]
    ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)
    prompt = tokenizer.apply_chat_template(
        row["prompt"], tokenize=True, add_generation_prompt=True, return_dict=False
    )
    with torch.no_grad():
        reference = token_logps(elder, ids, len(prompt))
    policy = token_logps(pupil, ids, len(prompt))
    return LossBatch(
        policy_token_logps=policy,
        sequence_index=torch.zeros(len(policy), dtype=torch.long),
        example_index=torch.zeros(1, dtype=torch.long),
        desirable=torch.tensor([row["desirable"]]),
        reference_token_logps=reference,
        reference_point=torch.zeros(()),
    )


def token_logps(model: Any, ids: list[int], start: int) -> torch.Tensor:
    """Returns the log-probability of each token from `start` on, nats [N]."""
    tokens = torch.tensor([ids])
    logps = model(tokens).logits[0, :-1].log_softmax(-1)
    return logps.gather(1, tokens[0, 1:, None])[start - 1 :, 0]
