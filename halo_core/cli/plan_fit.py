"""The needs of stages on the devices of a plan, as lines, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from halo_core.cli.terminal import table

if TYPE_CHECKING:
    from halo_core.devices import Devices
    from halo_core.fit import Fit
    from halo_core.suite.plan import SharedStage, SuitePlan

_ORIGINS = {
    "asked": "as asked",
    "here": "of this machine",
    "example": "an example, because this machine has no GPU; --devices names yours",
}
_ANSWERS = {True: "yes", False: "NO", None: "?"}
WIDEST = 80
"""Number of columns of a plan of a suite, and of the parts of a stage."""
SHORTEST = 0.01
"""Number of hours that a shorter time is shown as."""
_SHORT = {
    "weights": "wts",
    "gradients": "grad",
    "unsharded gradients": "full",
    "optimizer": "opt",
    "reference": "ref",
    "activations": "act",
    "temporary": "tmp",
    "cache": "cache",
}
"""Titles of columns for the parts of a training; of other parts, the first letters."""


def devices_line(devices: Devices) -> str:
    """Returns a line on the devices that a plan is made for."""
    return f"devices: {devices}, {_ORIGINS[devices.origin]}; {devices.usable:.1f} GB of each count"


def devices_json(devices: Devices) -> dict[str, Any]:
    """Returns the devices of a plan for ``--json``."""
    return {
        "count": devices.count,
        "gigabytes": devices.gigabytes,
        "usable": devices.usable,
        "tflops": devices.tflops,
        "bandwidth": devices.bandwidth,
        "name": devices.name,
        "origin": devices.origin,
    }


def fit_json(fit: Fit | None) -> dict[str, Any] | None:
    """Returns a stage's needs for ``--json``; None if they are unknown."""
    if fit is None:
        return None
    return {
        "used": fit.used,
        "gigabytes": fit.gigabytes,
        "usable": fit.usable,
        "parts": dict(fit.parts),
        "fits": fit.fits,
        "problem": fit.problem,
        "tokens_per_second": fit.tokens_per_second,
        "hours": fit.hours,
        "assumed": list(fit.assumed),
        "changes": [
            {"options": c.options, "gigabytes": c.gigabytes, "fits": c.fits} for c in fit.changes
        ],
    }


def fit_lines(fit: Fit) -> list[tuple[str, str]]:
    """Returns lines on a stage's needs, each with its label."""
    lines = [("memory", _memory(fit))]
    lines += [("", row) for row in _rows([f"{name} {gb:g}" for name, gb in fit.parts.items()])]
    if fit.tokens_per_second is not None:
        speed = f"about {_two_digits(fit.tokens_per_second):,g} tokens per second on {fit.used}"
        hours = "" if fit.hours is None else f", {hours_text(fit.hours)} hours"
        lines.append(("speed", speed + hours))
    lines += [("assumed" if not place else "", text) for place, text in enumerate(fit.assumed)]
    for place, change in enumerate(fit.changes):
        verdict = "fits" if change.fits else "too much"
        text = f"{change.gigabytes:,.1f} GB, {verdict}: {change.options}"
        lines.append(("instead" if not place else "", text))
    return lines


def _memory(fit: Fit) -> str:
    verdict = {True: "fits", False: "DOES NOT FIT", None: "unknown whether it fits"}[fit.fits]
    problem = f"; {fit.problem}" if fit.problem else ""
    return f"{fit.gigabytes:,.1f} of {fit.usable:.1f} GB per device: {verdict}{problem}"


def hours_text(hours: float) -> str:
    """Returns hours with two digits, rounded up, and at least a hundredth.

    >>> hours_text(0.0213), hours_text(3.14), hours_text(152.0), hours_text(0.00001)
    ('0.022', '3.2', '160', '0.01')
    """
    hours = max(hours, SHORTEST)
    scale = 10 ** (1 - math.floor(math.log10(hours)))
    return f"{math.ceil(round(hours * scale, 6)) / scale:,g}"


def _two_digits(value: float) -> float:
    """Returns a number cut after two digits, so that it promises no speed that does not exist."""
    scale: float = 10.0 ** (1 - math.floor(math.log10(value)))
    return math.floor(value * scale) / scale


