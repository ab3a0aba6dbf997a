"""One cell of a matrix as its own document: the suite's document with the cell's settings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from halo_core.errors import HaloError, UserError
from halo_core.redact import redact_setting
from halo_core.spec.document import Document, Keys, apply_overrides, forget_places, set_value
from halo_core.spec.matrix import KEY, Cell, Setting
from halo_core.spec.mistakes import Mistakes, unknown_name

SETTABLE = ("data", "model", "overlap", "reports", "rounds", "seed", "stages", "tracking")
"""The first parts of the paths that a cell may set."""
NOT_NULL = (False, "none", "None")
"""Values that people write when they mean null, which YAML reads as something else."""
_NAMED = {"stages": "stage", "data": "data set"}


def expand(
    document: Document, cell: Cell, overrides: Mapping[str, str]
) -> tuple[Document, list[HaloError]]:
    """Returns the document of one cell, and the mistakes in the matrix's settings.

    Args:
        document: The document of the suite.
        cell: A cell of its matrix.
        overrides: Values from ``--set``, which take precedence over the cell's settings. Those
            in a stage that the cell does not have are left out.

    Raises:
        SpecErrors: When an override cannot be applied.
    """
    places = {keys: place for keys, place in document.places.items() if keys[:1] != (KEY,)}
    tree = {key: copy.deepcopy(value) for key, value in document.tree.items() if key != KEY}
    made = Document(document.name, document.folder, tree, places, dict(document.folders))
    made.is_file = document.is_file
    errors: list[HaloError] = []
    for setting in cell.settings:
        try:
            _apply(made, document, setting)
        except UserError as error:
            errors.append(UserError(error.message, location=document.locate(setting.keys)))
    apply_overrides(made, {p: text for p, text in overrides.items() if not _is_gone(made, p)})
    return made, errors


def _is_gone(made: Document, path: str) -> bool:
    head, _, rest = path.partition(".")
    return head == "stages" and rest.partition(".")[0] in made.removed


def _apply(made: Document, document: Document, setting: Setting) -> None:
    head, *rest = setting.path.split(".")
    if head not in SETTABLE:
        raise UserError(unknown_name("key", head, SETTABLE))
    if head in _NAMED and rest:
        _check_named(made, head, rest[0])
    if head == "stages" and len(rest) == 1 and setting.value in NOT_NULL:
        raise UserError(f"got {setting.value!r}; to remove the stage write null")
    if head == "stages" and len(rest) == 1 and setting.value is None:
        del made.tree["stages"][rest[0]]
        forget_places(made, ("stages", rest[0]))
        made.removed[rest[0]] = setting.origin
        return
    place = document.place_of(setting.keys) or document.name
    keys = set_value(made, setting.path, copy.deepcopy(setting.value), place)
    _copy_places(made, keys, document, setting.keys)


def _check_named(made: Document, head: str, name: str) -> None:
    if name in made.removed and head == "stages":
        raise UserError(
            f"the stage {name!r} is removed by {made.removed[name]}; exclude this combination, or "
            "move the axis that removes it to the end"
        )
    there: Any = made.tree.get(head)
    known = [*there, "holdout"] if head == "data" and isinstance(there, dict) else there
    if isinstance(known, dict | list) and name not in known:
        # Removed stages are named too, so that the message is the same in all cells.
        removed = made.removed if head == "stages" else ()
        names = [*(key for key in known if key != "holdout" or key in there), *removed]
        raise UserError(unknown_name(_NAMED[head], name, names))


def _copy_places(made: Document, keys: Keys, document: Document, source: Keys) -> None:
    """Copies the places within a value from its place in the matrix."""
    for known, place in document.places.items():
        if known[: len(source)] == source:
            made.places[(*keys, *known[len(source) :])] = place


def check_overrides(cells: Mapping[str, Document], overrides: Mapping[str, str]) -> None:
    """Raises an error for an override that no cell can use, because all lack its stage.

    Raises:
        SpecErrors: When there is one.
    """
    mistakes = Mistakes(Document("--set", next(iter(cells.values())).folder, {}))
    for path, text in overrides.items():
        if all(_is_gone(document, path) for document in cells.values()):
            mistakes.document.places[(path,)] = f"--set {redact_setting(f'{path}={text}')}"
            mistakes.add((path,), "no cell has this stage")
    mistakes.raise_if_any()
