"""Files of a judge's results, with one line per item, written at once so that no stop loses any.

`verdicts.jsonl` has one object per prompt, `scores.jsonl` one per completion. A resumed stage uses
the lines that are still valid, asks for the others, and sorts all lines at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

from halo_core.errors import UnscoredError
from halo_core.judge import Verdict
from halo_core.scoring_judge import Answer, Score
from halo_core.stage import StageContext
from halo_core.workspace.formats import LineFile
from halo_core.workspace.records import SCORES, VERDICTS, OrderVerdict, ScoreLine, VerdictLine
from halo_judge.judge_stage.duels import Duel, Order, comparison_id, rule

LineT = TypeVar("LineT", bound=Mapping[str, Any])


@dataclass(frozen=True)
class KeptLines(Generic[LineT]):
    """A file of a judge's results.

    Attributes:
        file: The kind of file.
        path: Its path.
        key: The field of a line with the id of its item.
        holds: Returns whether a line from an earlier call is still valid.
    """

    file: LineFile[LineT]
    path: Path
    key: str
    holds: Callable[[LineT], bool]

    def read(self) -> dict[str, LineT]:
        """Returns the valid lines by item, without an incomplete last line.

        Raises:
            DataError: When a line is damaged.
        """
        return {line[self.key]: line for line in self.file.read(self.path) if self.holds(line)}

    def go_on(self, items: Sequence[str], context: StageContext) -> GrowingLines[LineT]:
        """Returns the file with its valid lines, ready for the missing lines.

        Args:
            items: The unique ids of the items that need a line.
            context: The stage's context.
        """
        read = self.read()
        lines = {item: read[item] for item in items if item in read}
        # This is done before asking. Otherwise an invalid line would be a second line of its item.
        self.file.write(self.path, lines.values())
        return GrowingLines(self, items, lines, context)


class GrowingLines(Generic[LineT]):
    """A file that receives lines; see `KeptLines.go_on`.

    Attributes:
        lacking: The items without a line when the file is opened.
    """

    def __init__(
        self,
        kept: KeptLines[LineT],
        items: Sequence[str],
        lines: dict[str, LineT],
        context: StageContext,
    ) -> None:
        self.lacking = [item for item in items if item not in lines]
        self._kept = kept
        self._items = items
        self._lines = lines
        self._context = context

    def pause(self) -> None:
        """Stops the stage if it was asked to stop, else does nothing.

        Raises:
            Interrupted: When asked to stop. The lines are kept.
        """
        if self._context.stop.is_set():
            what = self._kept.path.stem
            count = f"{len(self._lines)} of {len(self._items)} {what} are kept"
            self._context.stop.raise_interrupted(f"{count}; run the same command again to continue")

    def take(self, lines: Generator[LineT, None, None]) -> None:
        """Appends each line to the file at once.

        Args:
            lines: The lines of missing items in any order. The generator is closed at the end, so
                that it can wait for requests in progress.

        Raises:
            Interrupted: When asked to stop. The lines are kept.
        """
        context, all_, kept = self._context, len(self._items), self._kept
        unit = kept.path.stem.removesuffix("s")
        with (
            context.progress.bar(context.id, all_, len(self._lines), unit=unit) as bar,
            closing(lines),
        ):
            for line in lines:
                kept.file.append(kept.path, [line])
                self._lines[line[kept.key]] = line
                bar.advance()
                self.pause()

    def in_order(self) -> list[LineT]:
        """Returns the line of each item in order, and sorts the file in this order."""
        lines = [self._lines[item] for item in self._items]
        if self.lacking:
            self._kept.file.write(self._kept.path, lines)
        return lines


_BESIDE: tuple[Literal["tools", "completion_fields", "baseline_fields"], ...] = (
    "tools",
    "completion_fields",
    "baseline_fields",
)


def verdict_lines(
    folder: Path, duels: Iterable[Duel], orders: Mapping[str, Sequence[Order]]
) -> KeptLines[VerdictLine]:
    """Returns the file of the verdicts on some duels.

    Lines with other texts or orders are not valid, and unscored items are asked again.

    Args:
        folder: The folder of the file.
        duels: The duels to judge.
        orders: The orders in which each duel is judged, by prompt id.
    """
    by_prompt = {duel.prompt_id: duel for duel in duels}

    def holds(line: VerdictLine) -> bool:
        duel = by_prompt.get(line["prompt_id"])
        return (
            duel is not None
            and line["result"] != "unscored"
            and (line["completion"], line["baseline"]) == (duel.completion, duel.baseline)
            and {name: line[name] for name in _BESIDE if line.get(name)} == duel.beside
            and [part["order"] for part in line["orders"]] == list(orders[duel.prompt_id])
        )

    return KeptLines(VERDICTS, folder / VERDICTS.name, "prompt_id", holds)


def verdict_line(
    duel: Duel, orders: Sequence[Order], verdicts: Mapping[str, Verdict], *, lengths: bool = True
) -> VerdictLine:
    """Returns the line for a duel that was judged in all its orders.

    Args:
        duel: The duel.
        orders: The orders in which it was judged.
        verdicts: The verdicts by comparison id.
        lengths: Whether the line has the numbers of tokens, which may be null. Lines of the stage
            `label` have none.
    """
    ruling = rule(duel, orders, verdicts)
    line = VerdictLine(
        prompt_id=duel.prompt_id,
        prompt=duel.prompt,
        completion=duel.completion,
        baseline=duel.baseline,
        result=ruling.result,
        flip=ruling.flip,
        orders=[_order_verdict(o, verdicts[comparison_id(duel, o)]) for o in orders],
    )
    if lengths:
        line |= {"tokens": duel.tokens, "baseline_tokens": duel.baseline_tokens}
    return line | cast(VerdictLine, duel.beside)


def _order_verdict(order: Order, verdict: Verdict) -> OrderVerdict:
    part = OrderVerdict(order=order, winner=verdict.winner, reason=verdict.reason)
    # These are left out, not null: a free judge, or one without certainty, has no such column.
    if verdict.preference is not None:
        part["preference"] = verdict.preference
    if verdict.calls:
        part["calls"] = verdict.calls
    if verdict.cost is not None:
        part["cost"] = verdict.cost
    return part


def check_scored(judge: str, what: str, asked: int, scored: int, first: str) -> None:
    """Checks that a judge scored something, because a stage without any result is not done.

    Args:
        judge: The judge's name.
        what: Name of the items, for example ``comparisons``.
        asked: Number of items that it was asked about.
        scored: Number of items with a result.
        first: The reason why the first item has no result.

    Raises:
        UnscoredError: When the judge was asked and scored nothing.
    """
    if asked and not scored:
        raise UnscoredError(
            f"{judge} scored none of {asked} {what}; the first: {first}. So there is no result. "
            "The same command asks again"
        )


def first_failure(lines: Iterable[VerdictLine]) -> str:
    """Returns why the first unscored comparison has no verdict; "" if all have a verdict."""
    reasons = (
        part["reason"]
        for line in lines
        if line["result"] == "unscored"
        for part in line["orders"]
        if part["winner"] is None
    )
    return next(reasons, "")


def score_lines(folder: Path, answers: Iterable[Answer]) -> KeptLines[ScoreLine]:
    """Returns the file of the scores of some answers, whose ids identify their texts.

    Unscored answers are asked again.

    Args:
        folder: The folder of the file.
        answers: The answers to score.
    """
    ids = {answer.id for answer in answers}
    return KeptLines(
        SCORES,
        folder / SCORES.name,
        "id",
        lambda line: line["id"] in ids and line["score"] is not None,
    )


def score_line(answer: Answer, score: Score) -> ScoreLine:
    """Returns the line of an answer."""
    line = ScoreLine(
        id=answer.id,
        completion=answer.completion,
        score=score.value,
        reason=score.reason,
        cut=score.cut,
    )
    if answer.fields:
        line["completion_fields"] = dict(answer.fields)
    return line
