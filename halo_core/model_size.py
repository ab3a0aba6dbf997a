"""How many weights the models of a plan have, as far as that is known without torch."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

from halo_core.plan import Plan
from halo_core.spec.stages import BASE_MODEL


def count_parameters(plan: Plan) -> dict[str, int | None]:
    """Returns stage id to the weights of its model; None where it is not known yet."""
    counts: dict[str, int | None] = {}
    path = plan.spec.model.path
    if plan.base_model is not None:
        counts[BASE_MODEL] = folder_parameters(path) if path else None
    for stage in plan.stages:
        if stage.spec.component.produces == "model":
            taken = counts.get(stage.spec.models.get("from", ""))
            counts[stage.id] = stage.spec.component.parameters(taken)
    return counts


def folder_parameters(folder: Path) -> int | None:
    """Returns the weights in the safetensors files of a model folder, from their headers."""
    files = sorted(folder.glob("*.safetensors"))
    return sum(_file_parameters(path) for path in files) if files else None


def _file_parameters(path: Path) -> int:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return sum(math.prod(tensor["shape"]) for tensor in header.values())
