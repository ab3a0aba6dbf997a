"""The declarations of a loss are checked when a spec names it, and errors name only this loss."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from halo_core.cli.options import component_given
from halo_core.errors import PluginError, SpecErrors

SOURCE = """\
from halo_core import Head, Loss, LossOutput


class Mine(Loss):
    feedback = "paired"
    needs = ("policy_logps",)

    {method}

    def __call__(self, batch):
        return LossOutput(-batch.chosen.policy_logps)
"""
METHOD_LINE = 8


def given(tmp_path: Path, method: str, loss: str) -> SpecErrors:
    """Returns the mistakes of a loss with a wrong declaration."""
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(method=method))
    with pytest.raises(SpecErrors) as caught:
        component_given("loss", loss.format(f"file:{file}:Mine"), option="--loss")
    return caught.value


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("def resolved_feedback(self): return 'pairs'", "returned 'pairs'; expected one of text, "),
        ("def resolved_feedback(self): raise ValueError('mine')", "raised ValueError: mine"),
        ("def needed(self): return None", "returned None; expected a tuple, as in ('policy_logps'"),
        ("def needed(self): return 'policy_logps'", "returned 'policy_logps'; expected a tuple"),
        (
            "def needed(self): return ('policy_logp',)",
            "names 'policy_logp'. Did you mean 'policy_logps'? Known: policy_logps, reference_logps"
            ", reference_point, reference_samples, statistics",
        ),
        (
            "def needed(self): return ('policy_logps', 'reference_logps')",
            "names 'reference_logps', which the class variable needs does not",
        ),
        ("def needed(self): return 1 / 0", "raised ZeroDivisionError: division by zero"),
        (
            "def resolved_reference_point(self): return 3",
            "returned 3; expected the name of a reference point, or None",
        ),
        ("def weighs_examples(self): return 'no'", "returned 'no'; expected True or False"),
        ("def weighs_examples(self): raise ValueError('mine')", "raised ValueError: mine"),
        ("def control_tokens(self): raise ValueError('mine')", "raised ValueError: mine"),
        (
            "def control_tokens(self): return ('', '<b>')",
            "returned ('', '<b>'); expected two texts that differ, or None",
        ),
        ("def mistakes_within_pairs(self): return 1 / 0", "raised ZeroDivisionError"),
        (
            "def mistakes_within_pairs(self): return 'none'",
            "returned 'none'; expected sentences, as in ('... has no effect',)",
        ),
        ("def heads(self): raise ValueError('mine')", "raised ValueError: mine"),
        (
            "def heads(self): return [Head('a.b', 'end')]",
            "the name is 'a.b'; expected letters, digits, - and _",
        ),
        ("def heads(self): return [Head(3, 'end')]", "the name is 3; expected letters, digits"),
        (
            "def heads(self): return [Head('a', 'ends')]",
            "at is 'ends'; expected 'tokens' or 'end'",
        ),
        (
            "def heads(self): return [Head('a', 'end', -1)]",
            "hidden_layers is -1; expected a whole number of at least 0",
        ),
    ],
)
@pytest.mark.parametrize(
    ("loss", "place"),
    [
        ("{}", "--loss: "),
        ("{{use: weighted-sum, losses: [dpo, {}], weights: [1, 1]}}", "--loss: loss.losses.1: "),
    ],
    ids=["alone", "within a sum"],
)
def test_a_claim_that_cannot_be_is_the_fault_of_the_loss_that_makes_it(
    method: str, message: str, loss: str, place: str, tmp_path: Path
) -> None:
    errors = given(tmp_path, method, loss)
    (error,) = errors.errors
    name = re.search(r"def (\w+)", method)
    assert name is not None
    assert isinstance(error, PluginError)
    assert errors.exit_code == 3
    assert error.location == f"{place}{tmp_path / 'mine.py'}:{METHOD_LINE}"
    assert error.message.startswith(f"file:{tmp_path / 'mine.py'}:Mine.{name[1]}() ")
    assert message in error.message
