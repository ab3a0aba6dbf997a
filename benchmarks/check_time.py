"""Measures the CPU time of `halo check` on components, whole and for the rule that takes longest.

    python benchmarks/check_time.py kto copy toy        # some components
    python benchmarks/check_time.py                     # one or more of each kind

The time is that of this process and of all processes that it starts. A busy machine makes it a
little longer, but not by as much as the time on the clock. The first row of a kind that uses torch
contains its import.
"""

from __future__ import annotations

import os
import subprocess
import sys

NAMES = ("kto", "dpo", "grpo", "weighted-sum", "matched-kl", "running-mean", "copy", "ema")
NAMES += ("toy", "mixture", "paired-to-binary", "longest", "judge", "label", "sample", "train")
NAMES += ("mlflow", "html", "report", "export")
PROGRAM = """
import json, os, sys
from halo_core.check.component_rules import check_class
from halo_core.plugins.discovery import discover
from halo_core.plugins.registry import import_target
from halo_core.check.targets import find_target


def now():
    return sum(os.times()[:4])


registry = discover()
for registration in find_target(sys.argv[1], registry).registrations:
    begun, rules = now(), []
    for finding in check_class(registration, import_target(registration), {}):
        rules.append((round(now() - begun - sum(t for t, _ in rules), 2), finding.rule))
    rules.sort(reverse=True)
    print(json.dumps({
        "kind": registration.kind, "rules": len(rules), "all": round(now() - begun, 1),
        "longest": rules[:3],
    }), flush=True)
os._exit(0)
"""


def main() -> None:
    """Prints a line for each component."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    for name in sys.argv[1:] or NAMES:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, name],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        print(name, done.stdout.strip() or done.stderr.strip()[-300:], flush=True)


if __name__ == "__main__":
    main()
