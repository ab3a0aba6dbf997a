"""Files of a judge's results, with one line per item, written at once so that no stop loses any.

`verdicts.jsonl` has one object per prompt, `scores.jsonl` one per completion. A resumed stage uses
the lines that are still valid, asks for the others, and sorts all lines at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

from halo_core.errors import UnscoredError
from halo_core.judge import Verdict
from halo_core.scoring_judge import Answer, Score
from halo_core.stage import StageContext
from halo_core.workspace.formats import LineFile
from halo_core.workspace.records import SCORES, VERDICTS, OrderVerdict, ScoreLine, VerdictLine
from halo_judge.judge_stage.duels import Duel, Order, comparison_id, rule
from halo_judge.judge_stage.on_disk import Numbered

LineT = TypeVar("LineT", bound=Mapping[str, Any])


class WrittenLines(Collection[LineT]):
    """The lines of a finished file, which are read one by one whenever they are needed.

    Args:
        file: The kind of file.
        path: Its path.
        count: Number of its lines.
    """

    def __init__(self, file: LineFile[LineT], path: Path, count: int) -> None:
        self._file = file
        self._path = path
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LineT]:
        return self._file.read(self._path)

    def __contains__(self, line: object) -> bool:
        return any(each == line for each in self)


@dataclass(frozen=True)
class KeptLines(Generic[LineT]):
    """A file of a judge's results. The lines stay there: an item takes 8 bytes of memory.

    Attributes:
        file: The kind of file.
        path: Its path.
        count: Number of items that need a line.
        item_of: Returns the number of a line's item; None for a line that is no longer valid.
    """

    file: LineFile[LineT]
    path: Path
    count: int
    item_of: Callable[[LineT], int | None]

    def places(self) -> array[int]:
        """Returns the first byte of the valid line of each item; -1 without one.

        An incomplete last line does not count.

        Raises:
            DataError: When a line is damaged.
        """
        places = array("q", [-1]) * self.count
        for place, line in self._lines():
            if (item := self.item_of(line)) is not None:
                places[item] = place
        return places

    def _lines(self) -> Iterator[tuple[int, LineT]]:
        """Yields the first byte of each line, and the line."""
        end = 0
        try:
            lines = self.path.open("rb")
        except FileNotFoundError:
            return
        with lines:
            for number, line in enumerate(lines, start=1):
                if line.strip() and line.endswith(b"\n"):
                    yield end, self.file.parse(line, f"{self.path}:{number}")
                end += len(line)

    def lines_at(self, places: Iterable[int]) -> Iterator[LineT]:
        """Reads the lines that begin at some bytes of the file; none if there is no place."""
        with ExitStack() as stack:
            lines = None
            for place in places:
                lines = lines or stack.enter_context(self.path.open("rb"))
                lines.seek(place)
                yield self.file.parse(lines.readline(), f"{self.path}, byte {place}")

    def go_on(self, context: StageContext) -> GrowingLines[LineT]:
        """Returns the file with its valid lines, ready for the missing lines.

        Args:
            context: The stage's context.
        """
        places = self.places()
        # This is done before asking. Otherwise an invalid line would be a second line of its item.
        self.file.write(self.path, self.lines_at(place for place in places if place >= 0))
        there = (item for item, place in enumerate(places) if place >= 0)
        for item, (place, _) in zip(there, self._lines(), strict=True):
            places[item] = place
        return GrowingLines(self, places, context)


class GrowingLines(Generic[LineT]):
    """A file that receives lines; see `KeptLines.go_on`.

    Attributes:
        lacking: The numbers of the items without a line when the file is opened.
    """

    def __init__(self, kept: KeptLines[LineT], places: array[int], context: StageContext) -> None:
        lacks_all = all(place < 0 for place in places)
        self.lacking: Sequence[int] = (
            range(len(places))
            if lacks_all
            else array("q", (item for item, place in enumerate(places) if place < 0))
        )
        self._kept = kept
        self._places = places
        self._known = len(places) - len(self.lacking)
        self._context = context

    def pause(self) -> None:
        """Stops the stage if it was asked to stop, else does nothing.

        Raises:
            Interrupted: When asked to stop. The lines are kept.
        """
        if self._context.stop.is_set():
            what = self._kept.path.stem
            count = f"{self._known} of {len(self._places)} {what} are kept"
            self._context.stop.raise_interrupted(f"{count}; run the same command again to continue")

    def take(self, lines: Generator[tuple[int, LineT], None, None]) -> None:
        """Appends each line to the file at once.

        Args:
            lines: The number of an item and its line, for all missing items in any order. The
                generator is closed at the end, so that it can wait for requests in progress.

        Raises:
            Interrupted: When asked to stop. The lines are kept.
        """
        context, all_, kept = self._context, len(self._places), self._kept
        unit = kept.path.stem.removesuffix("s")
        with (
            context.progress.bar(context.id, all_, self._known, unit=unit) as bar,
            closing(lines),
        ):
            for item, line in lines:
                place = kept.path.stat().st_size
                kept.file.append(kept.path, [line])
                self._places[item] = place
                self._known += 1
                bar.advance()
                self.pause()

    def in_order(self) -> WrittenLines[LineT]:
        """Sorts the file in the order of the items, and returns its lines."""
        kept = self._kept
        if self.lacking:
            kept.file.write(kept.path, kept.lines_at(self._places))
        return WrittenLines(kept.file, kept.path, len(self._places))


_BESIDE: tuple[Literal["tools", "completion_fields", "baseline_fields"], ...] = (
    "tools",
    "completion_fields",
    "baseline_fields",
)


def verdict_lines(
    folder: Path, duels: Sequence[Duel], orders: Sequence[Sequence[Order]]
) -> KeptLines[VerdictLine]:
    """Returns the file of the verdicts on some duels.

    Lines with other texts or orders are not valid, and unscored items are asked again.

    Args:
        folder: The folder of the file.
        duels: The duels to judge.
        orders: The orders in which each duel is judged.
    """

    @cache
    def numbered() -> Numbered:
        return Numbered((duel.prompt_id for duel in duels), lambda n: duels[n].prompt_id)

    def item_of(line: VerdictLine) -> int | None:
        if line["result"] == "unscored" or (number := numbered().get(line["prompt_id"])) is None:
            return None
        duel = duels[number]
        holds = (
            (line["completion"], line["baseline"]) == (duel.completion, duel.baseline)
            and {name: line[name] for name in _BESIDE if line.get(name)} == duel.beside
            and [part["order"] for part in line["orders"]] == list(orders[number])
        )
        return number if holds else None

    return KeptLines(VERDICTS, folder / VERDICTS.name, len(duels), item_of)


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


def score_lines(folder: Path, ids: Sequence[str]) -> KeptLines[ScoreLine]:
    """Returns the file of the scores of some answers, whose ids identify their texts.

    Unscored answers are asked again.

    Args:
        folder: The folder of the file.
        ids: The ids of the answers to score.
    """

    @cache
    def numbered() -> Numbered:
        return Numbered(ids, ids.__getitem__)

    return KeptLines(
        SCORES,
        folder / SCORES.name,
        len(ids),
        lambda line: None if line["score"] is None else numbered().get(line["id"]),
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
