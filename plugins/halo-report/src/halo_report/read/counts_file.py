"""Reads counts of wins from a CSV file, in the form of the report's authors or in a simple form.

The authors' form has the columns ``exp_name``, ``total``, ``candidate_wins``, ``baseline_wins`` and
``unparsed``. The value of ``exp_name`` says what a row is:

* ``archangel_<method>_<model>``: a cell of the matrix, judged against the SFT target;
* ``fracdata_kto_<model>_FD<f>_WD<w>_FU<f>_WU<w>``: KTO with a fraction of the desirable (FD) or
  the undesirable (FU) data kept, and weights of the losses (WD, WU) that compensate for it;
* any other row belongs to no figure of the report and is listed separately.

The simple form has ``model``, ``method``, ``wins`` and ``n``, and may have ``losses`` and
``unparsed``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import DataError, PathError
from halo_report.read.cell_matrix import CellMatrix, ImbalancePoint, JudgedCell, Lengths
from halo_statistics.win_rate import WinRate

METHODS = ("unaligned", "sft", "csft", "ppo", "dpo", "slic", "kto")
"""Methods in the order of the report. All except the first two also occur after ``sft+``."""
AUTHORS = ("exp_name", "total", "candidate_wins", "baseline_wins", "unparsed")
ANYONE = ("model", "method", "wins", "n")
_FRACTIONS_KEPT = re.compile(r"fracdata_kto_(\w+?)_FD([\d.]+)_WD([\d.]+)_FU([\d.]+)_WU([\d.]+)$")
_MODEL = re.compile(r"([a-z]+)(\d+)(?:-(\d+))?b$")


@dataclass(frozen=True)
class WinCounts:
    """The content of a file of counts.

    Attributes:
        matrix: Methods by models.
        points: Points of the imbalance curve.
        others: Rows that belong to neither. Their `x` is their name.
    """

    matrix: CellMatrix
    points: Sequence[ImbalancePoint]
    others: Sequence[JudgedCell]


def read_counts(path: Path) -> WinCounts:
    """Returns the counts in a file. Failures count as losses, as in the report.

    Raises:
        PathError: When there is no such file.
        DataError: When it lacks columns, or a row's counts do not add up.
    """
    rows, authors = _rows(path)
    cells: dict[tuple[str, str], JudgedCell] = {}
    points: list[ImbalancePoint] = []
    others: list[JudgedCell] = []
    for line, row in rows:
        where = f"{path}:{line}"
        name = row["exp_name"] if authors else f"archangel_{row['method']}_{row['model']}"
        family, *parts = name.split("_") if authors else ["archangel", row["method"], row["model"]]
        fractions = _FRACTIONS_KEPT.match(name)
        if family == "archangel" and len(parts) == 2:
            cell = _cell(parts[0], parts[1], row, where, authors)
            if (cell.x, cell.series) in cells:
                raise DataError(f"{name} is in the file twice; keep one row", location=where)
            cells[cell.x, cell.series] = cell
        elif fractions:
            cell = _cell("kto", fractions[1], row, where, authors)
            points += _imbalance_points(fractions, cell)
        else:
            others.append(_cell(name, "", row, where, authors))
    return WinCounts(_matrix(path, cells), points, others)


def _rows(path: Path) -> tuple[list[tuple[int, Mapping[str, str]]], bool]:
    """Returns the rows with their lines, and whether they have the authors' form."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows: list[tuple[int, Mapping[str, str]]] = [(reader.line_num, r) for r in reader]
    except FileNotFoundError:
        raise PathError("no such file", location=str(path)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PathError(f"cannot be read as CSV: {error}", location=str(path)) from error
    authors = set(AUTHORS) <= set(columns)
    if not authors and not set(ANYONE) <= set(columns):
        raise DataError(
            f"got the columns {', '.join(columns) or 'none'}; expected {', '.join(ANYONE)} (and "
            f"losses, unparsed), or the authors' {', '.join(AUTHORS)}",
            location=str(path),
        )
    if not rows:
        raise DataError("has no rows; expected one per model and method", location=str(path))
    return rows, authors


def _cell(x: str, series: str, row: Mapping[str, str], where: str, authors: bool) -> JudgedCell:
    names = ("candidate_wins", "baseline_wins", "total") if authors else ("wins", "losses", "n")
    wins, total = _count(row, names[0], where), _count(row, names[2], where)
    unparsed = _count(row, "unparsed", where, default=0)
    # The simple form may omit losses. Without ties they are the remaining comparisons.
    losses = _count(row, names[1], where, default=total - wins - unparsed)
    if wins + losses + unparsed != total or losses < 0:
        raise DataError(
            f"{wins} wins, {losses} losses and {unparsed} unparsed are not {total} comparisons; "
            "expected counts that add up",
            location=where,
        )
    if total == 0:
        raise DataError("0 comparisons; expected at least 1", location=where)
    tokens = row.get("candidate_mean_tokens") or row.get("mean_tokens")
    lengths = Lengths(float(tokens), None) if tokens else None
    return JudgedCell(x, series, rate=WinRate(wins, losses, 0, unparsed), lengths=lengths)


def _count(row: Mapping[str, str], name: str, where: str, default: int | None = None) -> int:
    text = row.get(name)
    if text in (None, "") and default is not None:
        return default
    if text is None or not text.strip().isdigit():
        raise DataError(f"{name} is {text!r}; expected a whole number", location=where)
    return int(text)


def _imbalance_points(fractions: re.Match[str], cell: JudgedCell) -> list[ImbalancePoint]:
    """Returns the cell as a point of its side's curve, or of both curves if all data are kept."""
    desirable, undesirable = float(fractions[2]), float(fractions[4])
    sides = {"desirable": desirable, "undesirable": undesirable}
    shown = [side for side, share in sides.items() if share < 1] or list(sides)
    return [ImbalancePoint(side, sides[side], cell) for side in shown]


def _matrix(path: Path, cells: Mapping[tuple[str, str], JudgedCell]) -> CellMatrix:
    known = [*METHODS, *(f"sft+{method}" for method in METHODS[2:])]
    methods = list(dict.fromkeys(x for x, _ in cells))
    xs = [x for x in known if x in methods] + [x for x in methods if x not in known]
    series = list(dict.fromkeys(series for _, series in cells))
    labels = {x: method_label(x) for x in xs} | {name: model_label(name) for name in series}
    return CellMatrix(path.name, "method", "model", xs, series, cells, "lost", labels)


def method_label(name: str) -> str:
    """Returns a method's name as the report writes it.

    >>> method_label("sft+slic"), method_label("unaligned")
    ('SFT+SLiC', 'unaligned')
    """
    if name == "unaligned":
        return name
    return name.upper().replace("SLIC", "SLiC")


def model_label(name: str) -> str:
    """Returns a model's name as people write it.

    >>> model_label("pythia1-4b"), model_label("llama30b"), model_label("mine")
    ('Pythia 1.4B', 'Llama 30B', 'mine')
    """
    match = _MODEL.match(name)
    if not match:
        return name
    decimals = f".{match[3]}" if match[3] else ""
    return f"{match[1].capitalize()} {match[2]}{decimals}B"
