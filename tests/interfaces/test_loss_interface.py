"""The rules for classes of losses: errors when a class is defined, and declarations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import Field

from halo_core import Loss, LossBatch, LossOutput
from halo_core.errors import PluginError
from halo_core.plugins.local_file import import_file
from halo_core.testing import check_loss


class Margin(Loss):
    """A loss with an option that is called `value` in specs."""

    feedback: ClassVar = "paired"
    needs: ClassVar = ("policy_logps",)

    value_: float = Field(default=1.0, alias="value", gt=0, description="Margin, nats.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        ahead = batch.chosen.policy_logps - batch.rejected.policy_logps
        return LossOutput(torch.sigmoid(self.value_ - ahead))


def test_an_option_called_value_in_specs_makes_no_value_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # this module imports torch at its top, which a component's module must not
    monkeypatch.setattr("halo_core.testing.component.check_import_budget", lambda cls: None)
    loss = Margin.build('{"value": 2.0}', {})
    assert loss.value_ == 2.0
    assert loss.value(0.0) is None
    check_loss(loss)


@pytest.mark.filterwarnings("ignore:Field name")
def test_an_option_that_hides_a_method_is_refused_with_the_way_to_keep_its_name() -> None:
    expected = (
        "option 'value' shadows a member of Loss: call it value_, and keep the name in specs with "
        "value_: ... = Field(alias='value', ...)"
    )
    with pytest.raises(PluginError, match=re.escape(expected)):

        class Hiding(Loss):
            feedback: ClassVar = "paired"
            needs: ClassVar = ("policy_logps",)

            value: float = Field(default=1.0, description="Margin, nats.")

            def __call__(self, batch: LossBatch) -> LossOutput: ...


def test_a_loss_written_for_the_old_methods_is_refused() -> None:
    expected = (
        r"counted\(\), remark\(\) and caution\(\) of a loss are no longer called: "
        r"settle\(counts\) returns all three, as Settled\(loss, remark, caution\)"
    )
    with pytest.raises(PluginError, match=expected):

        class Old(Loss):
            feedback: ClassVar = "binary"
            needs: ClassVar = ("policy_logps",)

            def counted(self, counts: object) -> Loss: ...

            def __call__(self, batch: LossBatch) -> LossOutput: ...


@pytest.mark.parametrize(
    ("needed", "message"),
    [
        (("policy_logps"), "needs is 'policy_logps'; expected a tuple, as in ('policy_logps',)"),
        (None, "needs is None; expected a tuple, as in ('policy_logps',)"),
        (("policy_logps", "statistics"), "needs names 'statistics': write statistics(batch)"),
    ],
)
def test_needs_that_make_no_sense_are_refused(needed: object, message: str) -> None:
    with pytest.raises(PluginError, match=re.escape(message)):

        class Odd(Loss):
            feedback: ClassVar = "binary"
            needs: ClassVar = needed

            def __call__(self, batch: LossBatch) -> LossOutput: ...


def test_a_kind_of_feedback_that_does_not_exist_is_refused() -> None:
    message = "there is no feedback 'pairs'. Did you mean 'paired'? Expected one of text, prompts"
    with pytest.raises(PluginError, match=re.escape(message)):

        class Wrong(Loss):
            feedback: ClassVar = "pairs"
            needs: ClassVar = ("policy_logps",)

            def __call__(self, batch: LossBatch) -> LossOutput: ...


def test_examples_without_weights_count_once_each() -> None:
    losses = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    counts = LossOutput(losses).counts
    assert (counts.tolist(), counts.dtype, counts.requires_grad) == ([1, 1], torch.float64, False)
    weights = torch.tensor([3.0, 0.0])
    assert LossOutput(losses, weights).counts is weights


def test_a_class_in_a_file_is_refused_at_its_own_line(tmp_path: Path) -> None:
    file = tmp_path / "old.py"
    file.write_text(
        "from halo_core import Loss\n\n\n"
        "class Old(Loss):\n"
        "    feedback = 'binary'\n"
        "    needs = ('policy_logps',)\n\n"
        "    def counted(self, counts): ...\n\n"
        "    def __call__(self, batch): ...\n"
    )
    with pytest.raises(PluginError, match="counted") as caught:
        import_file(file)
    assert caught.value.location == f"{file}:4"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("control_token", staticmethod(lambda: None), "control_token() is not a method of Loss"),
        ("head", property(lambda self: ()), "Did you mean heads()?"),
        ("settled", classmethod(lambda cls, counts: None), "Did you mean settle()?"),
        ("result_version", 2, "result_version is not a class variable of Loss, so nothing reads"),
        ("default_point", "zero", None),
    ],
)
def test_a_misspelt_member_is_refused_whatever_it_is(
    name: str, value: object, message: str | None
) -> None:
    members = {
        "__module__": __name__,
        "feedback": "binary",
        "needs": ("policy_logps",),
        "__annotations__": {name: ClassVar},
        "__call__": lambda self, batch: None,
        name: value,
    }
    if message is None:
        assert issubclass(type("Fine", (Loss,), members), Loss)
        return
    with pytest.raises(PluginError, match=re.escape(message)):
        type("Misspelt", (Loss,), members)
