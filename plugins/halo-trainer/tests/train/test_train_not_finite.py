"""Training with values that are not finite: the messages, and the files that remain."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file

from halo_core.errors import ModelError, NotFiniteError
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_point import Estimate, Observed, Observes, RefPointEstimator
from halo_core.stage import ModelInput, StageContext, StageResult
from halo_methods.components import KTO, SFT, MismatchedKL
from halo_trainer.train.options import Train

NAN, INFINITE = float("nan"), float("inf")
WORDS = "the cow says moo duck quack ant six legs coal black green grass".split()
Run = Callable[..., StageResult]


@pytest.fixture
def run(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> Run:
    def go(
        loss: Loss, *, model: ModelInput = tiny_model, test: bool = False, **options: Any
    ) -> Any:
        data = {"data": make_data(loss.feedback, rows(loss.feedback))}
        if test:
            data["evaluate.test"] = make_data(loss.feedback, rows(loss.feedback), "test")
            options["evaluate"] = {"test": "test"}
        if "reference_point" in loss.needs:
            options.setdefault("reference_point", MismatchedKL())
        models = {"from": model, "reference": model}
        given = {"batch_size": 4, "learning_rate": 1e-2, "device": "cpu", "data": "train"}
        stage = Train(**given | options, loss=loss)
        return stage.run(make_context(data=data, models=models))

    return go


def rows(feedback: Feedback) -> list[dict[str, Any]]:
    rng = random.Random(5)
    made = []
    for i in range(8):
        row = {
            "prompt": [{"role": "user", "content": f"{rng.choice(WORDS)} {i}?"}],
            "completion": rng.choice(WORDS),
        }
        made.append(row | ({"desirable": i % 2 == 0} if feedback == "binary" else {}))
    return made


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


def spoil_update(monkeypatch: pytest.MonkeyPatch, step: int, value: float) -> None:
    """Makes the update of a step write a value into the last norm."""
    from halo_trainer.train import loop

    update, steps = loop.update_weights, []

    def spoilt(optimizer: Any, learning_rate: float) -> None:
        update(optimizer, learning_rate)
        steps.append(step)
        if len(steps) == step:
            norms = [p for g in optimizer.param_groups for p in g["params"] if p.ndim == 1]
            with torch.no_grad():
                norms[-1][3] = value

    monkeypatch.setattr(loop, "update_weights", spoilt)


@pytest.mark.parametrize(("value", "word"), [(NAN, "NaN"), (INFINITE, "infinite")])
def test_a_stage_that_ends_with_weights_that_are_no_numbers_fails(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, word: str
) -> None:
    spoil_update(monkeypatch, 4, value)
    with pytest.raises(NotFiniteError) as raised:
        run(SFT(), steps=4, checkpoint_every=1, keep_last=9)
    assert str(raised.value) == (
        "stage: step 4: the weights are no longer finite: 1 of the 32 numbers of "
        f"'model.norm.weight' are {word}. The last step was too large for them, with a learning "
        "rate of 0.01, and no row is to blame: lower learning_rate, or look at optimizer_options"
    )
    assert kept(tmp_path / "stage") == [1, 2, 3]
    for folder in (tmp_path / "stage" / "checkpoints").glob("step-*"):
        assert all(t.isfinite().all() for t in load_file(folder / "weights.safetensors").values())
    assert not (tmp_path / "stage" / "model").exists()


def test_the_checkpoint_after_a_bad_step_is_never_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The weights are not checked before the loss of the next step.
    spoil_update(monkeypatch, 3, NAN)
    with pytest.raises(NotFiniteError, match=r"stage: step 4: the weights are no longer finite"):
        run(SFT(), steps=8, checkpoint_every=2, keep_last=9)
    assert kept(tmp_path / "stage") == [2]


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
@pytest.mark.parametrize(("rate", "shown"), [(1e9, "1e+09"), (1e30, "1e+30")])
@pytest.mark.parametrize("loss", [SFT(), KTO()])
def test_a_learning_rate_that_is_far_too_large_is_told_from_bad_rows(
    run: Run, tmp_path: Path, loss: Loss, rate: float, shown: str, lora: Any
) -> None:
    with pytest.raises(NotFiniteError) as raised:
        run(loss, steps=3, learning_rate=rate, lora=lora, checkpoint_every=1)
    message = str(raised.value)
    assert re.match(r"stage: step \d: the weights (are no longer finite: |have grown to)", message)
    assert message.endswith(
        f"The last step was too large for them, with a learning rate of {shown}, and no row is to "
        "blame: lower learning_rate, or look at optimizer_options"
    )
    # This holds even if the first step had finite weights, but no finite gradient.
    assert kept(tmp_path / "stage") == []
    assert not (tmp_path / "stage" / "model").exists()


def test_a_last_step_after_which_the_model_gives_no_numbers_fails(run: Run, tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError) as raised:
        run(SFT(), steps=1, learning_rate=1e30)
    assert str(raised.value) == (
        "stage: step 1: the weights have grown to 1e+30, and the model no longer gives finite "
        "numbers, whatever it is given. The last step was too large for them, with a learning "
        "rate of 1e+30, and no row is to blame: lower learning_rate, or look at optimizer_options"
    )
    assert not (tmp_path / "stage" / "model").exists()


class BadRow(Loss):
    """Is NaN for one row."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        losses = -batch.policy_logps
        return LossOutput(torch.where(batch.lengths == batch.lengths.max(), losses * NAN, losses))


