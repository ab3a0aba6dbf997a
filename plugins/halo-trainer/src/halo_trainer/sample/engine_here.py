"""Finds the packages and the key that a later sampling lacks on this machine."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

from halo_core.finding import Requirement


def lacking_here(needed: Sequence[Requirement], option: str) -> list[tuple[str, str]]:
    """Returns (option, message) pairs for what a stage needs and this machine lacks.

    Args:
        needed: The packages and environment variables.
        option: The option that needs the packages. A variable is named by `api_key_env`.
    """
    found = []
    for each in needed:
        if each.kind == "package" and not _is_installed(each.name):
            what = f"needs the package {each.name}, which is not installed: {each.get}"
            found.append((option, what))
        elif each.kind == "variable" and not os.environ.get(each.name, "").strip():
            what = f"the environment variable {each.name} is not set: {each.get}"
            found.append(("api_key_env", what))
    return found


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None
