"""A suite's `matrix`: axes of named values, and the combinations that are run.

    matrix:
      size:   {small: {model.scratch.config.hidden_size: 64}, large: {...}}
      method: {sft: {stages.align: null}, kto: {stages.align.loss: kto}}
      exclude: [{size: large, method: sft}]
      include: [{size: large, method: kto, set: {stages.align.learning_rate: 1.0e-5}}]

A value of an axis maps paths of the spec, written as for ``--set``, to settings. One value of each
axis makes a cell, which is a run. If two of them set the same path, the later axis wins. An axis
can also list the settings of one path; see `matrix_values`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from halo_core.spec.document import Document, Keys
from halo_core.spec.matrix_values import VALUE_NAME, lists_values, value_name, values_of_path
from halo_core.spec.mistakes import Mistakes

KEY = "matrix"
RESERVED_KEYS = ("exclude", "include", "set")
MOST_CELLS = 1000
MOST_COMBINATIONS = 1_000_000


@dataclass(frozen=True)
class Setting:
    """A path and its value.

    Attributes:
        path: The dotted path, as in ``--set``.
        value: A plain value. None removes a stage.
        keys: The place of the value in the document. If an axis lists values of a path, that is the
            place of the path, so that a mistake in the path is reported once for all values.
        origin: The part of the matrix that sets it, for messages, as in ``method: kto``.
    """

    path: str
    value: Any
    keys: Keys
    origin: str


@dataclass(frozen=True)
class Cell:
    """One combination of the values of all axes.

    Attributes:
        id: The names of its values in the order of the axes, joined by ``/``.
        axes: The name of the chosen value by axis.
        settings: Its settings, in the order in which they are applied.
    """

    id: str
    axes: Mapping[str, str]
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Matrix:
    """The axes and the cells that are run.

    Attributes:
        axes: The names of the values by axis, in order.
        cells: The cells in order, the last axis changing fastest.
    """

    axes: Mapping[str, Sequence[str]]
    cells: Sequence[Cell]


def read_matrix(document: Document) -> Matrix:
    """Returns the matrix of a document.

    Raises:
        SpecErrors: With every mistake in it.
    """
    mistakes = Mistakes(document)
    reader = _Reader(document.tree[KEY], mistakes)
    mistakes.raise_if_any()
    cells = reader.cells()
    mistakes.raise_if_any()
    return Matrix({axis: list(named) for axis, named in reader.axes.items()}, cells)


class _Reader:
    """Reads a matrix, and collects mistakes."""

    def __init__(self, given: Any, mistakes: Mistakes) -> None:
        self.mistakes = mistakes
        self.axes: dict[str, dict[str, tuple[Setting, ...]]] = {}
        if not isinstance(given, dict):
            mistakes.add((KEY,), f"got {given!r}; expected axes of named values")
            return
        for axis, values in given.items():
            if axis == "set":
                mistakes.add((KEY, axis), "no axis can be called 'set'; it belongs in include")
            elif axis not in RESERVED_KEYS:
                self.axes[axis] = self._axis(axis, values)
        if not self.axes:
            mistakes.add((KEY,), "no axes; expected at least one, as in size: {small: {...}}")
        self._excluded = list(self._rules(given, "exclude", self._exclude))
        self._included = list(self._rules(given, "include", self._include))

    def cells(self) -> list[Cell]:
        """Returns the cells in order: all combinations that are not excluded, then the included."""
        # Combinations are counted before any is made. If rules exclude nearly all, the loop below
        # would run for hours without ever finding too many cells.
        if prod(len(values) for values in self.axes.values()) > MOST_COMBINATIONS:
            self._too_many(f"more than {MOST_COMBINATIONS} combinations")
            return []
        chosen: dict[tuple[str, ...], Cell] = {}
        for names in product(*self.axes.values()):
            if not self._is_excluded(names):
                chosen[names] = self._cell(names)
            if len(chosen) > MOST_CELLS:
                self._too_many(f"more than {MOST_CELLS} cells")
                return []
        for i, (names, settings) in enumerate(self._included):
            if names in chosen and not settings:
                message = "this cell exists already, and the line sets nothing; remove the line"
                self.mistakes.add((KEY, "include", i), message)
            cell = chosen.get(names) or self._cell(names)
            chosen[names] = Cell(cell.id, cell.axes, (*cell.settings, *settings))
        if not chosen:
            self.mistakes.add(
                (KEY, "exclude"), "every cell is excluded; expected at least one to remain"
            )
        if len(chosen) > MOST_CELLS:
            self._too_many(f"more than {MOST_CELLS} cells")
        return list(chosen.values())

    def _too_many(self, what: str) -> None:
        sizes = " x ".join(f"{axis} {len(values)}" for axis, values in self.axes.items())
        self.mistakes.add(
            (KEY,),
            f"{what} ({sizes}); a suite has at most {MOST_CELLS}: exclude some, or make two suites",
        )

    def _cell(self, names: tuple[str, ...]) -> Cell:
        axes = dict(zip(self.axes, names, strict=True))
        settings = [self.axes[axis][name] for axis, name in axes.items()]
        return Cell("/".join(names), axes, tuple(s for of_axis in settings for s in of_axis))

    def _is_excluded(self, names: tuple[str, ...]) -> bool:
        axes = dict(zip(self.axes, names, strict=True))
        return any(
            all(axes[axis] in wanted for axis, wanted in rule.items()) for rule in self._excluded
        )

    def _axis(self, axis: str, values: Any) -> dict[str, tuple[Setting, ...]]:
        keys: Keys = (KEY, axis)
        self._check_name("axis", axis, keys)
        if not isinstance(values, dict) or not values:
            what = f"got {values!r}; " if values not in (None, {}, []) else "no values; "
            self.mistakes.add(
                keys,
                f"{what}expected named values, as in small: {{seed: 1}}, or a path and its values, "
                "as in seed: [1, 2]",
            )
            return {}
        if lists_values(values):
            return self._values(axis, values, keys)
        return {
            name: self._settings(value, (*keys, name), f"{axis}: {name}")
            for name, value in values.items()
            if self._check_name("value", name, (*keys, name))
        }

    def _values(
        self, axis: str, values: Mapping[str, Any], keys: Keys
    ) -> dict[str, tuple[Setting, ...]]:
        found = values_of_path(values, keys, self.mistakes)
        if found is None:
            return {}
        path, named = found
        return {
            name: (Setting(path, value, (*keys, path), f"{axis}: {name}"),)
            for name, value in named.items()
        }

    def _check_name(self, what: str, name: str, keys: Keys) -> bool:
        if not VALUE_NAME.fullmatch(name):
            self.mistakes.add(
                keys,
                f"got the {what} {name!r}; expected a letter or a digit, followed by letters, "
                "digits, '-', '_', '+' and '.'",
            )
            return False
        return True

    def _settings(self, value: Any, keys: Keys, origin: str) -> tuple[Setting, ...]:
        if value is None:
            return ()
        if not isinstance(value, dict):
            self.mistakes.add(keys, f"got {value!r}; expected paths and values, as in seed: 1")
            return ()
        return tuple(
            Setting(path, setting, (*keys, path), origin) for path, setting in value.items()
        )

    def _rules(self, given: Mapping[str, Any], key: str, read: Any) -> Iterator[Any]:
        rules = given.get(key)
        if rules is None:
            return
        if not isinstance(rules, list):
            self.mistakes.add((KEY, key), f"got {rules!r}; expected a list of {{axis: value}}")
            return
        for i, rule in enumerate(rules):
            keys: Keys = (KEY, key, i)
            if not isinstance(rule, dict) or not rule:
                self.mistakes.add(keys, f"got {rule!r}; expected {{axis: value}}")
                continue
            before = self.mistakes.count
            result = read(rule, keys)
            if self.mistakes.count == before:
                yield result

    def _exclude(self, rule: Mapping[str, Any], keys: Keys) -> dict[str, tuple[str, ...]]:
        wanted = {}
        for axis, names in rule.items():
            names = names if isinstance(names, list) else [names]
            self._check_values(axis, names, (*keys, axis))
            wanted[axis] = tuple(self._value_name(axis, name) for name in names)
        return wanted

    def _include(
        self, rule: Mapping[str, Any], keys: Keys
    ) -> tuple[tuple[str, ...], tuple[Setting, ...]]:
        named = {axis: name for axis, name in rule.items() if axis != "set"}
        for axis, name in named.items():
            self._check_values(axis, [name], (*keys, axis))
        for axis in self.axes:
            if axis not in named:
                self.mistakes.add(keys, f"no value of the axis {axis!r}; expected one of each axis")
        names = tuple(self._value_name(axis, named.get(axis)) for axis in self.axes)
        settings = self._settings(rule.get("set"), (*keys, "set"), f"include: {'/'.join(names)}")
        return names, settings

    def _check_values(self, axis: str, names: Sequence[Any], keys: Keys) -> None:
        if axis not in self.axes:
            self.mistakes.unknown(keys, "axis", axis, self.axes)
            return
        # An axis without values has a mistake that is already reported.
        for name in names if self.axes[axis] else ():
            value = self._value_name(axis, name)
            if value not in self.axes[axis]:
                self.mistakes.unknown(keys, "value", value, self.axes[axis])

    def _value_name(self, axis: str, written: Any) -> str:
        """Returns the name of the value that a rule means: ``1e-06`` may mean ``1e-6``."""
        text, of_value = str(written), value_name(written)
        return text if text in self.axes.get(axis, {}) or of_value is None else of_value
