"""Three steps with a reference that follows the policy, computed again in plain torch."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from halo_core import ModelInput
from halo_core.events import read_events
from halo_core.loss import Loss
from halo_core.reference_point import Candidate, PairingPlan
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import StageContext
from halo_methods.components import DPO, EMA, KTO, Copy, MismatchedKL
from halo_models.load import load_model, load_tokenizer
from halo_models.save import save_model_folder
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.setup import Training, set_up

RELATIVE = 2e-7
"""Tolerance as a share of the norm of each weight, in float32."""
LOSS = 1e-5
"""Tolerance of a loss, whose log-ratios are differences of sums over tokens."""
BETA, RATE, STEPS = 0.5, 0.01, 3
WORDS = "the cow says moo duck quack ant six legs coal black green grass".split()
LOSSES: Mapping[str, Loss] = {"dpo": DPO(beta=BETA), "kto": KTO(beta=BETA)}
UPDATES: Mapping[str, ReferenceUpdate | None] = {
    "copy": Copy(every=2),
    "ema": EMA(decay=0.9),
    "none": None,
}
Mix = Callable[[Tensor, Tensor], Tensor]
"""Function of a weight of the reference and of the policy that returns the new reference."""
SCHEDULES: Mapping[str, Mapping[int, Mix]] = {
    "copy": {3: lambda reference, policy: policy},
    "ema": {step: lambda reference, policy: 0.9 * reference + 0.1 * policy for step in (2, 3)},
    "none": {},
    "copied a step too early": {2: lambda reference, policy: policy},
    "averaged a step too late": {3: lambda reference, policy: 0.9 * reference + 0.1 * policy},
}


@pytest.fixture
def other_reference(tiny_model: ModelInput, tmp_path: Path) -> ModelInput:
    """A model like `tiny_model` with other weights."""
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.02)
    save_model_folder(tmp_path / "other", model, load_tokenizer(tiny_model, None))
    return ModelInput(str(tmp_path / "other"), None, "other")


@pytest.fixture
def make_training(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> Callable[..., tuple[Train, StageContext]]:
    """Returns a function that makes a stage of three steps and its context."""

    def make(
        loss: Loss, update: ReferenceUpdate | None, reference: ModelInput | None, name: str
    ) -> tuple[Train, StageContext]:
        data = {
            option: make_data(loss.feedback, rows(loss, count), option)
            for option, count in (("data", 10), ("evaluate.test", 4))
        }
        models = {"from": tiny_model, "reference": reference or tiny_model}
        context = make_context(data=data, models=models, name=name)
        stage = Train(
            data="d",
            evaluate={"test": "t"},
            loss=loss,
            reference_point=MismatchedKL() if loss.feedback == "binary" else None,
            reference_update=update,
            batch_size=4,
            steps=STEPS,
            learning_rate=RATE,
            optimizer="SGD",
            max_grad_norm=None,
            log_every=1,
            device="cpu",
        )
        return stage, context

    return make


def rows(loss: Loss, count: int) -> list[dict[str, Any]]:
    rng = random.Random(count)

    def text() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))

    def answers(i: int) -> dict[str, Any]:
        if loss.feedback == "paired":
            return {"chosen": text(), "rejected": text()}
        return {"completion": text(), "desirable": i % 3 != 1}

    return [
        {"prompt": [{"role": "user", "content": f"{text()} {i}?"}]} | answers(i)
        for i in range(count)
    ]


def logp(model: Any, prompt: Any, completion: Any) -> Tensor:
    """The log-probability of a completion, from the logits of its sequence alone."""
    ids = torch.tensor([*prompt, *completion]).long()
    logps = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
    taken: Tensor = logps[torch.arange(len(ids) - 1), ids[1:]][len(prompt) - 1 :].sum()
    return taken


def logratio(policy: Any, reference: Any, prompt: Any, completion: Any) -> Tensor:
    with torch.no_grad():
        other = logp(reference, prompt, completion)
    return logp(policy, prompt, completion) - other


def plain_loss(
    name: str, policy: Any, reference: Any, examples: Any, following: Any, rng: random.Random
) -> Tensor:
    """DPO (eq. 4 of the report) or KTO (eq. 7, 8) with mismatched pairs."""
    completions = [c for example in examples for c in example.completions]
    ratios = torch.stack(
        [logratio(policy, reference, c.prompt_ids, c.completion_ids) for c in completions]
    )
    if name == "dpo":
        return -F.logsigmoid(BETA * (ratios[0::2] - ratios[1::2])).mean()
    pool = [(e, c) for part in (examples, following) for e in part for c in e.completions]
    candidates = [Candidate(e.prompt_id, c.completion_id) for e, c in pool]
    split = len(completions)
    pairs = MismatchedKL().pairs(PairingPlan(candidates[:split], candidates[split:]), rng)
    with torch.no_grad():
        mismatched = [
            logratio(
                policy,
                reference,
                pool[p.prompt][1].prompt_ids,
                pool[p.completion][1].completion_ids,
            )
            for p in pairs
        ]
        point = torch.stack(mismatched).mean().clamp(min=0)
    desirable = torch.tensor([c.desirable for c in completions])
    gains = BETA * torch.where(desirable, ratios - point, point - ratios)
    return (1 - torch.sigmoid(gains)).mean()


def plain_training(
    name: str, training: Training, models: Mapping[str, ModelInput], schedule: Mapping[int, Mix]
) -> tuple[dict[str, Tensor], list[float], float]:
    """The weights after three steps of SGD, the loss of each, and that on the set `test`."""
    policy = load_model(models["from"], dtype=torch.float32, device="cpu")
    reference = load_model(models["reference"], dtype=torch.float32, device="cpu")
    losses = []
    for step in range(1, STEPS + 1):
        if step in schedule:
            theirs = dict(reference.named_parameters())
            for parameter_name, weight in policy.named_parameters():
                theirs[parameter_name].data = schedule[step](
                    theirs[parameter_name].data, weight.data.clone()
                )
        batch = training.plan.batch(step)
        examples, following = (
            [training.data[i] for i in part] for part in (batch.indices, batch.following)
        )
        rng = training.plan.rng(step, "pairs")
        loss = plain_loss(name, policy, reference, examples, following, rng)
        policy.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for weight in policy.parameters():
                weight -= RATE * weight.grad
        losses.append(loss.item())
    test = list(training.evaluation["test"])
    rng = training.plan.rng(1, "evaluation pairs")
    with torch.no_grad():
        tested = plain_loss(name, policy, reference, test, [], rng).item()
    return {n: w.detach() for n, w in policy.named_parameters()}, losses, tested


def curve(folder: Path, name: str) -> list[float]:
    events = (event for event, _ in read_events(folder / "events.jsonl"))
    metrics = [event["metrics"] for event in events if event["type"] == "metrics"]
    return [found[name] for found in metrics if name in found]


def furthest(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """The largest difference of a weight, relative to its norm."""
    return max(
        ((found[name] - weight).norm() / weight.norm()).item() for name, weight in expected.items()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "another"), [("dpo", False), ("dpo", True), ("kto", True)])
def test_three_steps_are_those_of_plain_torch_with_a_schedule_of_its_own(
    name: str,
    another: bool,
    make_training: Callable[..., tuple[Train, StageContext]],
    other_reference: ModelInput,
) -> None:
    plain: dict[str, tuple[dict[str, Tensor], list[float], float]] = {}
    for update in UPDATES:
        reference = other_reference if another else None
        stage, context = make_training(LOSSES[name], UPDATES[update], reference, f"{update} stage")
        training = set_up(stage.recipe(), context, Ranks("cpu"))
        for schedule in SCHEDULES.keys() - plain.keys():
            plain[schedule] = plain_training(name, training, context.models, SCHEDULES[schedule])
        stage.run(context)
        found = load_file(context.folder / "model" / "model.safetensors")
        weights, losses, tested = plain[update]
        assert furthest(found, weights) <= RELATIVE
        assert curve(context.folder, "train/loss") == pytest.approx(losses, rel=LOSS)
        assert curve(context.folder, "eval/test/loss") == pytest.approx([tested], rel=LOSS)
        others = [furthest(found, plain[schedule][0]) for schedule in plain if schedule != update]
        assert min(others) > 5 * RELATIVE
