"""Names and keys that MLflow accepts, made from halo's names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.redact import is_secret, redact
from halo_core.workspace.records import RunStage

LONGEST_NAME = 250
LONGEST_VALUE = 6000
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_\-. :/]")
_EMPTY_PARTS = re.compile(r"/{2,}")


def clean_name(name: str) -> str:
    """Returns a name that is a relative path of letters, digits and ``_-. :/`` only.

    MLflow rejects a whole batch if it rejects one name in it.

    >>> clean_name("eval/test[0]/loss")
    'eval/test_0_/loss'
    >>> clean_name("/../a//b/")
    '_/a/b'
    """
    name = _EMPTY_PARTS.sub("/", _NOT_ALLOWED.sub("_", name)).strip("/")[:LONGEST_NAME].rstrip("/")
    parts = ["_" if part in (".", "..") else part for part in name.split("/")]
    return "/".join(parts) or "_"


def flatten(tree: Any) -> dict[str, str]:
    """Returns a tree's leaves by dotted path as MLflow parameters, without None and secrets.

    >>> flatten({"train": {"beta": 0.1, "seed": None}, "data": [{"use": "hh"}]})
    {'train.beta': '0.1', 'data.0.use': 'hh'}
    """
    return {
        clean_name(path).replace("/", "."): redact(_text(value))[:LONGEST_VALUE]
        for path, value in _leaves(tree, "")
        if value is not None and value != "" and not is_secret(path)
    }


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    items: Any = None
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    if items is None:
        yield path, tree
        return
    for key, value in items:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class PlainStages:
    """The ids of the stages whose sections have plain names.

    Attributes:
        method: Id of the last train stage.
        judge: Id of the last judge stage.
        sample: Id of the last sampling stage.
    """

    method: str | None = None
    judge: str | None = None
    sample: str | None = None


def plain_stages(stages: Sequence[RunStage]) -> PlainStages:
    """Returns the stages of `run.json` whose sections have plain names."""
    trained = _last(stages, "model", lambda stage: bool(stage.get("loss")))
    return PlainStages(
        trained or _last(stages, "model"), _last(stages, "verdicts"), _last(stages, "samples")
    )


def _last(stages: Sequence[RunStage], product: str, holds: Any = bool) -> str | None:
    ids = [s["id"] for s in stages if s["product"] == product and holds(s)]
    return ids[-1] if ids else None


def curve_key(plain: PlainStages, stage: str, name: str) -> str:
    """Returns the key of a stage's curve."""
    return clean_name(name if stage == plain.method else f"{stage}.{name}")


def final_key(
    plain: PlainStages, stage: str, product: str, name: str, curves: Collection[str] = ()
) -> str | None:
    """Returns the key of a stage's final number; None for the last value of a curve.

    Args:
        plain: The stages whose sections have plain names.
        stage: The stage's id.
        product: The stage's product.
        name: The number's name.
        curves: The keys of all curves of all stages so far.
    """
    if "/" in name:
        return None
    if product == "verdicts":
        return clean_name(f"{_section('bench', stage, plain.judge)}/{name}")
    if product == "samples":
        return clean_name(f"{_section('samples', stage, plain.sample)}/{name}")
    prefix = "" if stage == plain.method else f"{stage}."
    if any(name in _short_names(key, prefix) for key in curves):
        return None
    return clean_name(f"{prefix}final/{name}")


def _short_names(key: str, prefix: str) -> tuple[str, ...]:
    """Returns a trainer's names for a curve's last value; nothing for another stage's curve."""
    curve = key.removeprefix(prefix)
    of_another = not key.startswith(prefix) or "." in curve.partition("/")[0]
    return () if of_another else (curve.rpartition("/")[2], curve.replace("/", "_"))


def _section(section: str, stage: str, plain: str | None) -> str:
    return section if stage == plain else f"{section}.{stage}"
