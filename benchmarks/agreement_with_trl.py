"""Compares the values and gradients of halo's losses with those of TRL 1.16 on one batch.

TRL's side calls `compute_loss` of TRL's own trainers on batches of their own collators
(`agreement/trl_side.py`). Our side runs the losses of halo-methods on log-probabilities that are
computed sequence by sequence, without padding (`agreement/halo_side.py`). The model is a small
Llama with random weights, and the reference is another one. The weights are float64, but TRL's
fused output head works in float32, and its rounding causes most of the differences.

If TRL computes something else than the paper that halo cites, a second table compares both with the
paper's equation in plain Python (`agreement/paper_side.py`).

TRL is not a dependency of halo. In an environment with halo's plugins:

    pip install trl==1.16.0
    python benchmarks/agreement_with_trl.py

The exit code is 1 if a loss or gradient exceeds its tolerance or halo departs from a paper's
equation, and 2 if TRL is not installed.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence

import datasets
import torch
from agreement.agreements import AGREEMENTS, Agreement
from agreement.departures import Departure, find_departures
from agreement.halo_side import Ours
from agreement.tiny_world import make_model

EXPECTED_TRL = "1.16."


def main() -> int:
    try:
        import trl
    except ModuleNotFoundError:
        print("TRL is not installed; expected 1.16: pip install trl==1.16.0", file=sys.stderr)
        return 2
    datasets.disable_progress_bars()
    logging.disable(logging.WARNING)  # of TRL, about options
    warnings.simplefilter("ignore", FutureWarning)  # about options that TRL itself sets
    if not trl.__version__.startswith(EXPECTED_TRL):
        print(f"warning: TRL is {trl.__version__}; this was written for 1.16.0", file=sys.stderr)
    torch.set_num_threads(1)
    models = Ours(make_model(seed=1), make_model(seed=2))
    agreements = [found for part in AGREEMENTS for found in part(models)]
    departures = list(find_departures(models))
    print_agreements(agreements)
    print_departures(departures)
    return 0 if all(row.holds for row in (*agreements, *departures)) else 1


def print_agreements(agreements: Sequence[Agreement]) -> None:
    """Prints the worst of all agreements with the same name."""
    print(f"{'halo = TRL':56}{'times':>6}{'loss':>12}{'difference':>12}{'gradient':>10}")
    for name in dict.fromkeys(row.name for row in agreements):
        rows = [row for row in agreements if row.name == name]
        worst = max(rows, key=lambda row: abs(row.ours - row.trl))
        gradient = max(row.gradient for row in rows)
        beyond = "" if all(row.holds for row in rows) else "  beyond"
        print(
            f"{name:56}{len(rows):6}{worst.trl:12.7f}{abs(worst.ours - worst.trl):12.1e}"
            f"{gradient:10.1e}{beyond}"
        )


def print_departures(departures: Sequence[Departure]) -> None:
    print(f"\n{'halo, TRL: what TRL does':56}{'halo':>12}{'TRL':>12}{'paper':>12}")
    for row in departures:
        verdict = "" if row.holds else "  unexpected"
        print(f"{row.name:56}{row.ours:12.7f}{row.trl:12.7f}{row.paper:12.7f}{verdict}")


if __name__ == "__main__":
    sys.exit(main())
