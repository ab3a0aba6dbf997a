"""A suite: a spec with a matrix, and the checked spec of each cell."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import HaloError, SpecErrors, UserError, renewed
from halo_core.garbage import few_collections
from halo_core.hashing import short_hash
from halo_core.plugins.discovery import discover
from halo_core.plugins.registry import Registry
from halo_core.spec.data_sets import SetSpec
from halo_core.spec.document import Document, apply_overrides, read_document
from halo_core.spec.matrix import KEY, Cell, Matrix, read_matrix
from halo_core.spec.matrix_cell import check_overrides, expand
from halo_core.spec.mistakes import Mistakes, unknown_name
from halo_core.spec.shared_by_suite import SharedBySuite
from halo_core.spec.spec import Spec, SuiteCell, check_spec, set_of

CELLS_SHOWN = 3
HASH_LENGTH = 6


@dataclass(frozen=True)
class Suite:
    """A checked suite.

    Attributes:
        name: Its name, which is the recipe of all its runs.
        folder_name: Its folder under ``suites/``: the name and a hash of all cells after
            ``--set``.
        path: The file.
        overrides: The values from ``--set``.
        matrix: Its axes and all its cells.
        specs: The checked specs of the requested cells, in order.
    """

    name: str
    folder_name: str
    path: Path
    overrides: Mapping[str, str]
    matrix: Matrix
    specs: Sequence[Spec]


def is_suite(document: Document, overrides: Mapping[str, str]) -> bool:
    """Returns whether a spec has a matrix, or gets one from its overrides."""
    return KEY in document.tree or any(_of_matrix(name) for name in overrides)


def _of_matrix(path: str) -> bool:
    return path.partition(".")[0] == KEY


@few_collections()
def load_suite(
    path: Path,
    overrides: Mapping[str, str] | None = None,
    *,
    only: Sequence[str] = (),
    registry: Registry | None = None,
    document: Document | None = None,
) -> Suite:
    """Returns the checked suite in a file.

    Args:
        path: The YAML file.
        overrides: Dotted paths and YAML values, as from ``--set``. Paths that begin with
            ``matrix`` change the matrix, the others change every cell.
        only: Ids of the cells to check, with ``*`` for any text; empty for all.
        registry: The installed components; discovered by default.
        document: The file's content, if it is already read. It is changed.

    Raises:
        PathError: When the file cannot be read.
        SpecErrors: With every mistake found in the matrix, or in any cell.
        UserError: When an item of `only` matches no cell.
    """
    overrides = overrides or {}
    document = document or read_document(path)
    apply_overrides(document, {p: text for p, text in overrides.items() if _of_matrix(p)})
    matrix = read_matrix(document)
    rest = {p: text for p, text in overrides.items() if not _of_matrix(p)}
    expanded = {cell.id: (cell, *expand(document, cell, rest)) for cell in matrix.cells}
    check_overrides({id_: made for id_, (_, made, _) in expanded.items()}, rest)
    name = document.tree.get("name")
    trees = [[id_, made.tree] for id_, (_, made, _) in expanded.items()]
    # The hash covers all cells, so that `--cell` and the jobs of one suite share one folder.
    folder = f"{name}-{_hash(name, trees)}"
    chosen = [expanded[id_] for id_ in chosen_cells(matrix, only)]
    specs = _check_all(document, folder, chosen, registry or discover())
    return Suite(specs[0].name, folder, path, overrides, matrix, specs)


def load_suite_set(
    path: Path, wanted: str, overrides: Mapping[str, str] | None = None
) -> dict[str, dict[str, SetSpec]]:
    """Returns a data set of each cell of a suite, whose other parts may have mistakes.

    Args:
        path: The YAML file.
        wanted: The name of the data set.
        overrides: Dotted paths and YAML values, as from ``--set``.

    Raises:
        PathError: When the file cannot be read.
        SpecErrors: With every mistake of the matrix or of the data set, and every secret.
    """
    overrides = overrides or {}
    document = read_document(path)
    apply_overrides(document, {p: text for p, text in overrides.items() if _of_matrix(p)})
    rest = {p: text for p, text in overrides.items() if not _of_matrix(p)}
    registry, sets = discover(), {}
    failures: dict[str, Sequence[HaloError]] = {}
    cells = read_matrix(document).cells
    for cell in cells:
        made, errors = expand(document, cell, rest)
        try:
            sets[cell.id] = set_of(made, wanted, registry)
        except SpecErrors as error:
            errors = [*errors, *error.errors]
        if errors:
            failures[cell.id] = errors
    raise_together(document, failures, len(cells))
    return sets


def chosen_cells(matrix: Matrix, only: Sequence[str]) -> list[str]:
    """Returns the ids of the requested cells, in the suite's order.

    Raises:
        UserError: When an item of `only` matches no cell.
    """
    ids = [cell.id for cell in matrix.cells]
    for pattern in only:
        if not fnmatch.filter(ids, pattern):
            raise UserError(unknown_name("cell", pattern, ids), location=f"--cell {pattern}")
    return [id_ for id_ in ids if not only or any(fnmatch.fnmatchcase(id_, p) for p in only)]


def _hash(name: object, trees: Sequence[object]) -> str:
    text = json.dumps([name, trees], sort_keys=True, ensure_ascii=False)
    return short_hash(text, HASH_LENGTH)


def _check_all(
    document: Document,
    folder: str,
    cells: Sequence[tuple[Cell, Document, Sequence[HaloError]]],
    registry: Registry,
) -> list[Spec]:
    specs = []
    failures: dict[str, Sequence[HaloError]] = {}
    shared = SharedBySuite()
    for cell, made, errors in cells:
        mistakes = list(errors)
        try:
            own = SuiteCell(folder, cell.id, cell.axes)
            specs.append(check_spec(made, registry, own, shared))
        except SpecErrors as error:
            mistakes += error.errors
        if mistakes:
            failures[cell.id] = mistakes
    raise_together(document, failures, len(cells))
    return specs


def raise_together(
    document: Document, failures: Mapping[str, Sequence[HaloError]], count: int
) -> None:
    """Raises the mistakes of all cells. Each mistake is raised once, with the cells that have it.

    Args:
        document: The suite's document.
        failures: The mistakes of each cell, by its id.
        count: Number of cells that were checked.

    Raises:
        SpecErrors: When there is a mistake.
    """
    mistakes: dict[str, HaloError] = {}
    cells: dict[str, list[str]] = {}
    for id_, errors in failures.items():
        for error in errors:
            mistakes.setdefault(str(error), error)
            cells.setdefault(str(error), []).append(id_)
    together = Mistakes(document)
    for text, error in mistakes.items():
        message = f"{error.message}{_where(cells[text], count)}"
        together.errors.append(renewed(error, message, error.location))
    together.raise_if_any()


def _where(ids: Sequence[str], count: int) -> str:
    if len(ids) == count > 1:
        return ""
    if len(ids) == 1:
        return f" (in the cell {ids[0]})"
    more = ", ..." if len(ids) > CELLS_SHOWN else ""
    return f" (in {len(ids)} of {count} cells: {', '.join(ids[:CELLS_SHOWN])}{more})"
