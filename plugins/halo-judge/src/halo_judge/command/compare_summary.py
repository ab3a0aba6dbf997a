"""The final numbers of `halo judge --a FILE --b FILE`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from halo_core.feedback import prompt_id
from halo_core.workspace.records import VerdictLine
from halo_judge.judge_stage.cost import dollars
from halo_judge.judge_stage.verdict_metrics import summary_metrics
from halo_judge.judge_stage.verdict_numbers import VerdictNumbers
from halo_statistics import (
    POINTS,
    Proportion,
    clustered_rate,
    length_bias,
    position_bias,
    rate_text,
    win_rate,
)


def files_summary(verdicts: Collection[VerdictLine], *, confidence: float) -> dict[str, Any]:
    """Returns the numbers of a comparison of two files, as `--json` prints them.

    `metrics` are those of the stage `judge`. If a prompt has several comparisons, `win_lo` and
    `win_hi` take into account that these belong together. `characters` are the median lengths of
    both sides. `position` and `length` are None if they are not known.

    Args:
        verdicts: All lines.
        confidence: Confidence level of every interval, in (0, 1).
    """
    metrics = summary_metrics(VerdictNumbers(verdicts), confidence=confidence)
    scored = [line for line in verdicts if line["result"] != "unscored"]
    points = [POINTS[line["result"]] for line in scored]
    prompts = [prompt_id(line["prompt"], line.get("tools")) for line in scored]
    if scored and len(set(prompts)) < len(prompts):
        share = clustered_rate(points, prompts, confidence=confidence)
        metrics |= {"win_lo": share.low, "win_hi": share.high}
    lengths = [len(line["completion"]) for line in scored]
    others = [len(line["baseline"]) for line in scored]
    length = length_bias(points, lengths, others, confidence=confidence) if scored else None
    return {
        "metrics": metrics,
        "position": position(scored, confidence),
        "length": length and asdict(length),
        "characters": [
            median(len(line[side]) for line in verdicts) for side in ("completion", "baseline")
        ],
    }


def position(scored: Sequence[VerdictLine], confidence: float) -> dict[str, Any] | None:
    """Returns the judge's position bias; None if it was asked in only one order."""
    twice = [line["orders"] for line in scored if len(line["orders"]) == 2]
    pairs = [(str(first["winner"]), str(second["winner"])) for first, second in twice]
    return asdict(position_bias(pairs, confidence=confidence)) if pairs else None


def files_lines(
    summary: dict[str, Any], verdicts: Collection[VerdictLine], *, confidence: float
) -> list[tuple[str, str]]:
    """Returns the numbers for people, as pairs of label and text."""
    metrics = summary["metrics"]
    rate = win_rate((line["result"] for line in verdicts), confidence=confidence)
    lines = [
        (f"win rate, {confidence * 100:g} % interval", _share(metrics, "win")),
        ("wins, losses, ties", f"{rate.wins}, {rate.losses}, {rate.ties}"),
    ]
    if rate.ties and rate.ties_left_out:
        lines.append(("ties left out", rate_text(rate.ties_left_out)))
    if rate.unscored and rate.failures_lost:
        lines.append(("unscored", f"{rate.unscored} of {rate.total}"))
        lines.append(("unscored as lost", rate_text(rate.failures_lost)))
    if "win_weighted" in metrics:
        lines.append(("weighted by certainty", f"{metrics['win_weighted']:.3f}"))
    lines += [*_position_lines(summary["position"]), *_length_lines(summary)]
    if "calls" in metrics:
        cost = f"{dollars(metrics['cost'])} dollars" if "cost" in metrics else "at an unknown price"
        lines.append(("requests", f"{metrics['calls']:g}, {cost}"))
    return lines


def _share(metrics: dict[str, float], name: str) -> str:
    if name not in metrics:
        return "none: nothing was scored"
    return f"{metrics[name]:.3f} [{metrics[f'{name}_lo']:.3f}, {metrics[f'{name}_hi']:.3f}]"


def _position_lines(position: dict[str, Any] | None) -> list[tuple[str, str]]:
    if position is None:
        return []
    shown = Proportion(**position["first_shown"])
    return [
        ("flips", f"{position['flips']} of {position['n']} asked in both orders"),
        ("points of the place shown first", f"{rate_text(shown)} (0.5 without a bias)"),
    ]


def _length_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    ours, theirs = summary["characters"]
    lines = []
    if "win_lc" in summary["metrics"]:
        equal = _share(summary["metrics"], "win_lc")
        lines.append(("at equal lengths", f"{equal} (length-controlled)"))
    if summary["length"] and summary["length"]["longer"]:
        longer = Proportion(**summary["length"]["longer"])
        lines.append(("points of the longer text", rate_text(longer)))
    return [*lines, ("median characters", f"{ours:g} against {theirs:g}")]
