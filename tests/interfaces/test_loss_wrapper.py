"""A wrapper behaves like the wrapped loss, except for the changes of its author."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field, field_validator

from halo_core import ClassCounts, Head, Loss, LossBatch, LossOutput, LossWrapper, Settled
from halo_core.errors import PluginError
from halo_core.guarded.loss_calls import changed_logratios, output_of, with_changed_logratios
from halo_core.loss_wrapper import changes_logratios
from halo_core.plugins.describe import facts_of, options_of
from halo_core.testing import check_loss_wrapper, loss_batch
from halo_core.testing.losses.loss_abilities import check_abilities
from halo_core.testing.losses.loss_wrappers import SORTS, Paired, Pointed, Summing

torch.set_num_threads(1)
POLICY = [[-1.0, -2.0], [-4.0, -0.5, -0.5], [-3.0]]
REFERENCE = [[-1.5, -2.5], [-3.0, -0.5, -0.5], [-1.0]]


@pytest.fixture(autouse=True)
def _torch_may_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    # this module imports torch at its top, which a component's module must not
    monkeypatch.setattr("halo_core.testing.component.check_import_budget", lambda cls: None)


def binary(**more: Any) -> LossBatch:
    desirable = [True, False, True]
    return loss_batch(
        POLICY, reference=REFERENCE, desirable=desirable, reference_point=0.25, **more
    )


class Plain(LossWrapper):
    """Changes nothing."""


class Scaled(LossWrapper):
    """Multiplies the losses, and scales the reference's log-probabilities."""

    factor: float = Field(default=3.0, gt=0, description="Factor of the losses.")

    def change_batch(self, batch: LossBatch) -> LossBatch:
        if batch.reference_token_logps is None:
            return batch
        return replace(batch, reference_token_logps=0.5 * batch.reference_token_logps)

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        return replace(output, losses=self.factor * output.losses)


class Noting(LossWrapper):
    """Records its inputs."""

    seen: ClassVar[list[tuple[str, str, Any]]] = []
    name: str = Field(description="Name of the record.")

    def change_batch(self, batch: LossBatch) -> LossBatch:
        self.seen.append((self.name, "batch", batch))
        return replace(batch, policy_token_logps=batch.policy_token_logps - 1)

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        self.seen.append((self.name, "output", batch))
        return output


class Halving(LossWrapper):
    """Halves the log-ratios, then leaves them to the wrapped loss."""

    def change_logratios(self, token_logratios: torch.Tensor) -> torch.Tensor:
        return self.loss.change_logratios(0.5 * token_logratios)


class Squaring(LossWrapper):
    def change_logratios(self, token_logratios: torch.Tensor) -> torch.Tensor:
        return self.loss.change_logratios(token_logratios**2)


def test_a_wrapper_that_changes_nothing_is_the_wrapped_loss_to_the_last_bit() -> None:
    loss = Pointed(factor=2.0)
    expected, output = loss(binary()), Plain(loss=Plain(loss=loss))(binary())
    assert torch.equal(output.losses, expected.losses)
    assert torch.equal(output.counts, expected.counts)


@pytest.mark.parametrize("loss", SORTS, ids=repr)
def test_a_wrapper_passes_all_that_a_loss_wants_on(loss: Loss) -> None:
    wrapper = Plain(loss=Plain(loss=loss))
    ask: dict[str, Any] = {
        "resolved_feedback": (),
        "needed": (),
        "resolved_reference_point": (),
        "weighs_examples": (),
        "mistakes_within_pairs": (),
        "heads": (),
        "control_tokens": (),
        "value": (0.7,),
    }
    for name, given in ask.items():
        assert getattr(wrapper, name)(*given) == getattr(loss, name)(*given), name
    counts = ClassCounts(4, 2)
    made, expected = wrapper.settle(counts), loss.settle(counts)
    assert made == Settled(Plain(loss=Plain(loss=expected.loss)), *expected[1:])


