"""Names that MLflow accepts, and the stages whose metrics have plain names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.leaves import leaves
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
        for path, value in leaves(tree)
        if value is not None and value != "" and not is_secret(path)
    }


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
