"""Finds the data sets that `halo data` shows: of a source, a file, a spec or a suite."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.cli.options import RunRequest, parse_overrides
from halo_core.errors import SpecErrors, UserError
from halo_core.printing import counted, say

if TYPE_CHECKING:
    from halo_core.plugins.registry import Registry
    from halo_core.spec.data_sets import SetSpec
    from halo_core.spec.resolver import Resolver

_SPEC_KEYS = ("stages", "matrix")
"""Keys of which every spec or suite has one."""
_SPEC_LINE = re.compile(rf"^({'|'.join(_SPEC_KEYS)})\s*:", re.MULTILINE)
_HEAD = 64 * 2**10
"""Number of bytes in which a file that is not named like YAML is searched for such a key."""


def shown_sets(sources: Sequence[str], options: Sequence[str], split: str | None) -> list[SetSpec]:
    """Returns the data sets that the arguments of `halo data` mean.

    Args:
        sources: The name of a data source, a file or folder of rows, a glob, or a spec or a suite,
            perhaps with ``:SET``. Several files are one data set, as a shell writes a glob.
        options: Values from ``--set``.
        split: The split to read of a source or file; None for ``train``, or for the first split of
            a file that has none.

    Raises:
        UserError: When it is none of these, or has mistakes, or several are not all files of rows.
    """
    if len(sources) > 1:
        return [_several(sources, options, split)]
    (source,) = sources
    path, wanted = spec_and_set(source)
    if path:
        return _spec_sets(path, wanted, options)
    from halo_core.plugins.discovery import discover

    registry = discover()
    if source in registry.names("data") or not _means_files(source):
        return [_resolved(source, {"use": source}, options, split, registry)]
    tree = {"use": "files", "path": source}
    return [_resolved(Path(source).name, tree, options, split, registry)]


def _several(sources: Sequence[str], options: Sequence[str], split: str | None) -> SetSpec:
    from halo_core.plugins.discovery import discover

    for source in sources:
        if not os.path.isfile(source) or spec_and_set(source)[0]:
            raise UserError(
                f"{source} is not a file of rows; expected either one argument or several files "
                "of rows",
                location="halo data",
            )
    name = f"{Path(sources[0]).name} and {len(sources) - 1} more"
    tree = {"use": "files", "path": [*sources]}
    return _resolved(name, tree, options, split, discover())


def only_spec(sources: Sequence[str]) -> str:
    """Returns the spec for `--tokens`.

    Raises:
        UserError: When there are several arguments.
    """
    if len(sources) > 1:
        raise UserError(
            f"got {len(sources)} arguments; --tokens expects one spec, as in spec.yaml or "
            "spec.yaml:train",
            location="halo data",
        )
    return sources[0]


def spec_and_set(source: str) -> tuple[str, str]:
    """Returns the spec's file and the name of the wanted set; "" as file if it is not a spec."""
    path, _, wanted = source.partition(":") if not source.startswith("file:") else ("", "", "")
    return (path, wanted) if _is_spec(path) else ("", "")


def _is_spec(path: str) -> bool:
    if path.endswith((".yaml", ".yml")):
        return True
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        head = file.read(_HEAD).decode(errors="replace")
    try:
        tree = json.loads(head)
    except (ValueError, RecursionError):
        return _SPEC_LINE.search(head) is not None
    return isinstance(tree, dict) and any(key in tree for key in _SPEC_KEYS)


def _means_files(source: str) -> bool:
    """Returns whether a text is a file, a folder or a glob, or is written like a file's name."""
    if source.startswith("file:"):
        return False
    path, colon, after = source.rpartition(":")
    if colon and Path(path).exists():
        raise UserError(
            f"{path} has rows and is not a spec, so it has no data set {after!r}; expected {path}, "
            f"with --split {after or 'NAME'} for a split of it",
            location=source,
        )
    suffix = Path(source).suffix
    return glob.has_magic(source) or Path(source).exists() or len(suffix) > 1


def _spec_sets(path: str, wanted: str, options: Sequence[str]) -> list[SetSpec]:
    request = RunRequest(Path(path), parse_overrides(options))
    if request.is_suite():
        named = _suite_sets(_sets_of_cells(request, path, wanted))
    else:
        named = list(_sets_of(request, path, wanted).items())
    names = wanted_sets(path, wanted, list(dict.fromkeys(name for name, _ in named)))
    return [data_set for name, data_set in named if name in names]