def test_every_wish_of_a_loss_is_passed_on() -> None:
    own = {"change_batch", "change_output", "unchecked_rules"}  # the last one of all components
    wishes = {name for name, value in vars(Loss).items() if inspect.isfunction(value)}
    forwarded = {name for name, value in vars(LossWrapper).items() if inspect.isfunction(value)}
    assert {name for name in wishes if not name.startswith("_")} == {
        name for name in forwarded if not name.startswith("_")
    } - own


def test_the_batch_is_changed_before_and_the_output_after_the_wrapped_loss() -> None:
    output = Scaled(loss=Paired(beta=1.0))(
        loss_batch([[-1.0], [-2.0]], reference=[[-4.0], [-6.0]], desirable=[True, False])
    )
    ahead = (-1.0 + 2.0) - (-2.0 + 3.0)
    assert output.losses.item() == pytest.approx(3 * torch.sigmoid(torch.tensor(-ahead)).item())
    assert output.rewards is not None
    assert output.rewards.tolist() == [1.0, 1.0]


def test_wrappers_nest_from_the_outside_in_and_back() -> None:
    Noting.seen.clear()
    batch = binary()
    Noting(name="outer", loss=Noting(name="inner", loss=Pointed(factor=1.0)))(batch)
    told = [
        (name, what, round(float((seen.policy_token_logps - batch.policy_token_logps)[0])))
        for name, what, seen in Noting.seen
    ]
    assert told == [
        ("outer", "batch", 0),
        ("inner", "batch", -1),
        ("inner", "output", -1),
        ("outer", "output", 0),
    ]


def test_statistics_are_of_the_batch_that_the_wrapped_loss_sees() -> None:
    batch = binary(heads={"critic": [0.0] * 6, "score": [0.0] * 3})
    wrapper = Noting(name="one", loss=Summing())
    expected = float(Summing().statistics(batch)["sum"]) - 6  # 1 nat for each of 6 tokens
    assert float(wrapper.statistics(batch)["sum"]) == pytest.approx(expected)


def test_changes_of_log_ratios_go_from_the_outside_in() -> None:
    given = torch.tensor([2.0, -4.0])
    assert changed_logratios(Squaring(loss=Halving(loss=Paired())), given).tolist() == [2.0, 8.0]
    assert changed_logratios(Halving(loss=Squaring(loss=Paired())), given).tolist() == [1.0, 4.0]
    assert changed_logratios(Plain(loss=Paired()), given) is given


def test_only_a_change_of_log_ratios_makes_another_batch() -> None:
    batch = binary()
    assert with_changed_logratios(Plain(loss=Paired()), batch) is batch
    halved = with_changed_logratios(Plain(loss=Halving(loss=Paired())), batch)
    torch.testing.assert_close(halved.logratios, 0.5 * batch.logratios, rtol=0, atol=1e-12)
    without = loss_batch(POLICY)
    assert with_changed_logratios(Halving(loss=Paired()), without) is without


@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        (Paired(), False),
        (Plain(loss=Plain(loss=Paired())), False),
        (Halving(loss=Paired()), True),
        (Plain(loss=Halving(loss=Paired())), True),
    ],
    ids=repr,
)
def test_whether_log_ratios_are_changed_is_known_before(loss: Loss, changes: bool) -> None:
    assert changes_logratios(loss) == changes


def test_a_wrapper_has_no_call_of_its_own() -> None:
    expected = "a LossWrapper must not have its own __call__, which would skip the wrapped loss"
    with pytest.raises(PluginError, match=expected):

        class Calling(LossWrapper):
            def __call__(self, batch: LossBatch) -> LossOutput: ...  # type: ignore[misc]


def test_a_change_of_log_ratios_needs_some() -> None:
    expected = r"change_logratios\(\) has none to change: needs does not name 'reference_logps'"
    with pytest.raises(PluginError, match=expected):

        class Vain(Loss):
            feedback: ClassVar = "paired"
            needs: ClassVar = ("policy_logps",)

            def change_logratios(self, token_logratios: torch.Tensor) -> torch.Tensor:
                return 2 * token_logratios

            def __call__(self, batch: LossBatch) -> LossOutput: ...


