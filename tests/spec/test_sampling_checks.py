"""Warnings before a run about samples from another distribution than a later loss assumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import PluginError
from halo_core.guarded.stage_calls import draws_with_of
from halo_core.plugins.discovery import discover
from halo_core.run.look_ahead import check_rows
from halo_core.run.plan import make_plan
from halo_core.sampling import Sampling, sampling_in
from halo_core.spec.document import parse_document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.sampling_checks import sampling_warnings
from halo_core.spec.spec import Spec, check_spec
from halo_core.workspace.layout import Workspace
from halo_trainer.sample.options import Sample

Halo = Callable[..., Any]

SPEC = """\
name: groups
model: {{hub: someone/small}}
data:
  train: {{use: toy, feedback: demonstration, size: 8}}
reports: []
stages:
  draw: {{use: sample, from: previous, prompts: train, samples_per_prompt: 4{draw}}}
  labels: {{use: label, of: draw, judge: oracle, feedback: scored}}
  align: {{use: train, from: previous, data: labels, loss: {loss}}}
rounds: {{n: 3, stages: [draw, labels, align]}}
"""


def spec_of(draw: str = "", loss: str = "grpo", text: str = SPEC) -> Spec:
    whole = text.format(draw=draw, loss=loss)
    return check_spec(parse_document(whole, name="s.yaml", folder=Path("/nowhere")), discover())


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        ("", "top_p 0.95"),  # the default of sample
        (", temperature: 0.7, top_p: 1", "temperature 0.7"),
        (", top_p: 1.0, top_k: 50", "top_k 50"),
        (", temperature: 1.5, top_k: 5", "temperature 1.5, top_p 0.95, top_k 5"),
        (", endpoint: {url: 'http://x/v1', model: m}", "top_p 0.95"),
        (", engine: vllm, temperature: 0.5", "temperature 0.5, top_p 0.95"),
    ],
)
def test_samples_of_another_distribution_are_told_once_for_all_rounds(draw: str, told: str) -> None:
    (warning,) = sampling_warnings(spec_of(draw))
    assert warning.startswith(f"s.yaml:7:3: stages.draw: 'draw' samples with {told}. The loss grpo")
    assert "of 'align' takes the stored log-probabilities" in warning
    assert warning.endswith("set temperature: 1, top_p: 1 and top_k: 0")


@pytest.mark.parametrize(
    ("draw", "loss"),
    [
        (", top_p: 1", "grpo"),
        ("", "{use: grpo, ratio_to: reference}"),
        ("", "nca"),
        # Its own options may change what it is sent, and it gives no log-probabilities.
        (", endpoint: {url: 'http://x/v1', model: m, server: other, prompts: text}", "grpo"),
    ],
)
def test_nothing_is_told_where_nothing_is_compared_or_all_is_right(draw: str, loss: str) -> None:
    assert sampling_warnings(spec_of(draw, loss)) == []


def test_samples_are_found_through_feedback_that_is_made_of_feedback() -> None:
    again = "  again: {{use: label, data: labels, judge: oracle, feedback: scored}}\n  align:"
    text = SPEC.replace("  align:", again).replace("data: labels, loss", "data: again, loss")
    text = text[: text.index("rounds:")].replace("from: previous", "from: model")
    assert len(sampling_warnings(spec_of(text=text))) == 1
    assert sampling_warnings(spec_of(text=text), new={"draw"}) == []


def test_a_plan_and_a_run_warn_when_they_check_rows(tmp_path: Path) -> None:
    plan = make_plan(spec_of(), Workspace(tmp_path))
    told: list[str] = []
    check_rows(plan, {}, new={"align-2"}, mistakes=Mistakes(plan.spec.document), warn=told.append)
    assert told == sampling_warnings(plan.spec)


def test_validate_warns_and_the_spec_stays_valid(tmp_path: Path, halo: Halo) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SPEC.format(draw="", loss="grpo"))
    result = halo("validate", str(path))
    assert result.code == 0
    assert "'draw' samples with top_p 0.95. The loss grpo" in " ".join(result.err.split())
    assert "is valid" in result.out


def test_a_sampling_and_its_column_say_the_same() -> None:
    sampling = Sampling(0.5, 0.9, 7)
    assert sampling_in(sampling.column()) == sampling
    assert [each.is_the_models_own for each in (sampling, Sampling())] == [False, True]


def test_a_stage_that_returns_something_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sample, "draws_with", lambda self: {"top_p": 1})
    with pytest.raises(PluginError, match=r"draws_with.*expected Sampling\(\.\.\.\), or None"):
        draws_with_of(Sample(prompts="train"))
