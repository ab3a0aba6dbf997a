"""What a training reports when it is done."""

from __future__ import annotations

from halo_core.stage import StageResult
from halo_trainer.batch_plan import BatchPlan
from halo_trainer.checkpoint import TrainState


def result(state: TrainState, plan: BatchPlan, remark: str) -> StageResult:
    """Returns the last value of each curve by a short name, and a sentence on the loss.

    Args:
        state: At the end.
        plan: Of the batches.
        remark: What the loss says of the data.
    """
    examples = plan.examples_seen(state.step)
    first = state.first_loss if state.first_loss is not None else state.last["train/loss"]
    metrics = {short_name(name): value for name, value in state.last.items()}
    metrics |= {
        "loss_first": first,
        "steps": float(state.step),
        "examples": float(examples),
        "tokens": float(state.tokens),
    }
    headline = _headline(state, examples, first, metrics["loss"])
    return StageResult(metrics, f"{headline}; {remark}" if remark else headline)


def short_name(curve: str) -> str:
    """Returns the name of a curve's last value.

    >>> short_name("train/loss"), short_name("rewards/chosen"), short_name("eval/test/loss")
    ('loss', 'rewards_chosen', 'eval_test_loss')
    """
    for prefix in ("train/", "policy/", "perf/"):
        curve = curve.removeprefix(prefix)
    return curve.replace("/", "_")


def _headline(state: TrainState, examples: int, first: float, last: float) -> str:
    text = (
        f"learned from {_many(examples, 'example')} in {_many(state.step, 'step')}; "
        f"the loss went from {first:.3f} to {last:.3f}"
    )
    for name, value in state.last.items():
        if name.startswith("eval/") and name.endswith("/loss"):
            text += f", {value:.3f} on {name.removeprefix('eval/').removesuffix('/loss')}"
    return text


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
