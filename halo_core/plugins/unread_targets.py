"""Finds registered targets that are probably wrong, from the text of their modules.

To import each component takes seconds. To read its module takes less than a millisecond, and shows
a wrong name and most wrong kinds. A target that only looks wrong is then imported, so that nothing
is called broken that works.
"""

from __future__ import annotations

import importlib.util
import os
import re

from halo_core.plugins.registrar import Registration

_INTERFACES = {
    "loss": ("Loss", "LossWrapper"),
    "reference_point": ("RefPointEstimator",),
    "reference_update": ("ReferenceUpdate",),
    "data": ("DataSource",),
    "judge": ("Judge", "ScoringJudge"),
    "stage": ("Stage",),
    "tracker": ("Tracker",),
    "report": ("Report",),
}
"""The public classes that a component of each kind may subclass directly."""


def may_be_wrong(registration: Registration) -> bool:
    """Returns whether a target may not exist, or may be of another kind.

    Args:
        registration: The registration of the target.
    """
    module, _, attribute = registration.target.partition(":")
    text = _text_of(module)
    if text is None:
        return True
    defined = re.search(rf"^(class|def|async def) {attribute}\b(?:\(([^)]*)\))?", text, re.M)
    if defined is None:
        return not re.search(rf"\b{attribute}\b", text)
    is_command = registration.kind == "command"
    if defined[1] != "class":
        return not is_command
    bases = set(re.findall(r"\w+", defined[2] or ""))
    others = {
        name for kind in _INTERFACES if kind != registration.kind for name in _INTERFACES[kind]
    }
    return is_command or not bases or bases <= others


def _text_of(module: str) -> str | None:
    """Returns the source text of a module that is not imported; None if it cannot be found."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # A top-level module is found without its import.
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    file = spec.origin if not rest else None
    for number, part in enumerate(rest, start=1):
        packages = [os.path.join(folder, part) for folder in folders]
        files = [os.path.join(path, "__init__.py") for path in packages]
        files += [f"{path}.py" for path in packages]
        if number == len(rest):
            file = next((path for path in files if os.path.isfile(path)), None)
        folders = [path for path in packages if os.path.isdir(path)]
    if file is None:
        return None
    try:
        with open(file, encoding="utf-8") as content:
            return content.read()
    except (OSError, ValueError):
        return None