def _rows(texts: Sequence[str]) -> list[str]:
    rows: list[str] = []
    for text in texts:
        if rows and len(rows[-1]) + 2 + len(text) <= WIDEST - 15:
            rows[-1] += f", {text}"
        else:
            rows.append(text)
    return rows


def cell_columns(plan: SuitePlan) -> Mapping[str, tuple[str, str, str]]:
    """Returns memory, fit and hours of each cell; empty if no stage of the suite needs a device.

    The memory is that of the largest stage. The hours are those of all stages to do, also of shared
    ones, which are computed once.
    """
    of_folder = {shared.stage.folder: shared.forecast.fit for shared in plan.stages}
    if not any(of_folder.values()):
        return {}
    columns = {}
    for id_, made in plan.plans.items():
        todo = [stage for stage in made.stages if stage.state != "done"]
        fits = [fit for stage in todo if (fit := of_folder[stage.folder]) is not None]
        columns[id_] = _cell(fits)
    return columns


def _cell(fits: Sequence[Fit]) -> tuple[str, str, str]:
    if not fits:
        return "-", "-", "-"
    answers = [fit.fits for fit in fits]
    fit = False if False in answers else (None if None in answers else True)
    known = [each.hours for each in fits if each.hours is not None]
    hours = hours_text(sum(known)) if known else "?"
    if len(known) < len(fits):
        hours = f"{hours}+" if known else "?"
    return f"{max(each.gigabytes for each in fits):,.1f}", _ANSWERS[fit], hours


def stage_tables(plan: SuitePlan) -> list[str]:
    """Returns a table per stage id of what its distinct sizes need, and what to change."""
    lines: list[str] = []
    ids = dict.fromkeys(shared.stage.id for shared in plan.stages)
    for id_ in ids:
        alike: dict[str, list[tuple[SharedStage, Fit]]] = {}
        for shared in plan.todo:
            fit = shared.forecast.fit
            if shared.stage.id == id_ and fit is not None:
                alike.setdefault(repr(fit), []).append((shared, fit))
        if alike:
            lines += ["", *_stage_table(id_, list(alike.values()))]
    return lines


def _stage_table(id_: str, groups: Sequence[Sequence[tuple[SharedStage, Fit]]]) -> list[str]:
    names = dict.fromkeys(name for group in groups for name in group[0][1].parts)
    short = {name: _SHORT.get(name, name[:4]) for name in names}
    rows = [_stage_row(group, list(names)) for group in groups]
    legend = ", ".join(f"{title} {name}" for name, title in short.items() if title != name)
    lines = [
        f"{id_}: GB per device at its peak, and by part",
        *wrap(f"({legend}; tok/s tokens per second)", WIDEST),
        table([id_, "peak", *short.values(), "tok/s"], rows),
    ]
    for text in dict.fromkeys(line for group in groups for line in group[0][1].assumed):
        lines += wrap(f"assumed: {text}", WIDEST, initial_indent="  ", subsequent_indent="    ")
    return [*lines, *(line for group in groups for line in _changes(group))]


def _stage_row(group: Sequence[tuple[SharedStage, Fit]], names: Sequence[str]) -> list[str]:
    _, fit = group[0]
    speed = fit.tokens_per_second
    return [
        _name(group),
        f"{fit.gigabytes:,.1f}",
        *(f"{fit.parts[name]:,.1f}" if name in fit.parts else "-" for name in names),
        "?" if speed is None else f"{_two_digits(speed):,g}",
    ]


def _name(group: Sequence[tuple[SharedStage, Fit]]) -> str:
    cells = [cell for shared, _ in group for cell in shared.cells]
    return cells[0] + (f" +{len(cells) - 1}" if len(cells) > 1 else "")


def _changes(group: Sequence[tuple[SharedStage, Fit]]) -> list[str]:
    _, fit = group[0]
    if fit.fits is not False:
        return []
    lines = [f"  {_name(group)} does not fit" + (f": {fit.problem}" if fit.problem else "")]
    for change in fit.changes:
        verdict = "fits" if change.fits else "too much"
        lines.append(f"    {change.gigabytes:,.1f} GB, {verdict}: {change.options}")
    return lines
