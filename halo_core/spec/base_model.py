"""The model that a run starts from: from the hub, from a folder, or made by a stage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo_core.errors import PathError
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.registry import Registry
from halo_core.spec.inserted import base_model_stages, only_needed_option
from halo_core.spec.mistakes import Mistakes
from halo_core.workspace.json_files import no_file_in
from halo_core.workspace.user_paths import user_path

HUB_NAME = re.compile(r"([\w.-]+/)?[\w.-]+")


@dataclass(frozen=True)
class BaseModel:
    """The model that a run starts from. Exactly one of hub, path and made_by is set.

    Attributes:
        hub: The model's id on the hub.
        revision: The revision on the hub.
        path: A folder saved by transformers.
        made_by: The name of the stage that makes the model before all other stages.
        options: The options of that stage, as the spec has them.
    """

    hub: str | None = None
    revision: str | None = None
    path: Path | None = None
    made_by: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def read_base_model(tree: Mapping[str, Any], registry: Registry, mistakes: Mistakes) -> BaseModel:
    """Returns the model of a spec; an empty one after a mistake."""
    written = tree.get("model")
    makers = base_model_stages(registry)
    forms = _forms(makers)
    if not isinstance(written, dict):
        what = "'model' is missing" if written is None else f"got {written!r}"
        mistakes.add(("model",), f"{what}; {forms}, as in model: {{hub: EleutherAI/pythia-1.4b}}")
        return BaseModel()
    # If the stage's plugin is not installed, resolving the stage reports it.
    makers += [key for key in written if _is_elsewhere(key, registry)]
    known = ["hub", "path", "revision", *makers]
    for key in written:
        if key not in known:
            mistakes.unknown_key(("model", key), "key", known)
    origins = ["hub", "path", *makers]
    present = [key for key in origins if key in written]
    if not present:
        mistakes.missing(("model",), origins, f"got none; {forms}", at=("model",))
        return BaseModel()
    if len(present) > 1:
        mistakes.add(("model",), f"got {', '.join(present)}; {forms}")
        return BaseModel()
    if "revision" in written and present != ["hub"]:
        mistakes.add(("model", "revision"), "only a model from the hub has a revision")
    if present == ["hub"]:
        return _on_hub(written, mistakes)
    if present == ["path"]:
        return _in_folder(written["path"], mistakes)
    return _made(present[0], written[present[0]], registry, mistakes)


def _forms(makers: Sequence[str]) -> str:
    *first, last = ("hub:", "path:", *(f"{name}:" for name in makers))
    return f"expected exactly one of {', '.join(first)} and {last}"


def _is_elsewhere(name: object, registry: Registry) -> bool:
    """Returns whether a name belongs to a stage that is not installed."""
    looks_so = isinstance(name, str) and (name in RESERVED["stage"] or "/" in name)
    return looks_so and name not in registry.names("stage")


def _made(name: str, options: Any, registry: Registry, mistakes: Mistakes) -> BaseModel:
    if isinstance(options, dict):
        return BaseModel(made_by=name, options=options)
    if isinstance(options, str) and (option := only_needed_option(registry, name)) is not None:
        return BaseModel(made_by=name, options={option: options})
    problem = f"got {options!r}; expected the options of the stage {name}"
    mistakes.add(("model", name), f"{problem}: halo plugins show {name}")
    return BaseModel()


def _in_folder(value: Any, mistakes: Mistakes) -> BaseModel:
    keys = ("model", "path")
    if not isinstance(value, str):
        mistakes.add(keys, f"got {value!r}; expected a folder")
        return BaseModel()
    try:
        path = user_path(value, mistakes.document.folder_of(keys))
    except PathError as error:
        mistakes.take(keys, error)
        return BaseModel()
    if not path.is_dir():
        mistakes.add(keys, f"no such folder: {path}")
    elif not (path / "config.json").is_file():
        mistakes.add(keys, f"{path} has no config.json; expected a folder saved by transformers")
    elif problem := no_file_in(path):
        mistakes.add(keys, f"{path}: {problem}")
    return BaseModel(path=path)


def _on_hub(written: Mapping[str, Any], mistakes: Mistakes) -> BaseModel:
    hub, revision = written["hub"], written.get("revision", "main")
    if not isinstance(hub, str) or not HUB_NAME.fullmatch(hub):
        # An address may hold a password, in a form in which nothing finds it.
        got = "an address" if "@" in str(hub) or "://" in str(hub) else repr(hub)
        mistakes.add(("model", "hub"), f"got {got}; expected an id such as owner/name")
        return BaseModel(hub="unknown")
    if not isinstance(revision, str):
        mistakes.add(("model", "revision"), f"got {revision!r}; expected a branch, tag or commit")
        return BaseModel(hub=hub)
    return BaseModel(hub=hub, revision=revision)
