"""A comparison as rows of plain values: what `--json` prints and the CSV files hold."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from halo_report.compare.circumstances import Circumstances
from halo_report.compare.comparison import Comparison
from halo_report.compare.entries import Entry
from halo_report.compare.pairs import Pair
from halo_report.matrix_json import share_fields
from halo_statistics import POINTS, length_controlled_rate


def run_rows(found: Comparison) -> list[dict[str, Any]]:
    """Returns a row per judged model; a number that is not known is None."""
    return [
        _run_row(entry, judged) for entry, judged in zip(found.entries, found.judged, strict=True)
    ]


def _run_row(entry: Entry, judged: Circumstances) -> dict[str, Any]:
    rate, lengths, told = entry.cell.rate, entry.cell.lengths, entry.judge.metrics
    assert rate is not None
    lost = share_fields(rate.failures_lost)
    return {
        "label": entry.label,
        "run": entry.run.folder.name,
        "stage": entry.judge.id,
        "method": judged.method or None,
        "trained_by": judged.trained or None,
        "judge": judge_text(judged) or None,
        "n": rate.scored,
        "wins": rate.wins,
        "losses": rate.losses,
        "ties": rate.ties,
        "unscored": rate.unscored,
        "confidence": rate.confidence,
        **share_fields(rate.main),
        **{f"{name}_failures_lost": value for name, value in lost.items()},
        **{f"{name}_length_controlled": v for name, v in _at_equal_lengths(entry).items()},
        "flip": told.get("flip"),
        "length_median": lengths.median if lengths else None,
        "baseline_length_median": told.get("baseline_len"),
        "calls": told.get("calls"),
        "cost": told.get("cost"),
    }


def _at_equal_lengths(entry: Entry) -> dict[str, float | None]:
    """Returns the length-controlled win rate where the judge stage tells one.

    Its interval is made anew: the stage's has the confidence that the stage was given.
    """
    if "win_lc" not in entry.judge.metrics:
        return dict.fromkeys(("rate", "low", "high"))
    scored = [each for each in entry.judge.verdicts if each["result"] != "unscored"]
    assert entry.cell.rate is not None
    found = length_controlled_rate(
        [POINTS[each["result"]] for each in scored],
        [len(each["completion"]) for each in scored],
        [len(each["baseline"]) for each in scored],
        confidence=entry.cell.rate.confidence,
    )
    return {"rate": found.rate, "low": found.low, "high": found.high}


def judge_text(judged: Circumstances) -> str:
    """Returns the judge's name, with the model that it asks; "" where it is not known."""
    name, model = judged.judge.get("use", ""), judged.judge.get("model")
    return f"{name} ({model})" if model and model != name else str(name)


def pair_rows(found: Comparison) -> list[dict[str, Any]]:
    """Returns a row per test; the ends of an interval are None where prompts are not paired."""
    return [_pair_row(pair, found.confidence) for pair in found.pairs]


def _pair_row(pair: Pair, confidence: float) -> dict[str, Any]:
    return {
        "first": pair.first.label,
        "second": pair.second.label,
        "test": pair.test.test,
        "n": pair.test.n,
        "confidence": confidence,
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "p": pair.test.p,
        "p_holm": pair.test.p_holm,
        "p_failures_lost": pair.test.p_other,
        "shown": pair.is_shown,
    }


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows as CSV with a header; None is an empty field, and "" without rows."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
