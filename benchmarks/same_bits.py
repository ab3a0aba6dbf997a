"""Runs the quickstart from two checkouts on one machine and compares the results bit by bit.

    python benchmarks/same_bits.py OLD NEW [--short]

Both run the spec of OLD, each in its own processes and workspace, on one thread. The script
compares the token ids of the data, and the weights, samples and verdicts of each stage. Stages are
matched by their ids, because a change of the code changes their keys. The exit code is 1 if
anything differs. It takes about 10 minutes, or less than one minute with --short.

Install the packages that both checkouts need. Halo itself and its plugins are imported from the
checkouts, through PYTHONPATH.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.numpy import load_file

SHORT = {
    "stages.base.steps": 60,
    "stages.base.warmup_steps": 5,
    "stages.sft.steps": 12,
    "stages.sft.warmup_steps": 2,
    "stages.kto.steps": 10,
    "stages.kto.warmup_steps": 2,
    "stages.base-answers.n": 24,
    "stages.sft-answers.n": 24,
    "stages.kto-answers.n": 24,
}
"""Changes that let the quickstart run in seconds, with samples that are still meaningful."""

LINES = ("samples.jsonl", "verdicts.jsonl", "feedback.jsonl")
COLUMNS = ("id", "prompt_id", "prompt", "completions", "desirable", "completion_ids")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

_HALO = """
import importlib.util, pathlib, sys
root = pathlib.Path(sys.argv[1])
for package in sys.argv[2].split():
    origin = importlib.util.find_spec(package).origin
    assert pathlib.Path(origin).is_relative_to(root), f"{package} comes from {origin}"
from halo_core.cli import call
sys.exit(call(sys.argv[3:]))
"""

Parts = Mapping[str, Any]
"""Parts of a run's results by name: tensors or JSON objects."""


def run_quickstart(
    checkout: Path, spec: Path, workspace: Path, changes: Mapping[str, object]
) -> None:
    """Runs a spec with the code of a checkout, without trackers and reports.

    Args:
        checkout: The folder with `halo_core`, `plugins` and perhaps `libraries`.
        spec: The spec.
        workspace: The workspace, which should be empty.
        changes: Values by dotted path in the spec, as for ``--set``.

    Raises:
        RuntimeError: When the run fails. The error has its output.
    """
    sources = [checkout, *checkout.glob("plugins/*/src"), *checkout.glob("libraries/*/src")]
    packages = [p.parent.name for s in sources for p in s.glob("halo_*/__init__.py")]
    settings = {"tracking": [], "reports": [], **changes}
    words = [w for k, v in settings.items() for w in ("--set", f"{k}={json.dumps(v)}")]
    command = ["run", str(spec), "--workspace", str(workspace), *words]
    environment = os.environ | ONE_THREAD | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _HALO, str(checkout), " ".join(packages), *command],
        env=environment | {"PYTHONPATH": os.pathsep.join(map(str, sources))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{checkout}: the run ended with {done.returncode}\n{done.stdout}")


def encoded_rows(workspace: Path) -> list[list[dict[str, Any]]]:
    """Returns the encoded data sets of a workspace as rows of ids, in a fixed order."""
    found = []
    for file in workspace.glob("cache/**/*.arrow"):
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_file(source).read_all()
            if "completions" in table.column_names:
                found.append(table.select([c for c in COLUMNS if c in table.column_names]))
    rows = [table.to_pylist() for table in found]
    return sorted(rows, key=digest)


def stage_folders(workspace: Path) -> dict[str, Path]:
    """Returns the folders of the stages by id, for the only run of a workspace."""
    (record,) = workspace.glob("runs/*/run.json")
    stages = json.loads(record.read_text(encoding="utf-8"))["stages"]
    return {stage["id"]: workspace / stage["folder"] for stage in stages}


def weights(stage: Path) -> dict[str, Any]:
    """Returns the tensors that a stage saved, by file and name; none if it makes no model."""
    return {
        f"{file.name}: {name}": tensor
        for file in sorted((stage / "model").glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def lines(file: Path) -> list[dict[str, Any]]:
    """Returns the objects in a file of JSON lines, without the version of newer files."""
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "v"} for line in found]


def digest(tree: Any) -> str:
    """Returns 16 hexadecimal digits of the hash of a JSON tree."""
    text = json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parts(workspace: Path) -> dict[tuple[str, str], Parts]:
    """Returns the parts to compare by name, for each stage and kind."""
    sets = {f"data set {i}": rows for i, rows in enumerate(encoded_rows(workspace), start=1)}
    found: dict[tuple[str, str], Parts] = {("(all)", "token ids"): sets}
    for stage, folder in stage_folders(workspace).items():
        tensors = weights(folder)
        if tensors:
            found[stage, "weights"] = tensors
        for name in LINES:
            if (folder / name).is_file():
                kind = name.partition(".")[0]
                found[stage, kind] = {
                    f"line {i}": line for i, line in enumerate(lines(folder / name), start=1)
                }
    return found


def compared(old: Parts, new: Parts) -> str:
    """Returns "same" or the difference."""
    if list(old) != list(new):
        return f"DIFFERS: {len(old)} and {len(new)} parts, or other names"
    different = [name for name in old if not same(old[name], new[name])]
    if not different:
        return "same"
    first = different[0]
    return f"DIFFERS: {len(different)} of {len(old)}; {first}: {_by(old[first], new[first])}"


def same(old: Any, new: Any) -> bool:
    """Returns whether two parts are equal bit by bit, including NaN and -0.0 in tensors."""
    if not isinstance(old, np.ndarray):
        return bool(digest(old) == digest(new))
    alike = isinstance(new, np.ndarray) and (old.dtype, old.shape) == (new.dtype, new.shape)
    return alike and old.tobytes() == new.tobytes()


def _by(old: Any, new: Any) -> str:
    if isinstance(old, np.ndarray) and old.shape == new.shape:
        furthest = np.abs(old.astype(np.float64) - new.astype(np.float64)).max()
        return f"by {furthest:.3g} at most"
    if isinstance(old, dict):
        return ", ".join(k for k in {**old, **new} if old.get(k) != new.get(k))
    return "not the same"


def rows(old: Path, new: Path) -> Iterator[tuple[str, str, int, str]]:
    """Yields stage, kind, number of parts and the result of comparing two workspaces."""
    before, after = parts(old), parts(new)
    for stage, kind in dict.fromkeys([*before, *after]):
        a, b = before.get((stage, kind), {}), after.get((stage, kind), {})
        yield stage, kind, len(a), compared(a, b)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="a checkout")
    parser.add_argument("new", type=Path, metavar="NEW", help="another one")
    parser.add_argument("--short", action="store_true", help="few steps and samples")
    options = parser.parse_args(arguments)
    spec = options.old.resolve() / "examples" / "quickstart.yaml"
    with tempfile.TemporaryDirectory() as folder:
        workspaces = [Path(folder) / "old", Path(folder) / "new"]
        for checkout, workspace in zip((options.old, options.new), workspaces, strict=True):
            run_quickstart(checkout.resolve(), spec, workspace, SHORT if options.short else {})
        found = list(rows(*workspaces))
    print(f"{'stage':14}{'what':12}{'parts':>6}  result")
    for stage, kind, count, result in found:
        print(f"{stage:14}{kind:12}{count:6}  {result}")
    return int(any(result != "same" for *_, result in found))


if __name__ == "__main__":
    sys.exit(main())
