"""Checks before a stage that the secrets which its options name are there."""

from __future__ import annotations

from halo_core.run.plan import PlannedStage
from halo_core.secret import not_set, secrets_in
from halo_core.spec.mistakes import Mistakes


def check_secrets(stage: PlannedStage, mistakes: Mistakes) -> None:
    """Adds a mistake for each secret of a stage, or of its data, whose variable is not set.

    Args:
        stage: The stage.
        mistakes: Gets the mistakes, at the places of the options.
    """
    sources = [source for data in stage.spec.data.values() for source in data.sources]
    for resolved in (stage.spec.resolved, *(source.resolved for source in sources)):
        for keys, secret in secrets_in(resolved.component):
            if not secret.is_set:
                mistakes.add((*resolved.keys, *keys), not_set(secret.variable))
