"""The identity of a stage: all that its output depends on, and the hash that names the output.

It contains canonical names, options, the seed, the inputs' own keys, digests of data and model, and
component versions. The version is the hash of the source for an editable or ``file:`` origin, and
the `results_version` if a component promises one. It does not contain options marked `Execution`
(ranks, micro-batches, devices, intervals), unless they change the results, nor those marked
`Location` (folders), nor those marked `Added` that have their default, nor secrets.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from halo_core.component import Component
from halo_core.hashing import file_hash, short_hash
from halo_core.option_fields import execution_options, fields_by_alias, marked, values_by_alias
from halo_core.option_markers import Added, Refers
from halo_core.plugins.entry_points import normalised
from halo_core.plugins.local_file import FILE_PREFIX
from halo_core.plugins.registrar import Registration
from halo_core.secret import FOR_IDENTITY
from halo_core.spec.data_sets import SetSpec, Source
from halo_core.spec.resolved import Resolved
from halo_core.spec.stages import StageSpec

_NAME = re.compile(r"[A-Za-z0-9._-]+")
"""Pattern of the name at the start of a requirement."""


def digest(tree: Any) -> str:
    """Returns 16 hexadecimal digits of the hash of a JSON tree."""
    text = json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return short_hash(text)


def stage_identity(stage: StageSpec, seed: int, keys: Mapping[str, str]) -> dict[str, Any]:
    """Returns all that a stage's output depends on. Its `digest` is the stage's key.

    Args:
        stage: The stage, connected to the stages before it.
        seed: The run's seed.
        keys: The keys of earlier stages and of the model that the run starts from, by id.
    """
    return {
        "stage": component_identity(stage.resolved),
        "seed": seed if stage.component.seeded else None,
        "models": {option: keys[name] for option, name in stage.models.items()},
        "inputs": {option: keys[name] for option, name in stage.inputs.items()},
        "data": {option: set_identity(data) for option, data in stage.data.items()},
    }


def component_identity(resolved: Resolved) -> dict[str, Any]:
    """Returns a component's part of an identity: name, version and the options that matter."""
    component_class = type(resolved.component)
    # The identity refers to stages and data sets by their keys, so renaming one of them computes
    # nothing again.
    left_out = execution_options(resolved.component) | {*marked(component_class, Refers)}
    left_out |= _unused_additions(resolved.component)
    children = dict(resolved.children())
    # A secret inside another option counts as a secret, whichever it is.
    dumped = resolved.component.model_dump(mode="json", by_alias=True, context={FOR_IDENTITY: True})
    options = {
        option: _option_identity(children, (option,), value)
        for option, value in dumped.items()
        if option not in left_out
    }
    name = resolved.name
    if _is_file(resolved):  # the file's place does not matter; its hash is the version
        name = f"{Path(resolved.registration.origin).name}:{resolved.short_name}"
    identity = {"use": name, "version": _results_version(resolved), "options": options}
    files = resolved.component.file_digests()
    return {**identity, "files": dict(files)} if files else identity


def _results_version(resolved: Resolved) -> str:
    promised = type(resolved.component).results_version
    return version(resolved.registration) if promised is None else f"results {promised}"


def _unused_additions(component: Component) -> set[str]:
    values, defaults = values_by_alias(component), _added_defaults(type(component))
    return {alias for alias, default in defaults.items() if values[alias] == default}


@functools.cache  # pydantic reads the signature of a default's factory each time.
def _added_defaults(component_class: type[Component]) -> Mapping[str, Any]:
    """Returns the defaults of the options that are marked as added. They are only compared."""
    fields = fields_by_alias(component_class)
    return {alias: _default_of(fields[alias]) for alias in marked(component_class, Added)}


def _default_of(info: FieldInfo) -> Any:
    if info.default_factory is None:
        return info.default
    return info.get_default(call_default_factory=True, validated_data={})


def _is_file(resolved: Resolved) -> bool:
    return resolved.registration.target.startswith(FILE_PREFIX)


def _option_identity(
    children: Mapping[tuple[str | int, ...], Resolved], keys: tuple[str | int, ...], value: Any
) -> Any:
    if keys in children:
        return component_identity(children[keys])
    if isinstance(value, dict):
        return {k: _option_identity(children, (*keys, k), v) for k, v in value.items()}
    if isinstance(value, list):
        return [_option_identity(children, (*keys, i), v) for i, v in enumerate(value)]
    return value


def source_identity(source: Source) -> dict[str, Any]:
    """Returns a data source's part of an identity, with the digest of its content."""
    return {
        "component": component_identity(source.resolved),
        "digest": source.info.digest,
        "split": source.split,
        "part": asdict(source.part) if source.part else None,
    }


def set_identity(data: SetSpec) -> list[dict[str, Any]]:
    """Returns a data set's part of an identity. The set's name does not matter."""
    return [source_identity(source) for source in data.sources]


@functools.cache
def version(registration: Registration) -> str:
    """Returns a component's version, with a hash of the source if that may change freely."""
    if registration.target.startswith(FILE_PREFIX):
        return f"source {short_hash(Path(registration.origin).read_bytes())}"
    if not _is_editable(registration.distribution):
        return registration.version
    return f"{registration.version}+source.{source_hash(registration)}"


@functools.cache
def _is_editable(distribution: str) -> bool:
    text = importlib.metadata.distribution(distribution).read_text("direct_url.json")
    return bool(text and json.loads(text).get("dir_info", {}).get("editable"))


def source_hash(registration: Registration) -> str:
    """Returns 16 hexadecimal digits of the hash of the Python files that a component depends on.

    These are the files of its package, and of all editable packages that its distribution requires,
    such as halo's libraries. The core's files are left out, because the core only passes rows and
    models on, and its version identifies its releases.
    """
    own = _package_hash(registration.target.partition(":")[0].partition(".")[0])
    others = [_package_hash(package) for package in _editable_packages(registration.distribution)]
    return digest([own, *others]) if others else own


@functools.cache
def _editable_packages(distribution: str) -> Sequence[str]:
    """Returns the packages of the editable requirements, also those of extras, but not the core.

    A package is assumed to have its distribution's name, as in halo.
    """
    packages: dict[str, str] = {}
    waiting = [distribution]
    while waiting:
        for requirement in _requirements(waiting.pop()):
            if (
                requirement not in packages
                and requirement != "halo-core"
                and _may_change(requirement)
            ):
                packages[requirement] = requirement.replace("-", "_")
                waiting.append(requirement)
    return sorted(packages.values())


def _requirements(distribution: str) -> Iterator[str]:
    for text in importlib.metadata.requires(distribution) or ():
        if name := _NAME.match(text):
            yield normalised(name[0])


def _may_change(distribution: str) -> bool:
    try:
        return _is_editable(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False  # required by an extra that is not installed


@functools.cache
def _package_hash(package: str) -> str:
    # The package is located but not imported: a plan must not load torch to hash a trainer.
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
    if not files and spec and spec.origin:
        files = [Path(spec.origin)]
    return digest([[path.name, short_hash(path.read_bytes())] for path in files])


def folder_digest(folder: Path) -> str:
    """Returns 16 hexadecimal digits of the hash of all files of a model folder."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return _files_digest(tuple((p, p.stat().st_size, p.stat().st_mtime_ns) for p in files))


@functools.cache  # All cells of a suite start from the same large folder.
def _files_digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    return digest([[path.name, file_hash(path)] for path, _, _ in files])
