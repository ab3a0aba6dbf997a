"""The tables of a comparison as texts, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_report.compare.comparison import Comparison
from halo_report.compare.pairs import FEW, LEVEL
from halo_report.compare.rows import pair_rows, run_rows
from halo_report.comparison_page import TableView
from halo_statistics import p_text

DASH = "-"
_ALWAYS = ("run", "method", "win rate", "n", "ties", "no verdict")


def runs_table(found: Comparison) -> TableView:
    """Returns a row per judged model; columns of which nothing is known are left out."""
    rows = run_rows(found)
    columns: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        "run": lambda row: str(row["label"]),
        "method": lambda row: row["method"] or DASH,
        "win rate": lambda row: _share(row, ""),
        "failures lost": lambda row: _share(row, "_failures_lost") if row["unscored"] else DASH,
        "n": lambda row: str(row["n"]),
        "ties": lambda row: str(row["ties"]),
        "no verdict": lambda row: str(row["unscored"]),
        "length controlled": lambda row: _number(row["rate_length_controlled"], ".3f"),
        "flips": lambda row: _number(row["flip"], ".1%"),
        "length": _length,
        "cost": lambda row: _number(row["cost"], ".2f"),
    }
    texts = {title: [text(row) for row in rows] for title, text in columns.items()}
    shown = [t for t, of in texts.items() if t in _ALWAYS or any(text != DASH for text in of)]
    return TableView(
        f"Win rates with exact {_percent(found.confidence)} intervals",
        shown,
        [list(row) for row in zip(*(texts[title] for title in shown), strict=True)],
        texts=2,
        note=_runs_note(shown),
    )


def _runs_note(shown: Sequence[str]) -> str:
    parts = ["Ties are half points; comparisons without a verdict are left out"]
    if "failures lost" in shown:
        parts[0] += ", and are losses in the column 'failures lost'"
    if "length" in shown:
        parts.append("Lengths are medians in tokens, of the model and of what it is judged against")
    if "length controlled" in shown:
        parts.append("Length controlled: the win rate at equal lengths, as far as a fit tells")
    if "flips" in shown:
        parts.append("A flip: the two orders preferred different texts")
    if "cost" in shown:
        parts.append("Costs are dollars")
    return ". ".join(parts) + "."


def pairs_table(found: Comparison) -> TableView:
    """Returns a row per test."""
    header = ["first", "second", "test", "n", "difference", "p", "p (Holm)"]
    tested = ["p", "p_holm"]
    if any(entry.cell.rate and entry.cell.rate.unscored for entry in found.entries):
        header.append("p (failures lost)")
        tested.append("p_failures_lost")
    rows = [
        [
            *(str(row[name]) for name in ("first", "second", "test", "n")),
            _difference(row),
            *(p_text(row[name]) for name in tested),
        ]
        for row in pair_rows(found)
    ]
    shown = sum(pair.is_shown for pair in found.pairs)
    level = f"{LEVEL * 100:g} % level"
    title = f"{shown} of {len(rows)} pairs differ at the {level} after Holm's correction"
    return TableView(title, header, rows, texts=3, note=_pairs_note(found))


def _pairs_note(found: Comparison) -> str:
    tests = {pair.test.test for pair in found.pairs}
    parts = []
    if "mcnemar" in tests:
        parts.append(
            "McNemar's exact test on the prompts that both were judged on, and in brackets the "
            f"bootstrap {_percent(found.confidence)} interval of the difference over them"
        )
    if "fisher" in tests:
        parts.append(
            "Fisher's exact test where the prompts are not the same: it knows nothing of the luck "
            "of the prompts, and counts a tie as no win"
        )
    if found.baseline is None and len(found.entries) > FEW:
        first = found.entries[0].label
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
