"""Counts verdicts for the metrics of a judge stage, without holding their texts."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from math import fsum
from statistics import fmean

import numpy as np

from halo_core.workspace.records import OrderVerdict, VerdictLine
from halo_judge.judge_stage.on_disk import Numbers, as_numbers
from halo_statistics import POINTS, Interval, WinRate, win_rate
from halo_statistics.position import first_points
from halo_statistics.win_rate import Result


class VerdictNumbers:
    """The numbers of verdicts that the metrics are made of. A line takes 12 to 50 bytes of memory.

    Args:
        lines: All lines of a stage, which are read once.

    Attributes:
        results: Number of lines with each result.
        asked: Number of lines whose texts differ, so that the judge was asked.
        answered: Number of these with a result.
        first_failure: Why the first unscored comparison has no verdict; "" if all have one.
    """

    def __init__(self, lines: Iterable[VerdictLine]) -> None:
        self.results: Counter[Result] = Counter()
        self.asked = self.answered = 0
        self.first_failure = ""
        self._flips = self._asked_twice = 0
        self._winners: Counter[tuple[str, ...]] = Counter()
        self._points, self._ours, self._theirs = array("f"), array("I"), array("I")
        self._tokens, self._baseline_tokens = array("d"), array("d")
        self._shares, self._weighs = array("d"), False
        self._paid = _Paid()
        for line in lines:
            self._add(line)

    def rate(self, confidence: float, interval: Interval) -> WinRate:
        """Returns the win rate.

        Args:
            confidence: Confidence level of its interval, in (0, 1).
            interval: Method of its interval.
        """
        return win_rate(self.results.elements(), confidence=confidence, interval=interval)

    def _add(self, line: VerdictLine) -> None:
        self.results[line["result"]] += 1
        self.asked += bool(line["orders"])
        self.answered += bool(line["orders"]) and line["result"] != "unscored"
        self.first_failure = self.first_failure or first_failure([line])
        self._paid.add(line)
        for tokens, name in ((self._tokens, "tokens"), (self._baseline_tokens, "baseline_tokens")):
            # Lines of the stage `label` have none.
            if (count := line.get(name)) is not None:
                tokens.append(count)  # type: ignore[arg-type]
        if line["result"] == "unscored":
            return
        orders = line["orders"]
        if len(orders) == 2:
            self._asked_twice += 1
            self._flips += line["flip"]
        # If there are two orders, the first is AB.
        self._winners[tuple(o["winner"] for o in orders if o["winner"] is not None)] += 1
        self._points.append(POINTS[line["result"]])
        self._ours.append(len(line["completion"]))
        self._theirs.append(len(line["baseline"]))
        if all("preference" in part for part in orders):
            self._shares.append(completion_preference(orders) if orders else 0.5)
            self._weighs = self._weighs or bool(orders)

    def flips(self) -> dict[str, float]:
        """Returns the share of flips."""
        return {"flip": self._flips / self._asked_twice} if self._asked_twice else {}

    def places(self) -> dict[str, float]:
        """Returns `first_shown` and, for prompts judged in both orders, `agreement`."""
        asked = sum(len(winners) * count for winners, count in self._winners.items())
        # The points are halves, so their sum is exact.
        first = sum(
            first_points(winner) * count
            for winners, count in self._winners.items()
            for winner in winners
        )
        twice = {winners: n for winners, n in self._winners.items() if len(winners) == 2}
        metrics = {"first_shown": first / asked} if asked else {}
        if twice:
            agree = sum(n for two, n in twice.items() if sum(map(first_points, two)) == 1)
            metrics["agreement"] = agree / sum(twice.values())
        return metrics

    def lengths(self) -> dict[str, float]:
        """Returns the median lengths in tokens of both sides, where all are known."""
        sides = {"len": self._tokens, "baseline_len": self._baseline_tokens}
        total = self.results.total()
        return {name: middle(as_numbers(t)) for name, t in sides.items() if t and len(t) == total}

    def weighted(self) -> dict[str, float]:
        """Returns the mean certainty of the verdicts that have one; same texts are 1/2."""
        return {"win_weighted": fmean(self._shares)} if self._weighs else {}

    def paid(self) -> dict[str, float]:
        """Returns `calls` and `cost`; see `paid_requests`."""
        return self._paid.numbers()

    def points_and_lengths(self) -> tuple[array[float], array[int], array[int]]:
        """Returns the points, and the lengths of both sides in characters, of scored lines."""
        return self._points, self._ours, self._theirs


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


class _Paid:
    """Counts paid requests and their costs."""

    def __init__(self) -> None:
        self._parts = self._calls = 0
        self._costs = array("d")

    def add(self, line: VerdictLine) -> None:
        """Adds a line."""
        for part in line["orders"]:
            if "calls" in part:
                self._parts += 1
                self._calls += part["calls"]
                if "cost" in part:
                    self._costs.append(part["cost"])

    def numbers(self) -> dict[str, float]:
        """Returns `calls` and `cost`; nothing without calls, and no cost if one is not known."""
        if not self._parts:
            return {}
        # A sum without unknown costs would look like the total cost.
        known = len(self._costs) == self._parts
        return {"calls": self._calls} | ({"cost": fsum(self._costs)} if known else {})


def paid_requests(lines: Iterable[VerdictLine]) -> dict[str, float]:
    """Returns `calls` and `cost`; nothing without calls, and no cost if one is not known."""
    paid = _Paid()
    for line in lines:
        paid.add(line)
    return paid.numbers()


def middle(values: Numbers) -> float:
    """Returns the median of numbers [values], with 8 bytes of memory for each of them.

    >>> middle(np.array([3.0, 1.0, 2.0])), middle(np.array([4.0, 1.0, 2.0, 3.0]))
    (2.0, 2.5)
    """
    ordered = np.sort(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[half])
    return (float(ordered[half - 1]) + float(ordered[half])) / 2


def completion_preference(orders: Iterable[OrderVerdict]) -> float:
    """Returns the judge's mean certainty that the completion is better; all orders have one."""
    return fmean(
        part["preference"] if part["order"] == "AB" else 1 - part["preference"] for part in orders
    )
