"""Duels: a completion and what it is compared with, in which order both are shown, and who wins.

Judges favour a place: in AlpacaEval 2 a model's win rate is 8 points lower when it is shown
first. Asking in both orders shows this bias (a flip) and takes it out of the result (a tie).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from halo_core.errors import PathError
from halo_core.feedback import Prompt
from halo_core.judge import Comparison, Fields, Tools, Verdict, Winner
from halo_core.workspace.records import SAMPLES, SampleLine
from halo_judge.judge_stage.old_samples import refuse_old_nonsense
from halo_statistics.win_rate import Result

Order = Literal["AB", "BA"]
"""In AB the completion is shown first, in BA the baseline."""

BOTH: tuple[Order, Order] = ("AB", "BA")


@dataclass(frozen=True)
class Duel:
    """A completion and what it is compared with.

    Attributes:
        prompt_id: Names the prompt.
        prompt: The messages before both.
        completion: The text that is judged.
        baseline: The text that it is compared with.
        tokens: Length of the completion in tokens; None where it is not known.
        baseline_tokens: Length of the baseline in tokens; None where it is not known.
        tools: The tools that the prompt offers; None for none.
        fields: What else the completion's message holds, such as `tool_calls`; None for nothing.
        baseline_fields: What else that of the baseline holds.
    """

    prompt_id: str
    prompt: Prompt
    completion: str
    baseline: str
    tokens: int | None
    baseline_tokens: int | None
    tools: Tools | None = None
    fields: Fields | None = None
    baseline_fields: Fields | None = None

    @property
    def is_of_one(self) -> bool:
        """Whether the completion and the baseline are the same."""
        same = (self.fields or None) == (self.baseline_fields or None)
        return same and self.completion == self.baseline

    @property
    def beside(self) -> dict[str, Any]:
        """Its `tools` and fields as columns of a line of verdicts, without those it has not."""
        columns = {
            "tools": self.tools,
            "completion_fields": self.fields,
            "baseline_fields": self.baseline_fields,
        }
        return {name: value for name, value in columns.items() if value}


def read_samples(folder: Path) -> dict[str, SampleLine]:
    """Returns prompt id to sample, in the order of the file.

    Args:
        folder: A sampling stage's folder, with `samples.jsonl`, or such a file.

    Raises:
        PathError: When there is no such file.
        DataError: When a line is not an object with a prompt id, a prompt and a completion, or the
            samples are those of a model with NaN in its logits.
    """
    path = folder if folder.is_file() else folder / SAMPLES.name
    if not path.exists():
        raise PathError("no such file; expected what a sampling stage wrote", location=str(path))
    samples = {sample["prompt_id"]: sample for sample in SAMPLES.read(path)}
    refuse_old_nonsense(list(samples.values()), path)
    return samples


def pair_samples(folder: Path, against: Path | None) -> tuple[list[Duel], int]:
    """Returns the duels of a sampling stage, and how many samples have nothing to meet.

    Args:
        folder: The sampling stage's folder.
        against: That of the other sampling stage; None for the targets in the data.

    Raises:
        PathError: When there are no samples.
        DataError: When a line is no sample.
    """
    samples = read_samples(folder)
    duels = against_samples(samples, read_samples(against)) if against else against_targets(samples)
    return duels, len(samples) - len(duels)


def against_targets(samples: Mapping[str, SampleLine]) -> list[Duel]:
    """Returns a duel for each sample whose prompt has a target in the data."""
    return [
        _duel(sample, target, sample.get("target_fields"), sample.get("target_tokens"))
        for sample in samples.values()
        if (target := sample.get("target")) is not None
    ]


def against_samples(
    samples: Mapping[str, SampleLine], baselines: Mapping[str, SampleLine]
) -> list[Duel]:
    """Returns a duel for each prompt that is in both."""
    return [
        _duel(sample, rival["completion"], rival.get("completion_fields"), rival["tokens"])
        for id_, sample in samples.items()
        if (rival := baselines.get(id_)) is not None
    ]


def _duel(
    sample: SampleLine, baseline: str, fields: Fields | None, baseline_tokens: int | None
) -> Duel:
    return Duel(
        sample["prompt_id"],
        sample["prompt"],
        sample["completion"],
        baseline,
        sample["tokens"],
        baseline_tokens,
        sample.get("tools"),
        sample.get("completion_fields"),
        fields,
    )


def assign_orders(duels: Sequence[Duel], *, both: bool) -> dict[str, tuple[Order, ...]]:
    """Returns prompt id to the orders in which its duel is judged.

    Two identical texts are not judged at all. Counterbalanced orders depend on the prompts only,
    so that two models judged on the same prompts are shown in the same places.

    Args:
        duels: All duels of the stage.
        both: Both orders for each; else each order for one half, by the order of prompt ids.
    """
    different = [duel.prompt_id for duel in duels if not duel.is_of_one]
    orders: dict[str, tuple[Order, ...]] = {duel.prompt_id: () for duel in duels}
    # By id and not by place in the file: another model's samples may come in another order.
    for place, id_ in enumerate(sorted(different)):
        orders[id_] = BOTH if both else (BOTH[place % 2],)
    return orders


def comparison(duel: Duel, order: Order) -> Comparison:
    """Returns what the judge is shown."""
    sides = ((duel.completion, duel.fields), (duel.baseline, duel.baseline_fields))
    (a, a_fields), (b, b_fields) = sides if order == "AB" else sides[::-1]
    id_ = comparison_id(duel, order)
    return Comparison(id_, duel.prompt, a, b, duel.tools, a_fields, b_fields)


def comparisons(duels: Sequence[Duel], orders: Mapping[str, Sequence[Order]]) -> list[Comparison]:
    """Returns what the judge is shown of some duels, all in all.

    Args:
        duels: What is judged.
        orders: Prompt id to the orders in which it is judged.
    """
    return [comparison(duel, order) for duel in duels for order in orders[duel.prompt_id]]


def comparison_id(duel: Duel, order: Order) -> str:
    """Returns the name of a duel in one order."""
    return f"{duel.prompt_id}-{order}"


@dataclass(frozen=True)
class Ruling:
    """What the verdicts on all orders of a duel mean together.

    Attributes:
        result: Of the completion; a win is one in every order that was asked.
        flip: Whether the two orders preferred different texts.
    """

    result: Result
    flip: bool = False


def result_of(winner: Winner | None, order: Order) -> Result:
    """Returns what a verdict on one order means for the completion.

    Args:
        winner: The text that the judge preferred, by its place; None without a verdict.
        order: In which the texts were shown.
    """
    if winner is None:
        return "unscored"
    if winner == "tie":
        return "tie"
    return "win" if winner == order[0] else "loss"


def combine(results: Sequence[Result]) -> Ruling:
    """Returns the ruling that the results of a duel's orders make together.

    ======================  ==================
    both orders say         result
    ======================  ==================
    nothing was asked       tie (same texts)
    win and win             win
    loss and loss           loss
    win and loss            tie, a flip
    tie and anything        tie
    unscored and anything   unscored
    ======================  ==================

    >>> combine(["win", "loss"])
    Ruling(result='tie', flip=True)
    """
    if "unscored" in results:  # Half an answer would carry the bias that the other half takes out.
        return Ruling("unscored")
    distinct = set(results)
    if len(distinct) == 1:
        return Ruling(results[0])
    return Ruling("tie", flip=distinct == {"win", "loss"})


def rule(duel: Duel, orders: Sequence[Order], verdicts: Mapping[str, Verdict]) -> Ruling:
    """Returns the ruling on a duel.

    Args:
        duel: What was judged.
        orders: In which orders.
        verdicts: Comparison id to verdict, for each of the orders.
    """
    winners = [(verdicts[comparison_id(duel, order)].winner, order) for order in orders]
    return combine([result_of(winner, order) for winner, order in winners])
