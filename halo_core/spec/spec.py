"""The whole spec: name, seed, model, data, stages, tracking, reports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from halo_core.errors import did_you_mean
from halo_core.plugins.discovery import discover
from halo_core.plugins.registry import Registry
from halo_core.spec.base_model import BaseModel, read_base_model
from halo_core.spec.data_sets import SetSpec, held_out, resolve_set
from halo_core.spec.document import Document, apply_overrides, read_document
from halo_core.spec.inserted import default_reports
from halo_core.spec.matrix import KEY as MATRIX
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolved import Resolved
from halo_core.spec.resolver import Resolver
from halo_core.spec.rounds import KEY as ROUNDS, Rounds, check_rounds, expand_rounds
from halo_core.spec.secrets_in_specs import check_no_secrets
from halo_core.spec.shared_by_suite import SharedBySuite
from halo_core.spec.stages import BASE_MODEL, StageSpec, resolve_stages
from halo_core.spec.tracker_places import check_places
from halo_core.stage import Stage

TOP_LEVEL = (
    "name",
    "seed",
    "model",
    "data",
    "overlap",
    "stages",
    ROUNDS,
    "tracking",
    "reports",
    MATRIX,
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
RESERVED_IDS = {
    BASE_MODEL: "the model of the spec",
    "target": "the completion that the data have for a prompt",
}
"""Meanings of the ids that no stage can have."""
Overlap = Literal["error", "warn"]
"""The reaction to test rows that are also training rows."""


@dataclass(frozen=True)
class SuiteCell:
    """A spec's cell in a suite.

    Attributes:
        suite: The suite's folder under ``suites/``.
        id: The cell's id: the names of its cells on all axes, joined by ``/``.
        axes: The name of its cell by axis.
    """

    suite: str
    id: str
    axes: Mapping[str, str]


@dataclass(frozen=True)
class Spec:
    """A checked spec: every name resolved, every reference found.

    Attributes:
        name: The run's name.
        seed: The seed of everything random.
        model: The model that the first stage starts from.
        sets: The data sets by name.
        stages: The stages in the order in which they run.
        tracking: The trackers.
        reports: The reports.
        document: The document that was read, after ``--set`` and with the stages of all rounds.
        cell: Its cell in a suite; None if it has no matrix.
        overlap: The reaction to test rows that are also training rows. It changes no results, so it
            is part of no identity.
        rounds: The rounds; None if there are none.
    """

    name: str
    seed: int
    model: BaseModel
    sets: Mapping[str, SetSpec]
    stages: Sequence[StageSpec]
    tracking: Sequence[Resolved]
    reports: Sequence[Resolved]
    document: Document = field(repr=False)
    cell: SuiteCell | None = None
    overlap: Overlap = "error"
    rounds: Rounds | None = None


def load_spec(
    path: Path,
    overrides: Mapping[str, str] | None = None,
    *,
    registry: Registry | None = None,
    document: Document | None = None,
) -> Spec:
    """Returns the checked spec in a file.

    Args:
        path: The YAML file.
        overrides: Dotted paths and YAML values, as from ``--set``.
        registry: The installed components; discovered by default.
        document: The file's content, if it is already read. It is changed.

    Raises:
        PathError: When the file cannot be read.
        SpecErrors: With every mistake found.
    """
    document = document or read_document(path)
    apply_overrides(document, overrides or {})
    return check_spec(document, registry or discover())


def load_set(
    path: Path, wanted: str, overrides: Mapping[str, str] | None = None
) -> dict[str, SetSpec]:
    """Returns a data set of the spec in a file, whose other parts may have mistakes.

    Args:
        path: The YAML file.
        wanted: The name of the data set.
        overrides: Dotted paths and YAML values, as from ``--set``.

    Returns:
        The data set under its name, and those that it is made from; nothing if there is none.

    Raises:
        PathError: When the file cannot be read.
        SpecErrors: With every mistake of the data set, and every secret in the spec.
    """
    document = read_document(path)
    apply_overrides(document, overrides or {})
    return set_of(document, wanted, discover())


def set_of(document: Document, wanted: str, registry: Registry) -> dict[str, SetSpec]:
    """Returns a data set of a document, whose other parts may have mistakes.

    Args:
        document: A spec, or an expanded cell of a suite.
        wanted: The name of the data set.
        registry: The installed components.

    Returns:
        The data set under its name, and those that it is made from; nothing if there is none.

    Raises:
        SpecErrors: With every mistake of the data set, and every secret in the document.
    """
    mistakes = Mistakes(document)
    written = document.tree.get("data", {})
    if isinstance(written, dict):
        # A share that is held out is a part of the training set.
        names = {wanted, "holdout", "train"} if "holdout" in written else {wanted}
        written = {name: value for name, value in written.items() if name in names}
    sets = _sets({"data": written}, Resolver(registry, mistakes))
    check_no_secrets(mistakes)
    mistakes.raise_if_any()
    return {name: found for name, found in sets.items() if found is not None}


def check_spec(
    document: Document,
    registry: Registry,
    cell: SuiteCell | None = None,
    shared: SharedBySuite | None = None,
) -> Spec:
    """Returns the checked spec of a document.

    Args:
        document: A spec, or an expanded cell of a suite.
        registry: The installed components.
        cell: The cell of a suite that the document belongs to.
        shared: Components of earlier cells of the suite. It grows.

    Raises:
        SpecErrors: With every mistake found.
    """
    mistakes = Mistakes(document)
    resolver = Resolver(registry, mistakes, shared)
    for key in list(document.tree):
        if key not in TOP_LEVEL:
            meant = mistakes.unknown_key((key,), "key", TOP_LEVEL)
            # What follows checks the value of a misspelt key as that of the right one.
            if meant is not None and meant not in (MATRIX, *mistakes.document.tree):
                mistakes.document = mistakes.document.with_key_renamed(key, meant)
    tree = mistakes.document.tree
    if MATRIX in tree:
        mistakes.add(
            (MATRIX,),
            "a spec with a matrix is a suite; expected a spec without one, such as the spec in "
            "a run's folder. halo run, plan, validate and data accept suites",
        )
    name = _name(tree, mistakes)
    seed = _seed(tree, mistakes)
    model = read_base_model(tree, registry, mistakes)
    sets = _sets(tree, resolver)
    overlap = _overlap(tree, mistakes)
    stages, rounds = _resolved_stages(resolver, model, sets)
    tracking = _components(resolver, tree, "tracking", "tracker")
    check_places(tracking, mistakes)
    reports = _components(resolver, tree, "reports", "report", default=default_reports(registry))
    check_no_secrets(mistakes)
    mistakes.raise_if_any()
    return Spec(
        name=name,
        seed=seed,
        model=model,
        sets=cast(Any, sets),
        stages=stages,
        tracking=tracking,
        reports=reports,
        document=mistakes.document,
        cell=cell,
        overlap=overlap,
        rounds=rounds,
    )


def _name(tree: Mapping[str, Any], mistakes: Mistakes) -> str:
    name = tree.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        what = "'name' is missing" if name is None else f"got {name!r}"
        more = "letters, digits, '-', '_' and '.'"
        mistakes.add(("name",), f"{what}; expected a letter or a digit, followed by {more}")
        return "unnamed"
    return name


def _seed(tree: Mapping[str, Any], mistakes: Mistakes) -> int:
    seed = tree.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        mistakes.add(("seed",), f"got {seed!r}; expected a whole number from 0 to 2147483647")
        return 0
    return seed


def _overlap(tree: Mapping[str, Any], mistakes: Mistakes) -> Overlap:
    overlap, known = tree.get("overlap", "error"), get_args(Overlap)
    if overlap not in known:
        guess = did_you_mean(overlap, known) if isinstance(overlap, str) else ""
        mistakes.add(
            ("overlap",),
            f"got {overlap!r}; expected error, or warn if test rows are training rows on purpose."
            f"{guess}".removesuffix("."),
        )
        return "error"
    return cast(Overlap, overlap)


def _sets(tree: Mapping[str, Any], resolver: Resolver) -> dict[str, SetSpec | None]:
    mistakes = resolver.mistakes
    written = tree.get("data", {})
    if not isinstance(written, dict):
        mistakes.add(("data",), f"got {written!r}; expected names of data sets")
        return {}
    sets: dict[str, SetSpec | None] = {}
    for name, value in written.items():
        if name != "holdout" and _means_holdout(name, value, mistakes):
            sets.setdefault("test", None)
        elif name != "holdout":
            sets[name] = resolve_set(resolver, name, value, ("data", name))
    if "holdout" in written:
        _hold_out(written, sets, mistakes)
    return sets


def _means_holdout(name: str, value: Any, mistakes: Mistakes) -> bool:
    """Reports a share under a name that is nearly ``holdout``, and returns whether it is one."""
    near = isinstance(value, int | float) and did_you_mean(name, ["holdout"])
    if near:
        source = "expected a data source: NAME or {use: NAME, ...}"
        mistakes.add(("data", name), f"got {value!r}; {source}.{near}")
    return bool(near)


def _hold_out(
    given: Mapping[str, Any], sets: dict[str, SetSpec | None], mistakes: Mistakes
) -> None:
    keys, fraction = ("data", "holdout"), given["holdout"]
    if isinstance(fraction, bool) or not isinstance(fraction, float) or not 0 < fraction < 1:
        mistakes.add(keys, f"got {fraction!r}; expected a share between 0 and 1, such as 0.1")
    elif "test" in given:
        mistakes.add(keys, "makes the set 'test', which is also given; remove one of the two")
    elif "train" not in given:
        mistakes.add(keys, "takes prompts from the set 'train', which does not exist")
    elif (train := sets["train"]) is not None:
        sets["train"], sets["test"] = held_out(train, fraction)
        return
    if "test" not in given:
        sets["test"] = None


def _resolved_stages(
    resolver: Resolver, model: BaseModel, sets: Mapping[str, SetSpec | None]
) -> tuple[list[StageSpec], Rounds | None]:
    """Returns the stages of all rounds, the one that makes the model first, and the rounds."""
    mistakes = resolver.mistakes
    before = mistakes.count
    _check_stages(mistakes)
    rounds: Rounds | None = None
    starts: Mapping[str, str] = {}
    if isinstance(mistakes.document.tree.get("stages"), dict):
        mistakes.document, rounds, starts = expand_rounds(resolver, BASE_MODEL)
    written = mistakes.document.tree.get("stages")
    given = dict(written) if isinstance(written, dict) else {}
    given.pop(BASE_MODEL, None)  # The id is reserved, and a mistake already.
    if model.made_by is not None:
        given = {BASE_MODEL: {"use": model.made_by, **model.options}, **given}
    stages = resolve_stages(resolver, given, sets, model.made_by or "", starts)
    if rounds is not None and mistakes.count == before:
        check_rounds(rounds, stages, mistakes)
    return stages, rounds


def _check_stages(mistakes: Mistakes) -> None:
    written = mistakes.document.tree.get("stages")
    if not isinstance(written, dict) or not written:
        what = "'stages' is missing" if written is None else f"got {written!r}"
        mistakes.add(
            ("stages",), f"{what}; expected an id for each stage, as in sft: {{use: train}}"
        )
        written = {}
    for name in written:
        if name in RESERVED_IDS:
            told = f"the id {name!r} is reserved: it means {RESERVED_IDS[name]}; choose another id"
            mistakes.add(("stages", name), told)
        elif not NAME.fullmatch(name) or "." in name:
            what = "a letter or a digit, followed by letters, digits, '-' and '_'"
            mistakes.add(("stages", name), f"got the id {name!r}; expected {what}")


def _components(
    resolver: Resolver, tree: Mapping[str, Any], key: str, kind: str, default: Any = ()
) -> list[Resolved]:
    values = tree.get(key, default)
    if not isinstance(values, list | tuple):
        values = [values]
    components: list[Resolved] = []
    for i, value in enumerate(values):
        found = resolver.resolve(kind, value, (key, i))
        if found is None:
            continue
        if any(found.tree() == other.tree() for other in components):
            resolver.mistakes.add(
                (key, i), f"{value!r} is in {key} twice with the same options; leave one out"
            )
        components.append(found)
    return components


__all__ = ["BaseModel", "Spec", "Stage", "SuiteCell", "check_spec", "load_spec"]
