"""The tags with a stage's results: a win rate with its interval, and facts about the stage.

MLflow has no column for an interval, and would draw a chart of bars for each fact.
"""

from __future__ import annotations

from collections.abc import Mapping

from halo_mlflow.store.metric_keys import CONSTANTS, constant_tag

WIN, WIN_LC = "halo.win", "halo.win_lc"
NOTHING_SCORED = "no scored comparison"


def result_tags(stage: str, numbers: Mapping[str, float], *, judged: bool) -> dict[str, str]:
    """Returns the tags of a stage's final numbers.

    Args:
        stage: The stage's id.
        numbers: Its final numbers.
        judged: Whether runs are compared by this stage.
    """
    tags = {
        constant_tag(stage, name): _text(numbers[name]) for name in CONSTANTS if name in numbers
    }
    if judged:
        tags[WIN] = with_interval(numbers, "win") or NOTHING_SCORED
        if "win_lc" in numbers:
            tags[WIN_LC] = with_interval(numbers, "win_lc")
    return tags


def with_interval(numbers: Mapping[str, float], name: str) -> str:
    """Returns a number with the ends of its interval, if it has one; "" without the number.

    >>> with_interval({"win": 0.7156, "win_lo": 0.6582, "win_hi": 0.769}, "win")
    '0.716 [0.658, 0.769]'
    """
    if name not in numbers:
        return ""
    low, high = numbers.get(f"{name}_lo"), numbers.get(f"{name}_hi")
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f"{numbers[name]:.3f}{interval}"


def _text(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"
