"""Lets the stages of all cells of a suite check their inputs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.errors import HaloError, SpecErrors
from halo_core.garbage import few_collections
from halo_core.run.look_ahead import LookAhead
from halo_core.spec.suite import raise_together
from halo_core.stage import ModelInput
from halo_core.suite.plan import SuitePlan


@few_collections()  # torch is imported meanwhile, and that makes half a million objects.
def check_suite(plan: SuitePlan) -> None:
    """Asks every stage once to check its inputs, even if several cells share it. Reads no rows.

    Each cell checks its rows and this machine when it runs.

    Args:
        plan: The suite's plan.

    Raises:
        SpecErrors: With every mistake found, and the cells that have it.
    """
    failures: dict[str, list[HaloError]] = {}
    sketches: dict[Path, ModelInput] = {}
    with TemporaryDirectory() as folder:
        for number, shared in enumerate(plan.todo):
            first = plan.plans[shared.cells[0]]
            own = Path(folder) / str(number)
            own.mkdir()
            ahead = LookAhead(first, [shared.stage], begins=False, sketches=sketches)
            try:
                ahead.check({}, own)
            except SpecErrors as error:
                for id_ in shared.cells:
                    failures.setdefault(id_, []).extend(error.errors)
    raise_together(plan.suite.specs[0].document, failures, len(plan.plans))
