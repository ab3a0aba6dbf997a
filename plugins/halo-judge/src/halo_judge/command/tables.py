"""The table of `halo judge --validate`: numbers of judges and people, also as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.cli.terminal import grid
from halo_judge.judge_stage.cost import dollars
from halo_statistics import Proportion, p_text, rate_text


def numbers_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """Returns a table of rows with a name in the first cell and numbers in the others.

    A column with only ``-`` is left out.
    """
    filled = [
        place for place in range(len(header)) if not place or {row[place] for row in rows} != {"-"}
    ]
    shown = [[row[place] for place in filled] for row in rows]
    return grid(title, [header[place] for place in filled], shown)


def judge_header(confidence: float) -> list[str]:
    """Returns the titles of the columns of `judge_cells`."""
    return [
        "judge",
        f"accuracy,\n{confidence * 100:g} % interval",
        "orders\nagree",
        "first\nplace",
        "kappa",
        "alpha",
        "un-\nscored",
        "ECE",
        "dollars",
        "against\nlongest",
        "p",
    ]


def judge_cells(row: Mapping[str, Any]) -> list[str]:
    """Returns the cells of a judge's row."""
    position, against = row["position"], row["against_longest"]
    return [
        row["judge"],
        _rate(row["accuracy"]),
        _number(position and position["agreement"]),
        _number(position and position["first_shown"]["rate"]),
        _number(row["kappa"]),
        "-",
        f"{row['unscored'] / row['n']:.3f}" if row["unscored"] else "-",
        _number(row["calibration"] and row["calibration"]["expected_error"]),
        dollars(row["cost"]) if "cost" in row else "-",
        f"{against['difference']:+.3f}" if against else "-",
        p_text(against["p"]) if against else "-",
    ]


def people_cells(people: Mapping[str, Any]) -> list[str]:
    """Returns the cells of people's row: each person against the majority of the others."""
    alpha = _number(people["alpha"])
    return ["people", _rate(people["accuracy"]), *["-"] * 3, alpha, *["-"] * 5]


def _rate(share: Mapping[str, Any] | None) -> str:
    return "-" if share is None else rate_text(Proportion(**share))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def csv_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a judge's numbers as CSV columns, which are empty without a number."""
    accuracy, position = row["accuracy"] or {}, row["position"] or {}
    shown, sure = position.get("first_shown", {}), row["calibration"] or {}
    against = row["against_longest"] or {}
    return {
        **{name: row[name] for name in ("file", "judge", "n", "majority", "unscored")},
        "accuracy": accuracy.get("rate"),
        "accuracy_low": accuracy.get("low"),
        "accuracy_high": accuracy.get("high"),
        "agreement": position.get("agreement"),
        "first_shown": shown.get("rate"),
        "position_p": position.get("p"),
        "kappa": row["kappa"],
        "expected_calibration_error": sure.get("expected_error"),
        "brier": sure.get("brier"),
        "calls": row.get("calls"),
        "cost": row.get("cost"),
        "above_longest": against.get("difference"),
        "above_longest_low": against.get("low"),
        "above_longest_high": against.get("high"),
        "above_longest_p": against.get("p"),
        "beats_longest": row["beats_longest"],
    }