def test_a_wrapper_says_that_its_facts_are_those_of_the_wrapped_loss() -> None:
    theirs = "that of the wrapped loss"
    assert facts_of(Scaled) == {
        "feedback": theirs,
        "needs": theirs,
        "default_reference_point": theirs,
    }
    assert [(option.name, option.type) for option in options_of(Scaled)] == [
        ("loss", "loss"),
        ("factor", "number"),
    ]


class Tuple(Paired):
    def __call__(self, batch: LossBatch) -> Any:
        return (batch.policy_logps,)


class NoBatch(LossWrapper):
    def change_batch(self, batch: LossBatch) -> Any:
        return None


class NoOutput(LossWrapper):
    def change_output(self, batch: LossBatch, output: LossOutput) -> Any:
        return output.losses


class Shapeless(LossWrapper):
    def change_logratios(self, token_logratios: torch.Tensor) -> Any:
        return token_logratios.sum()


class Clamping(LossWrapper):
    def change_logratios(self, token_logratios: torch.Tensor) -> torch.Tensor:
        return token_logratios.clamp_(-1.0, 1.0)


class Whole(LossWrapper):
    def change_logratios(self, token_logratios: torch.Tensor) -> torch.Tensor:
        return token_logratios.long()


class Stopped(LossWrapper):
    def change_logratios(self, token_logratios: torch.Tensor) -> torch.Tensor:
        return 0.5 * token_logratios.detach()


class OneNumber(Pointed):
    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(batch.policy_logps.mean()[None])


class Averaged(LossWrapper):
    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        return replace(output, losses=output.losses.mean()[None])


class Halved(LossWrapper):
    def change_batch(self, batch: LossBatch) -> LossBatch:
        return replace(batch, desirable=batch.desirable[:1])


class Pointless(LossWrapper):
    def change_batch(self, batch: LossBatch) -> LossBatch:
        return replace(batch, reference_point=None)


class Meddling(Pointed):
    def __call__(self, batch: LossBatch) -> LossOutput:
        batch.desirable.fill_(True)
        return LossOutput(batch.policy_logps)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (Plain(loss=Tuple()), "Tuple.__call__() returned tuple; expected LossOutput(losses)"),
        (NoBatch(loss=Paired()), "NoBatch.change_batch() returned NoneType; expected a LossBatch"),
        (
            NoOutput(loss=Pointed(factor=1.0)),
            "NoOutput.change_output() returned Tensor; expected LossOutput",
        ),
        (
            Plain(loss=Shapeless(loss=Paired())),
            "Shapeless.change_logratios() gave log-ratios of the shape (); expected (6,), one per",
        ),
        (
            Clamping(loss=Paired()),
            "Clamping.change_logratios() changed the log-ratios that it was given in place; return",
        ),
        (
            Whole(loss=Paired()),
            "Whole.change_logratios() gave log-ratios of torch.int64; expected floats",
        ),
        (
            Stopped(loss=Paired()),
            "Stopped.change_logratios() gave log-ratios without a gradient; one must flow",
        ),
        (
            Plain(loss=OneNumber()),
            "OneNumber.__call__() gave losses of the shape (1,) for 3 examples; expected (3,)",
        ),
        (
            Averaged(loss=Pointed(factor=1.0)),
            "Averaged.change_output() gave losses of the shape (1,) for 3 examples; expected (3,)",
        ),
        (
            Halved(loss=Pointed(factor=1.0)),
            "Halved.change_batch() gave a batch whose desirable has the shape (1,) for 3 completio",
        ),
        (
            Pointless(loss=Pointed(factor=1.0)),
            "Pointless.change_batch() gave a batch without reference_point, which the wrapped loss "
            "needs; name it in needed(), as self.loss.needed() does",
        ),
        (
            Meddling(),
            "Meddling.__call__() changed desirable of the batch in place; work on a copy",
        ),
    ],
    ids=repr,
)
def test_the_one_that_is_wrong_is_blamed(loss: Loss, message: str) -> None:
    batch = binary()
    batch.policy_token_logps.requires_grad_()
    with pytest.raises(PluginError, match=re.escape(message)):
        output_of(loss, with_changed_logratios(loss, batch))