def _sets_of(request: RunRequest, path: str, wanted: str) -> Mapping[str, SetSpec]:
    """Returns the sets of a spec; only the wanted one if there are mistakes elsewhere."""
    from halo_core.spec.spec import load_set

    try:
        return request.spec().sets
    except SpecErrors as error:
        try:
            found = load_set(request.spec_file, wanted, request.overrides)
        except SpecErrors:
            raise error from None
        if wanted not in found:
            raise
        _say_mistakes("spec", error, path, wanted)
        return found


def _sets_of_cells(
    request: RunRequest, path: str, wanted: str
) -> Mapping[str, Mapping[str, SetSpec]]:
    """Returns the sets of each cell of a suite; only the wanted one if mistakes are elsewhere."""
    from halo_core.spec.suite import load_suite_set

    try:
        suite = request.suite()
    except SpecErrors as error:
        try:
            found = load_suite_set(request.spec_file, wanted, request.overrides)
        except SpecErrors:
            raise error from None
        if not any(wanted in sets for sets in found.values()):
            raise
        _say_mistakes("suite", error, path, wanted)
        return found
    return {spec.cell.id if spec.cell else "": spec.sets for spec in suite.specs}


def _say_mistakes(what: str, error: SpecErrors, path: str, wanted: str) -> None:
    count = counted(len(error.errors), "mistake")
    say(f"the {what} has {count} outside of the data set {wanted}: halo validate {path}", err=True)


def _suite_sets(cells: Mapping[str, Mapping[str, SetSpec]]) -> list[tuple[str, SetSpec]]:
    """Returns the data sets of a suite's cells by name, each content once.

    If cells define different data under the same name, the first cell is added to the name.
    """
    from halo_core.run.identity import set_identity

    contents: dict[str, dict[str, tuple[SetSpec, str]]] = {}
    for cell, sets in cells.items():
        for name, data_set in sets.items():
            content = json.dumps(set_identity(data_set), sort_keys=True, default=str)
            contents.setdefault(name, {}).setdefault(content, (data_set, cell))
    return [
        (name, replace(data_set, name=name if len(held) == 1 else f"{name} of {cell}"))
        for name, held in contents.items()
        for data_set, cell in held.values()
    ]


def wanted_sets(path: str, wanted: str, names: Sequence[str]) -> list[str]:
    """Returns the wanted set's name, or all names if none is wanted.

    Args:
        path: The spec's file, for the message.
        wanted: The name of the wanted set; "" for all.
        names: The names of the sets of the spec.

    Raises:
        UserError: When there is no such set.
    """
    from halo_core.spec.mistakes import unknown_name

    if wanted and wanted not in names:
        raise UserError(unknown_name("data set", wanted, names), location=path)
    return [name for name in names if wanted in ("", name)]


def _resolved(
    name: str, tree: dict[str, Any], options: Sequence[str], split: str | None, registry: Registry
) -> SetSpec:
    from halo_core.spec.data_sets import resolve_set
    from halo_core.spec.document import Document, apply_overrides
    from halo_core.spec.mistakes import Mistakes
    from halo_core.spec.resolver import Resolver

    is_files = "path" in tree
    document = Document("halo data", Path.cwd(), tree | ({"split": split} if split else {}))
    apply_overrides(document, parse_overrides(options))
    mistakes = Mistakes(document)
    resolver = Resolver(registry, mistakes)
    if is_files and "split" not in document.tree and (first := _other_split(resolver)):
        document.tree["split"] = first
    data_set = None if mistakes.errors else resolve_set(resolver, name, document.tree, ())
    mistakes.raise_if_any(name if is_files else "the options")
    if data_set is None:
        raise SpecErrors([])
    return data_set


def _other_split(resolver: Resolver) -> str | None:
    """Returns the first split of files that have no split ``train``; None if they have one."""
    from halo_core.data import DataSource
    from halo_core.guarded.blame import blaming

    resolved = resolver.resolve("data", resolver.mistakes.document.tree, ())
    if resolved is None or not isinstance(resolved.component, DataSource):
        return None
    with blaming(resolved.component, "inspect"):
        splits = resolved.component.inspect().splits
    return splits[0] if splits and "train" not in splits else None
