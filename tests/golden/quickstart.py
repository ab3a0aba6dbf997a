"""The results of a short form of the quickstart: token ids, weights, samples and verdicts.

    python tests/golden/quickstart.py            compares it with quickstart.json; exits 1 or 0
    python tests/golden/quickstart.py --write    writes quickstart.json again

Token ids are exact on every machine. Weights are compared within `WEIGHTS_TOLERANCE`, because
kernels of other processors add in another order. Such differences can change samples and verdicts.
Therefore these are compared only on a machine like the one that wrote the file: with the same torch
and the same kind of processor. On other machines, the script says that it does not compare them.

A difference means that the results of halo changed. If this is intended, write the file again in a
separate commit, with the reason.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from differences import differences

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).with_suffix(".json")
WEIGHTS_TOLERANCE = 2e-5
"""Maximum difference of a tensor's norm and of its projection, as a share of its norm.

On one processor with AVX-512, torch's and MKL's kernels for AVX2 changed them by 5e-7 at most, and
those for no vector instructions at all by 2e-6.
"""
SHOWN = 3
"""Number of rows of each file that are stored in full, so that a difference can be read."""

sys.path.insert(0, str(ROOT / "benchmarks"))
import same_bits  # noqa: E402


def measured() -> dict[str, Any]:
    """Returns the results of the short quickstart, as few numbers."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        spec = ROOT / "examples" / "quickstart.yaml"
        same_bits.run_quickstart(ROOT, spec, workspace, same_bits.SHORT)
        stages = same_bits.stage_folders(workspace)
        return {
            "machine": machine(),
            "token_ids": [_rows(rows) for rows in same_bits.encoded_rows(workspace)],
            "weights": {
                id_: {name: _numbers(tensor) for name, tensor in tensors.items()}
                for id_, folder in stages.items()
                if (tensors := same_bits.weights(folder))
            },
            "samples": {
                id_: _rows([_sample(line) for line in same_bits.lines(file)])
                for id_, folder in stages.items()
                if (file := folder / "samples.jsonl").is_file()
            },
            "verdicts": {
                id_: _rows([_verdict(line) for line in same_bits.lines(file)])
                for id_, folder in stages.items()
                if (file := folder / "verdicts.jsonl").is_file()
            },
        }


def machine() -> dict[str, str]:
    """Returns the facts that decide rounding: torch, and the kind of processor."""
    capability = torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "capability": capability, "processor": _processor()}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    names = ("vendor_id", "cpu family", "model")
    found = [re.search(rf"^{name}\s*: (.+)$", text, re.MULTILINE) for name in names]
    return " ".join(match[1] for match in found if match) or "unknown"


def _rows(rows: list[Any]) -> dict[str, Any]:
    return {"rows": len(rows), "digest": same_bits.digest(rows), "first": rows[:SHOWN]}


def _numbers(tensor: Any) -> list[float]:
    """Returns a tensor's norm, and its projection on a fixed vector, which depends on direction."""
    flat = tensor.astype(np.float64).ravel()
    fixed = np.sqrt(2 / flat.size) * np.cos(np.arange(flat.size) ** 2)
    return [float(f"{number:.9g}") for number in (np.linalg.norm(flat), flat @ fixed)]


def _sample(line: Mapping[str, Any]) -> list[Any]:
    return [line["prompt_id"], line["token_ids"], line["finish"]]


def _verdict(line: Mapping[str, Any]) -> list[Any]:
    orders = [[order["order"], order["winner"]] for order in line["orders"]]
    return [line["prompt_id"], line["result"], line["flip"], orders]


def compare(kept: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], str]:
    """Returns the differences, and why samples and verdicts were not compared, if so."""
    found = differences(kept["token_ids"], now["token_ids"], "token_ids")
    found += _weights_apart(kept["weights"], now["weights"])
    if kept["machine"] != now["machine"]:
        other = ", ".join(differences(kept["machine"], now["machine"]))
        return found, f"samples and verdicts are not compared on another machine ({other})"
    for part in ("samples", "verdicts"):
        found += differences(kept[part], now[part], part)
    return found, ""


def _weights_apart(kept: Any, now: Any) -> list[str]:
    names = {id_: sorted(tensors) for id_, tensors in kept.items()}
    apart = differences(names, {id_: sorted(tensors) for id_, tensors in now.items()}, "weights")
    if apart:
        return apart
    return [
        f"weights.{id_}.{name}: norm and projection {tensor} -> {now[id_][name]}, "
        f"further apart than {WEIGHTS_TOLERANCE} of the norm"
        for id_, tensors in kept.items()
        for name, tensor in tensors.items()
        if distance(tensor, now[id_][name]) > WEIGHTS_TOLERANCE
    ]


def distance(kept: list[float], now: list[float]) -> float:
    """Returns the larger difference of norm and projection, as a share of the norm."""
    return max(abs(a - b) for a, b in zip(kept, now, strict=True)) / kept[0]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write quickstart.json again")
    options = parser.parse_args()
    now = measured()
    if options.write:
        KEPT.write_text(_as_text(now), encoding="utf-8")
        return 0
    found, left_out = compare(json.loads(KEPT.read_text(encoding="utf-8")), now)
    for line in [*found, left_out] if left_out else found:
        print(line)
    return int(bool(found))


def _as_text(tree: Any) -> str:
    """Returns JSON in which a list of numbers stands on one line."""
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    pattern = re.compile(r"\[[^\[\]{}\"]*\]")
    return pattern.sub(lambda match: " ".join(match[0].split()), text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
