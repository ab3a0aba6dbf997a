"""The findings of `halo doctor`, and the requirements that a component declares for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """A fact about this machine, or about what a spec needs on it.

    Attributes:
        topic: The heading that it is shown under: ``versions``, ``devices``.
        name: Its subject: ``torch``.
        value: The fact: ``2.9.1``. It must not contain a secret.
        missing: The problem and what to do, if something is missing; "" otherwise.
    """

    topic: str
    name: str
    value: str
    missing: str = ""


@dataclass(frozen=True)
class Requirement:
    """Something that a component needs on the machine where it runs.

    Attributes:
        kind: ``package`` for a module of Python, ``variable`` for an environment variable.
        name: The name of the module or of the variable.
        get: The advice if it is missing: ``pip install 'halo-judge[openai]'``.
    """

    kind: Literal["package", "variable"]
    name: str
    get: str
