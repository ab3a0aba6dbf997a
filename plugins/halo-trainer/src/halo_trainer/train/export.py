"""The results of a training: the model as a plain transformers folder, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from halo_core.errors import NotFiniteError
from halo_core.loss import Head
from halo_core.stage import StageResult
from halo_core.workspace.files import whole_folder
from halo_models.finite import look_over
from halo_models.notes import ModelNotes, write_notes
from halo_models.save import write_classifier, write_model
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.model.heads import write_heads
from halo_trainer.model.lora import merge_adapter, save_adapter
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.checkpoints.checkpoint import Checkpoints
from halo_trainer.train.checkpoints.train_state import TrainState
from halo_trainer.train.load_models import LoadedModel
from halo_trainer.train.shown_facts import loss_text


def export_policy(policy: Scorer, start: LoadedModel, folder: Path, *, adapted: bool) -> None:
    """Writes the policy. With LoRA, it writes the merged weights with the adapter inside.

    A model with one linear head at the ends of completions becomes a sequence classifier. Other
    heads are written next to the model.

    Args:
        policy: A trained policy, which must not be trained further.
        start: The model that training started from, for its tokenizer and its attention.
        folder: The folder to write. It is written next to the target and then renamed.
        adapted: Whether low-rank factors were trained.

    Raises:
        ModelError: When the model should become a sequence classifier and cannot.
        NotFiniteError: When an adapter's update and the weights add up to nothing finite.
    """
    model: Any = policy.model
    base = model.get_base_model() if adapted else model
    # Other programs do not know the attention of packed rows.
    base.set_attn_implementation(start.attention)
    with whole_folder(folder) as partial:
        if adapted:
            # This must be before merging, which takes the adapter apart.
            save_adapter(partial, model)
            base = merge_adapter(model)
            if (bad := look_over(base.named_parameters()).bad) is not None:
                raise not_merged(bad)
        write_notes(partial, _write(partial, base, policy, start))


def not_merged(bad: str) -> NotFiniteError:
    """Returns the error for an adapter that makes weights which are not finite.

    Args:
        bad: The first such tensor, in words.
    """
    return NotFiniteError(
        f"the adapter cannot be merged: {bad} then; lower learning_rate, or lora.alpha"
    )


def _write(folder: Path, model: Any, policy: Scorer, start: LoadedModel) -> ModelNotes:
    scoring = _scoring_head(policy.heads, policy.wanted)
    if scoring is not None:
        write_classifier(folder, model, scoring, start.tokenizer)
        return replace(start.notes, score_at="completion-end")
    write_model(folder, model, start.tokenizer)
    write_heads(folder, policy.heads.state_dict())
    return start.notes


def _scoring_head(heads: nn.ModuleDict, wanted: Sequence[Head]) -> nn.Module | None:
    return heads[wanted[0].name] if becomes_classifier(wanted) else None


def becomes_classifier(wanted: Sequence[Head]) -> bool:
    """Returns whether a model with these heads is exported as a sequence classifier."""
    return len(wanted) == 1 and wanted[0].at == "end" and wanted[0].hidden_layers == 0


@dataclass(frozen=True)
class Exported:
    """The step whose weights become the model, and what is known about it.

    Attributes:
        step: The step.
        wanted: The option `export`.
        evaluated: Measurements at this step, by curve.
        best: The step with the lowest loss, and that loss; None if none was measured.
    """

    step: int
    wanted: Literal["last", "best"]
    evaluated: Mapping[str, float]
    best: tuple[int, float] | None


def pick_exported(
    checkpoints: Checkpoints, state: TrainState, wanted: Literal["last", "best"]
) -> Exported:
    """Returns which step's weights become the model.

    Args:
        checkpoints: The kept checkpoints, including the best.
        state: The state at the end of training.
        wanted: The last step, or the one with the lowest measured loss.
    """
    best = checkpoints.best()
    source = state
    if wanted == "best" and best is not None and best[0] != state.step:
        source = checkpoints.state_of(best[0])
    evaluated = {name: value for name, value in source.last.items() if name.startswith("eval/")}
    return Exported(source.step, wanted, evaluated, best)


def training_result(
    state: TrainState, exported: Exported, plan: BatchPlan, remark: str
) -> StageResult:
    """Returns the last value of each curve under a short name, and a sentence on the loss.

    Evaluation results are those of the step that became the model.

    Args:
        state: The state at the end of training.
        exported: The step that became the model.
        plan: The plan of the global batches.
        remark: The loss's remark on the data.
    """
    examples = plan.examples_seen(state.step)
    # If no example has a weight, no loss is logged: nothing was learned, and the loss is 0.
    last = state.last.get("train/loss", 0.0)
    first = last if state.first_loss is None else state.first_loss
    curves = {**state.last, **exported.evaluated}
    metrics = {short_name(name): value for name, value in curves.items()}
    metrics |= {
        "loss_first": first,
        "steps": float(state.step),
        "examples": float(examples),
        "tokens": float(state.tokens),
    }
    if exported.wanted == "best":
        metrics["exported_step"] = float(exported.step)
    headline = _headline(state, exported, examples, first, last)
    return StageResult(metrics, f"{headline}; {remark}" if remark else headline)


def short_name(curve: str) -> str:
    """Returns the name of a curve's last value.

    >>> short_name("train/loss"), short_name("rewards/chosen"), short_name("eval/test/loss")
    ('loss', 'rewards_chosen', 'eval_test_loss')
    """
    for prefix in ("train/", "policy/", "perf/"):
        curve = curve.removeprefix(prefix)
    return curve.replace("/", "_")


def _headline(
    state: TrainState, exported: Exported, examples: int, first: float, last: float
) -> str:
    text = (
        f"learned from {_many(examples, 'example')} in {_many(state.step, 'step')}; "
        f"the loss went from {loss_text(first)} to {loss_text(last)}"
    )
    if exported.wanted == "best":
        text += f"; step {exported.step:,}, the best, is exported"
    for name, value in exported.evaluated.items():
        if name.endswith("/loss"):
            text += f", {value:z.3f} on {name.removeprefix('eval/').removesuffix('/loss')}"
    if exported.wanted == "last" and exported.best is not None and exported.best[0] != state.step:
        step, loss = exported.best
        text += f"; the last step is exported, though step {step:,} had {loss:z.3f}"
    return text


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