def test_good_wrappers_pass() -> None:
    check_loss_wrapper(lambda loss: Plain(loss=loss))
    check_loss_wrapper(lambda loss: Scaled(loss=loss, factor=0.5))
    check_loss_wrapper(lambda loss: Halving(loss=loss))


class Picky(LossWrapper):
    """Accepts only losses on pairs."""

    @field_validator("loss")
    @classmethod
    def _on_pairs(cls, loss: Loss) -> Loss:
        if loss.resolved_feedback() != "paired":
            raise ValueError("pairs only")
        return loss


class Refusing(LossWrapper):
    @field_validator("loss")
    @classmethod
    def _never(cls, loss: Loss) -> Loss:
        raise ValueError("none will do")


class Headless(LossWrapper):
    def heads(self) -> tuple[Head, ...]:
        return ()


class Tokenless(LossWrapper):
    def control_tokens(self) -> None:
        return None


class Unsettled(LossWrapper):
    def settle(self, counts: ClassCounts) -> Settled:
        return Settled(self, "as it was")


class Needless(LossWrapper):
    def needed(self) -> Any:
        return ("policy_logps",)


class Mixing(LossWrapper):
    def change_logratios(self, token_logratios: torch.Tensor) -> torch.Tensor:
        return token_logratios - token_logratios.mean()


class InPlace(LossWrapper):
    def change_logratios(self, token_logratios: torch.Tensor) -> torch.Tensor:
        return token_logratios.mul_(2)


def test_a_wrapper_may_refuse_some_losses() -> None:
    check_loss_wrapper(lambda loss: Picky(loss=loss))


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        (Refusing, "it refuses all of Paired(beta=0.5), Pointed"),
        (Headless, "KeyError: 'critic'"),
        (Tokenless, "control_tokens() gives None; the wrapped loss has ('<|yes|>', '<|no|>')"),
        (Unsettled, "raised ValueError: factor None"),
        (Needless, "gave a batch without reference_logps, which the wrapped loss needs"),
        (Mixing, "example 1 alone, losses are"),
        (InPlace, "changed the log-ratios that it was given in place; return a new tensor"),
    ],
)
def test_what_a_wrapper_loses_is_named(wrapper: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_loss_wrapper(lambda loss: wrapper(loss=loss))


def test_a_change_that_looks_at_other_tokens_is_named() -> None:
    with pytest.raises(AssertionError, match=r"change_logratios\(\) gives .* for tokens together"):
        check_abilities(Mixing(loss=Paired()))


def test_some_completions_of_a_batch_keep_all_that_is_theirs() -> None:
    batch = loss_batch(
        POLICY,
        reference=REFERENCE,
        desirable=[True, False, True],
        examples=[0, 0, 1],
        sampled=[False, True, False],
        reference_point=[0.1, 0.2, 0.3],
        heads={"critic": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "score": [7.0, 8.0, 9.0]},
    )
    assert batch.sampled is not None
    found = batch.only(~batch.sampled)
    assert found.policy_logps.tolist() == [-3.0, -3.0]
    assert found.reference_logps.tolist() == [-4.0, -1.0]
    assert found.sequence_index.tolist() == [0, 0, 1]
    assert found.example_index.tolist() == [0, 1]
    assert found.desirable.tolist() == [True, True]
    assert found.sampled is not None
    assert found.sampled.tolist() == [False, False]
    assert found.reference_point is not None
    assert found.reference_point.tolist() == pytest.approx([0.1, 0.3])
    assert found.heads["critic"].tolist() == [1.0, 2.0, 6.0]
    assert found.heads["score"].tolist() == [7.0, 9.0]
    assert binary().only(torch.tensor([True, False, False])).reference_point.item() == 0.25  # type: ignore[union-attr]