def test_a_bad_row_is_told_from_a_learning_rate(run: Run) -> None:
    with pytest.raises(NotFiniteError) as raised:
        run(BadRow(), steps=2)
    message = str(raised.value)
    assert re.match(
        r"stage: step 1: not a number: the loss or gradient of \d examples: train-", message
    )
    assert message.endswith(
        "The weights are as they were before this step, and are finite: look at these rows, and at "
        "the options of the loss. If precision is bfloat16, try float32"
    )


class Says(Loss):
    """The likelihood, and a metric or rewards."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    metric: ClassVar[tuple[float, float] | None] = None
    reward: ClassVar[float | None] = None
    from_call: ClassVar[int] = 0
    calls: ClassVar[int] = 0

    def __call__(self, batch: LossBatch) -> LossOutput:
        Says.calls += 1
        late = Says.calls >= Says.from_call
        rewards = torch.full_like(batch.policy_logps, Says.reward) if Says.reward else None
        metrics = {"mine": Says.metric} if Says.metric and late else {}
        return LossOutput(-batch.policy_logps, rewards=rewards, metrics=metrics)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"metric": (NAN, 1.0)}, "the loss Says gave the metric 'mine' as nan; expected a finite"),
        (
            {"metric": (INFINITE, 1.0)},
            "the loss Says gave the metric 'mine' as inf; expected a finite",
        ),
        ({"metric": (1.0, NAN)}, "the loss Says gave the count of the metric 'mine' as nan; exp"),
        ({"reward": NAN}, "the loss Says gave the metric 'rewards/desirable' as nan; expected a"),
    ],
)
def test_a_metric_that_is_no_number_names_the_loss(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Any, message: str
) -> None:
    for name, value in said.items():
        monkeypatch.setattr(Says, name, value)
    with pytest.raises(NotFiniteError) as raised:
        run(Says(), steps=2)
    assert str(raised.value).startswith(f"stage: step 1: {message}")
    assert not (tmp_path / "stage" / "model").exists()


def test_a_metric_that_is_no_number_is_found_before_a_checkpoint(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Says, "metric", (NAN, 1.0))
    monkeypatch.setattr(Says, "calls", 0)
    monkeypatch.setattr(Says, "from_call", 4)
    with pytest.raises(NotFiniteError, match="step 4: the loss Says gave the metric 'mine' as nan"):
        run(Says(), steps=9, log_every=9, checkpoint_every=2, keep_last=9)
    assert kept(tmp_path / "stage") == [2]


def test_a_metric_that_is_no_number_on_another_set_names_the_set(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Says, "metric", (NAN, 1.0))
    monkeypatch.setattr(Says, "calls", 0)
    monkeypatch.setattr(Says, "from_call", 3)
    message = r"stage: step 2: evaluate.test: the loss Says gave the metric 'mine' as nan"
    with pytest.raises(NotFiniteError, match=message):
        run(Says(), steps=2, test=True)


class Point(RefPointEstimator):
    """A point of 0, with other fields as set."""

    observes: ClassVar[Observes] = "nothing"
    state: ClassVar[Mapping[str, float]] = {}
    metrics: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        return Estimate(0.0, Point.state, Point.metrics)


def test_a_state_that_is_no_number_names_the_estimator(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Point, "state", {"mean": NAN})
    message = "stage: step 1: Point gave the state 'mean' as nan; expected a finite"
    with pytest.raises(NotFiniteError, match=message):
        run(KTO(), steps=1, reference_point=Point())


def test_a_metric_that_is_no_number_names_the_estimator(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Point, "metrics", {"spread": (INFINITE, 1.0)})
    message = "step 1: the reference point Point gave the metric 'spread' as inf; expected a finite"
    with pytest.raises(NotFiniteError, match=message):
        run(KTO(), steps=1, reference_point=Point())


def changed(tiny_model: ModelInput, folder: Path, name: str, factor: float) -> ModelInput:
    import shutil

    copied = Path(shutil.copytree(tiny_model.path, folder))
    weights = load_file(copied / "model.safetensors")
    weights[name].mul_(factor)
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    return ModelInput(str(copied), None, "")


def test_a_model_with_a_weight_that_is_no_number_is_not_trained(
    run: Run, tiny_model: ModelInput, tmp_path: Path
) -> None:
    model = changed(tiny_model, tmp_path / "nan", "model.norm.weight", NAN)
    with pytest.raises(ModelError, match=r"32 of the 32 numbers of 'model.norm.weight' are NaN\."):
        run(SFT(), model=model, steps=1)


def test_a_model_that_gives_no_numbers_is_not_trained(
    run: Run, tiny_model: ModelInput, tmp_path: Path
) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    model = changed(tiny_model, tmp_path / "large", name, 1e38)
    with pytest.raises(ModelError) as raised:
        run(SFT(), model=model, steps=1)
    assert re.fullmatch(
        r"LlamaForCausalLM gives no finite numbers for random tokens, though its weights are "
        r"finite, up to \d\.\d\de\+\d\d; expected a model whose training did not diverge. Train it "
        "again with a lower learning_rate",
        str(raised.value),
    )


def test_the_states_of_a_training_are_numbers_only(run: Run, tmp_path: Path) -> None:
    run(KTO(), steps=2, checkpoint_every=1, test=True)
    path = max((tmp_path / "stage" / "checkpoints").glob("*/state.json"))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(path.read_text(), parse_constant=refuse)["step"] == 2
