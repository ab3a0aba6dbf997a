"""Duels: a completion and its baseline, the orders in which both are shown, and the winner.

Judges prefer a position: in AlpacaEval 2 a model's win rate is 8 points lower when it is shown
first. Asking in both orders shows this bias (a flip) and removes it from the result (a tie).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from halo_core.errors import PathError
from halo_core.feedback import Prompt
from halo_core.judge import Comparison, Fields, Tools, Verdict, Winner
from halo_core.workspace.records import SAMPLES, SampleLine
from halo_judge.judge_stage.old_samples import without_old_nonsense
from halo_statistics.win_rate import Result

Order = Literal["AB", "BA"]
"""Order of the texts. In AB the completion is shown first, in BA the baseline."""

BOTH: tuple[Order, Order] = ("AB", "BA")


@dataclass(frozen=True)
class Duel:
    """A completion and the baseline that it is compared with.

    Attributes:
        prompt_id: Id of the prompt.
        prompt: The messages before both texts.
        completion: The text that is judged.
        baseline: The text that it is compared with.
        tokens: Length of the completion in tokens; None if not known.
        baseline_tokens: Length of the baseline in tokens; None if not known.
        tools: The tools that the prompt offers; None if it offers none.
        fields: Further fields of the completion's message, such as `tool_calls`; None if none.
        baseline_fields: Further fields of the baseline's message; None if none.
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
        """The existing `tools` and fields, as columns of a line of verdicts."""
        columns = {
            "tools": self.tools,
            "completion_fields": self.fields,
            "baseline_fields": self.baseline_fields,
        }
        return {name: value for name, value in columns.items() if value}


_JUDGED = frozenset(
    {"prompt_id", "prompt", "completion", "tokens", "tools", "completion_fields"}
    | {"target", "target_fields", "target_tokens"}
)
"""The columns of samples that a duel needs. Token ids take fifty times the memory of a text."""


def read_samples(folder: Path) -> dict[str, SampleLine]:
    """Returns the first sample of each prompt by prompt id, in the order of the file.

    The lines have only the columns that a duel needs.

    Args:
        folder: A sampling stage's folder, with `samples.jsonl`, or such a file.

    Raises:
        PathError: When there is no such file.
        DataError: See `sample_lines`.
    """
    samples: dict[str, SampleLine] = {}
    for sample in sample_lines(folder):
        if sample["prompt_id"] not in samples:
            needed = {name: value for name, value in sample.items() if name in _JUDGED}
            samples[sample["prompt_id"]] = cast(SampleLine, needed)
    return samples


def sample_lines(folder: Path) -> Iterator[SampleLine]:
    """Yields all samples, several of one prompt too, in the order of the file.

    Args:
        folder: A sampling stage's folder, with `samples.jsonl`, or such a file.

    Raises:
        PathError: When there is no such file.
        DataError: When a line is not an object with a prompt id, a prompt and a completion, or,
            after the last line, when the samples are those of a model with NaN in its logits.
    """
    path = folder if folder.is_file() else folder / SAMPLES.name
    if not path.exists():
        raise PathError("no such file; expected what a sampling stage wrote", location=str(path))
    return without_old_nonsense(SAMPLES.read(path), path)


def later_samples(folder: Path) -> int:
    """Returns the number of samples that are not the first of their prompt."""
    prompts: set[str] = set()
    count = 0
    for line in sample_lines(folder):
        count += 1
        prompts.add(line["prompt_id"])
    return count - len(prompts)


def pair_samples(folder: Path, against: Path | None) -> tuple[list[Duel], int]:
    """Returns the duels of a sampling stage, and the number of samples without a baseline.

    Args:
        folder: The sampling stage's folder.
        against: The other sampling stage's folder; None for the targets in the data.

    Raises:
        PathError: When there are no samples.
        DataError: When a line is not a sample.
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
    """Returns a duel for each prompt that both have."""
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
    """Returns the orders in which each duel is judged, by prompt id.

    Two identical texts are not judged. Counterbalanced orders depend only on the prompts, so that
    two models judged on the same prompts have the same positions.

    Args:
        duels: All duels of the stage.
        both: Whether each duel has both orders; else half of the duels, by prompt id, has each.
    """
    different = [duel.prompt_id for duel in duels if not duel.is_of_one]
    orders: dict[str, tuple[Order, ...]] = {duel.prompt_id: () for duel in duels}
    # By id and not by place in the file, because another model's samples may have another order.
    for place, id_ in enumerate(sorted(different)):
        orders[id_] = BOTH if both else (BOTH[place % 2],)
    return orders


def comparison(duel: Duel, order: Order) -> Comparison:
    """Returns the comparison that the judge sees."""
    sides = ((duel.completion, duel.fields), (duel.baseline, duel.baseline_fields))
    (a, a_fields), (b, b_fields) = sides if order == "AB" else sides[::-1]
    id_ = comparison_id(duel, order)
    return Comparison(id_, duel.prompt, a, b, duel.tools, a_fields, b_fields)


def comparisons(duels: Sequence[Duel], orders: Mapping[str, Sequence[Order]]) -> list[Comparison]:
    """Returns all comparisons of some duels that the judge sees.

    Args:
        duels: The duels to judge.
        orders: The orders in which each duel is judged, by prompt id.
    """
    return [comparison(duel, order) for duel in duels for order in orders[duel.prompt_id]]


def comparison_id(duel: Duel, order: Order) -> str:
    """Returns the id of a duel in one order."""
    return f"{duel.prompt_id}-{order}"


@dataclass(frozen=True)
class Ruling:
    """The combined meaning of the verdicts on all orders of a duel.

    Attributes:
        result: The completion's result. A win means a win in every order that was asked.
        flip: Whether the two orders preferred different texts.
    """

    result: Result
    flip: bool = False


def result_of(winner: Winner | None, order: Order) -> Result:
    """Returns the completion's result from the verdict on one order.

    Args:
        winner: The position of the text that the judge preferred; None without a verdict.
        order: The order in which the texts were shown.
    """
    if winner is None:
        return "unscored"
    if winner == "tie":
        return "tie"
    return "win" if winner == order[0] else "loss"


def combine(results: Sequence[Result]) -> Ruling:
    """Returns the ruling that follows from the results of a duel's orders.

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
    if "unscored" in results:  # One order alone would keep the bias that the other order removes.
        return Ruling("unscored")
    distinct = set(results)
    if len(distinct) == 1:
        return Ruling(results[0])
    return Ruling("tie", flip=distinct == {"win", "loss"})


def rule(duel: Duel, orders: Sequence[Order], verdicts: Mapping[str, Verdict]) -> Ruling:
    """Returns the ruling on a duel.

    Args:
        duel: The duel.
        orders: The orders in which it was judged.
        verdicts: The verdict on each order, by comparison id.
    """
    winners = [(verdicts[comparison_id(duel, order)].winner, order) for order in orders]
    return combine([result_of(winner, order) for winner, order in winners])
