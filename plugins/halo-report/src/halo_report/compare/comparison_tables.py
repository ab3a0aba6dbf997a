"""The tables of a comparison: rows of plain values for files, and text for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_report.compare.conditions import Conditions
from halo_report.compare.judged_models import JudgedModel
from halo_report.compare.pair_tests import FEW, LEVEL, ModelPair
from halo_report.compare.run_comparison import RunComparison
from halo_report.pages.page_parts import TableView
from halo_report.read.cell_matrix import share_fields
from halo_report.read.equal_lengths import rate_at_equal_lengths
from halo_statistics import p_text

DASH = "-"
AS_LOSS = "no verdict as loss"
"""Title of the win rate in which comparisons without a verdict count as losses."""
_ALWAYS = ("run", "method", "win rate", "n", "ties", "no verdict")


def run_rows(comparison: RunComparison) -> list[dict[str, Any]]:
    """Returns one row for each judged model. Unknown numbers are None."""
    return [
        _run_row(model, conditions)
        for model, conditions in zip(comparison.models, comparison.conditions, strict=True)
    ]


def _run_row(model: JudgedModel, conditions: Conditions) -> dict[str, Any]:
    rate, lengths, metrics = model.cell.rate, model.cell.lengths, model.judge.metrics
    assert rate is not None
    lost = share_fields(rate.failures_lost)
    return {
        "label": model.label,
        "run": model.run.folder.name,
        "stage": model.judge.id,
        "method": conditions.method or None,
        "trained_by": conditions.trained or None,
        "judge": judge_text(conditions) or None,
        "n": rate.scored,
        "wins": rate.wins,
        "losses": rate.losses,
        "ties": rate.ties,
        "unscored": rate.unscored,
        "confidence": rate.confidence,
        **share_fields(rate.main),
        **{f"{name}_failures_lost": value for name, value in lost.items()},
        **{f"{name}_length_controlled": v for name, v in _at_equal_lengths(model).items()},
        "flip": metrics.get("flip"),
        "length_median": lengths.median if lengths else None,
        "baseline_length_median": metrics.get("baseline_len"),
        "calls": metrics.get("calls"),
        "cost": metrics.get("cost"),
    }


def _at_equal_lengths(model: JudgedModel) -> dict[str, float | None]:
    """Returns the length-controlled win rate if the judge stage has one.

    The interval is computed again, because the stage's interval has the stage's own confidence.
    """
    return share_fields(rate_at_equal_lengths(model.cell))


def judge_text(conditions: Conditions) -> str:
    """Returns the judge's name and the model that it asks; "" if they are not known."""
    name, model = conditions.judge.get("use", ""), conditions.judge.get("model")
    return f"{name} ({model})" if model and model != name else str(name)


def pair_rows(comparison: RunComparison) -> list[dict[str, Any]]:
    """Returns one row for each test. The ends of an interval are None if prompts are not paired."""
    return [_pair_row(pair, comparison.confidence) for pair in comparison.pairs]


def _pair_row(pair: ModelPair, confidence: float) -> dict[str, Any]:
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
    """Returns rows as CSV with a header, with None as an empty field; "" without rows."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def runs_table(comparison: RunComparison) -> TableView:
    """Returns one row for each judged model. Columns without any known value are left out."""
    rows = run_rows(comparison)
    columns: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        "run": lambda row: str(row["label"]),
        "method": lambda row: row["method"] or DASH,
        "win rate": lambda row: _share(row, ""),
        AS_LOSS: lambda row: _share(row, "_failures_lost") if row["unscored"] else DASH,
        "n": lambda row: str(row["n"]),
        "ties": lambda row: str(row["ties"]),
        "no verdict": lambda row: str(row["unscored"]),
        "length controlled": lambda row: _number(row["rate_length_controlled"], ".3f"),
        "flips": lambda row: _number(row["flip"], ".1%"),
        "length": _length,
        "cost": lambda row: _number(row["cost"], ".2f"),
    }
    texts = {title: [text(row) for row in rows] for title, text in columns.items()}
    shown = [
        title
        for title, column in texts.items()
        if title in _ALWAYS or any(text != DASH for text in column)
    ]
    return TableView(
        f"Win rates with exact {_percent(comparison.confidence)} intervals",
        shown,
        [list(row) for row in zip(*(texts[title] for title in shown), strict=True)],
        texts=2,
        note=_runs_note(shown),
    )


def _runs_note(shown: Sequence[str]) -> str:
    parts = ["Ties are half points; comparisons without a verdict are left out"]
    if AS_LOSS in shown:
        parts[0] += f", and are losses in the column '{AS_LOSS}'"
    if "length" in shown:
        parts.append(
            "Length: the median tokens of the answers, and of what they are judged against"
        )
    if "length controlled" in shown:
        parts.append(
            "Length controlled: an estimate of the win rate if both texts were equally long"
        )
    if "flips" in shown:
        parts.append(
            "Flips: the share of prompts for which the two orders preferred different texts"
        )
    if "cost" in shown:
        parts.append("Costs are in dollars")
    return ". ".join(parts) + "."


def pairs_table(comparison: RunComparison) -> TableView:
    """Returns one row for each test."""
    header = ["first", "second", "test", "n", "difference", "p", "p (Holm)"]
    tested = ["p", "p_holm"]
    if any(model.cell.rate and model.cell.rate.unscored for model in comparison.models):
        header.append(f"p ({AS_LOSS})")
        tested.append("p_failures_lost")
    rows = [
        [
            *(str(row[name]) for name in ("first", "second", "test", "n")),
            _difference(row),
            *(p_text(row[name]) for name in tested),
        ]
        for row in pair_rows(comparison)
    ]
    shown = sum(pair.is_shown for pair in comparison.pairs)
    level = f"{LEVEL * 100:g} % level"
    title = f"{shown} of {len(rows)} pairs differ at the {level} after Holm's correction"
    return TableView(title, header, rows, texts=3, note=_pairs_note(comparison))


def _pairs_note(comparison: RunComparison) -> str:
    tests = {pair.test.test for pair in comparison.pairs}
    parts = []
    if "mcnemar" in tests:
        parts.append(
            "mcnemar: McNemar's exact test on the prompts that both were judged on. In brackets: "
            f"the bootstrap {_percent(comparison.confidence)} interval of the difference on them"
        )
    if "fisher" in tests:
        parts.append(
            "fisher: Fisher's exact test of the numbers of wins, because both have fewer than half "
            "of their prompts in common. It counts a tie as not won"
        )
    if comparison.baseline is None and len(comparison.models) > FEW:
        first = comparison.models[0].label
        parts.append(f"All are tested against the first, {first}; choose with --baseline")
    return ". ".join(parts) + "." if parts else ""


def _share(row: Mapping[str, Any], suffix: str) -> str:
    rate, low, high = (row[f"{name}{suffix}"] for name in ("rate", "low", "high"))
    return DASH if rate is None else f"{rate:.3f} [{low:.3f}, {high:.3f}]"


def _difference(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['difference']:+.3f}"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _length(row: Mapping[str, Any]) -> str:
    own, against = row["length_median"], row["baseline_length_median"]
    return _number(own, "g") if against is None else f"{_number(own, 'g')} : {against:g}"


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else format(value, form)


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
