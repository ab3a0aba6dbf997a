"""The results of an exported model: the final numbers of its stage and of those that tested it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halo_core.workspace.recorded_roles import started_from, taken_from
from halo_core.workspace.records import STAGE, RunStage, stage_done
from halo_trainer.export.source import ExportSource

LOW, HIGH = "_lo", "_hi"
"""Endings of the metrics that are the ends of another metric's interval."""


@dataclass(frozen=True)
class Number:
    """A final number.

    Attributes:
        name: The metric.
        value: Its value.
        interval: The ends of its interval, if it has one.
    """

    name: str
    value: float
    interval: tuple[float, float] | None

    @property
    def value_text(self) -> str:
        """The value with four digits; whole numbers in full."""
        return _text(self.value)

    @property
    def interval_text(self) -> str:
        """The interval as ``[0.526, 0.661]``, or ""."""
        return "" if self.interval is None else "[{}, {}]".format(*map(_text, self.interval))


@dataclass(frozen=True)
class StageResults:
    """The results of a stage.

    Attributes:
        id: The stage's id in the spec.
        use: Its component.
        headline: Its sentence for the summary; what is missing if it is not finished.
        numbers: Its final numbers.
        confidence: The confidence level of its intervals, if it has the option.
        interval: The method of its intervals, if it has the option.
    """

    id: str
    use: str
    headline: str
    numbers: Sequence[Number]
    confidence: float | None = None
    interval: str | None = None

    @property
    def method(self) -> str:
        """A sentence about the intervals; "" if there are none."""
        if self.confidence is None or all(number.interval is None for number in self.numbers):
            return ""
        name = f" ({self.interval})" if self.interval else ""
        return f"Intervals have a confidence level of {self.confidence * 100:g} %{name}."


def results_of(source: ExportSource) -> list[StageResults]:
    """Returns the results of all stages that judged or sampled a model, and of its own stage.

    Those that judged it come first. A judge stage belongs to the model whose completions it judges,
    not to their rival's.

    Raises:
        DataError: When a record cannot be read.
    """
    used = {source.id}
    found: dict[str, list[StageResults]] = {"verdicts": [], "samples": []}
    for stage in source.record.get("stages", []):
        tests = stage["product"] in ("samples", "verdicts")
        if tests and used & {started_from(stage), taken_from(stage)}:
            used.add(stage["id"])
            found[stage["product"]].append(_results(source, stage))
    return [*found["verdicts"], *found["samples"], _results(source, source.stage)]


def _results(source: ExportSource, stage: RunStage) -> StageResults:
    folder = source.stage_folder(stage)
    done = stage_done(folder)
    if done is None:
        return StageResults(stage["id"], stage["use"], "is not finished", [])
    record = STAGE.read(folder)
    options = record["stage"] if record is not None else {}
    confidence, interval = options.get("confidence"), options.get("interval")
    return StageResults(
        id=stage["id"],
        use=stage["use"],
        headline=done["headline"],
        numbers=_numbers(done["metrics"]),
        confidence=confidence if isinstance(confidence, float) else None,
        interval=interval if isinstance(interval, str) else None,
    )


def _numbers(metrics: Mapping[str, float]) -> list[Number]:
    ends = {
        name: (metrics[name + LOW], metrics[name + HIGH])
        for name in metrics
        if name + LOW in metrics and name + HIGH in metrics
    }
    within = {name + end for name in ends for end in (LOW, HIGH)}
    return [
        Number(name, value, ends.get(name)) for name, value in metrics.items() if name not in within
    ]


def _text(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def judged(results: Sequence[StageResults]) -> bool:
    """Returns whether a stage has a number with an interval."""
    return any(number.interval for stage in results for number in stage.numbers)
