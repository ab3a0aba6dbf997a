"""The identity of every stage of every spec in ``examples/``, without the components' versions.

    python tests/golden/stages.py            compares them with stages.json; exits 1 on a difference
    python tests/golden/stages.py --write    writes stages.json again

A stage's key is the hash of its identity. A changed identity makes all stored results of this
stage useless. If a change is intended, write the file again in a separate commit, with the
reason. Versions represent the source code and change with every line of it, so each version is
replaced by a word. The script uses no network, so data sets of the hub have no digest here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from differences import differences

if TYPE_CHECKING:
    from halo_core.run.plan import Plan

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).with_suffix(".json")
VERSION = "any"
"""Replaces a component's version."""


def all_identities() -> dict[str, Any]:
    """Returns ``digests`` of all stages, by spec and cell, and ``trees`` of the specs' stages.

    A suite has many similar cells, so their digests are enough.
    """
    from halo_core.run.plan import make_plan
    from halo_core.spec.document import read_document
    from halo_core.spec.spec import load_spec
    from halo_core.spec.suite import is_suite, load_suite
    from halo_core.workspace.layout import Workspace

    digests: dict[str, Any] = {}
    trees: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        for file in sorted((ROOT / "examples").glob("*.yaml")):
            if is_suite(read_document(file), {}):
                plans = [make_plan(spec, workspace) for spec in load_suite(file).specs]
                digests[file.name] = {p.spec.cell.id: _digests(p) for p in plans if p.spec.cell}
            else:
                plan = make_plan(load_spec(file), workspace)
                digests[file.name] = _digests(plan)
                trees[file.name] = _trees(plan)
    return {"digests": digests, "trees": trees}


def _digests(plan: Plan) -> dict[str, str]:
    return {stage: _digest(tree) for stage, tree in _trees(plan).items()}


def _trees(plan: Plan) -> dict[str, Any]:
    """Returns the identity of each stage by id. Its input stages are named by their own digests."""
    names: dict[str, str] = {}
    trees = {}
    for stage in plan.stages:
        tree = trees[stage.id] = _without_versions(stage.identity, names)
        names[stage.key] = _digest(tree)
    return trees


def _without_versions(tree: Any, names: Mapping[str, str]) -> Any:
    if isinstance(tree, Mapping):
        kept = {key: _without_versions(value, names) for key, value in tree.items()}
        return kept | {"version": VERSION} if {"use", "version"} <= kept.keys() else kept
    if isinstance(tree, list | tuple):
        return [_without_versions(value, names) for value in tree]
    return names.get(tree, tree) if isinstance(tree, str) else tree


def _digest(tree: Any) -> str:
    text = json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument("--write", action="store_true", help="write stages.json again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:  # the content of a cache must not matter
        os.environ.update(HF_HOME=empty, HF_HUB_OFFLINE="1")
        now = all_identities()
    if options.write:
        KEPT.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return 0
    found = differences(json.loads(KEPT.read_text(encoding="utf-8")), now)
    for line in found:
        print(line)
    return int(bool(found))


_Formatter = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    sys.exit(main())
