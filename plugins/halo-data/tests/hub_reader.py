"""Reads data sources from the stand-in for the hub in a separate process.

    python hub_reader.py ROOT < sources.json

`datasets` and `huggingface_hub` take the hub's address from the environment when they are imported.
The input maps a label to the class, the split and the options of a source; the output maps the
label to the information and the rows of the source, or to the error of its `inspect` or `load`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read(name: str, split: str, options: Mapping[str, Any]) -> dict[str, Any]:
    from halo_core.errors import HaloError
    from halo_data import components

    source = getattr(components, name)(**options)
    step = "inspect"
    try:
        info = source.inspect()
        step = "load"
        loaded = source.load(split)
        rows = [dict(row) for row in loaded.rows]
    except HaloError as error:
        return {step: str(error)}
    about = {"splits": info.splits, "feedback": info.feedback, "digest": info.digest}
    return {**about, "rows": rows, "dropped": dict(loaded.dropped)}


if __name__ == "__main__":
    from hub_stand_in import hub_of

    with hub_of(Path(sys.argv[1])) as address:
        os.environ["HF_ENDPOINT"] = address
        found = {label: read(*given) for label, given in json.load(sys.stdin).items()}
    print(json.dumps(found))
