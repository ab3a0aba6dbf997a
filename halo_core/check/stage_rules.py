"""The rules for a stage, which runs on inputs that the test kit makes."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from halo_core.check.rule import NotHereError, Rule
from halo_core.errors import UserError
from halo_core.guarded.stage_calls import mistakes_of
from halo_core.option_fields import fields_by_alias
from halo_core.stage import Inputs, Stage, StageContext

SECONDS = 60.0
"""Limit of each rule that runs a stage."""

SLOW_S = 2.0
"""Seconds of a run with a few rows above which a stage gets no more: they would take a minute."""

QUICK_S = 1.0
"""Seconds of three runs with a few rows up to which a stage also gets rows in all their forms."""

KILLS_S = 3.0
"""Approximate seconds of the kills without ``--full``."""


def stage_rules(*, full: bool) -> Sequence[Rule]:
    """Returns the rules for a stage.

    Args:
        full: Whether it is killed at all instants, and not only as often as there is time for.
    """

    def killed(stage: Stage) -> None:
        from halo_core.testing.stages.kills import NothingProvedError, check_killed

        with _inputs(stage) as context, _suited():
            try:
                check_killed(stage, context, seconds=None if full else KILLS_S)
            except (NotImplementedError, NothingProvedError) as error:
                raise NotHereError(str(error)) from error

    limit = 10 * SECONDS if full else SECONDS
    return [
        Rule("sayings", _check_sayings),
        Rule("runs", _check_runs, limit),
        Rule("passed-on", _check_passed_on, limit),
        Rule("seed", _check_seed, limit),
        Rule("other-options", _check_options, limit),
        Rule("elsewhere", partial(_check_elsewhere, full=full), limit),
        Rule("killed", killed, limit),
    ]


def stage_with(cls: type[Stage], samples: Mapping[str, Any], options: Mapping[str, Any]) -> Stage:
    """Returns a stage whose required options name inputs of the kit.

    Args:
        cls: Its class.
        samples: Values of other required options.
        options: Options that the user gave.

    Raises:
        ValidationError: When further options are required.
        UserError: When the stage refuses all options that the kit can choose.
    """
    from halo_core.testing.stages.stage_inputs import stage_options

    problems: list[tuple[str, str]] = []
    error: ValidationError | None = None
    for given in stage_options(cls):
        try:
            stage = cls.model_validate({**samples, **given, **options})
        except ValidationError as refusal:
            error = error or refusal
            continue
        if not given:
            return stage  # Its own defaults, whose mistakes are a broken rule.
        found = mistakes_of(stage)
        _check_named(stage, found)
        if not found:
            return stage
        problems = problems or found
    if not problems and error is not None:
        raise error
    told = "; ".join(f"{option}: {text}" for option, text in problems)
    raise UserError(
        f"no options that the check tried go together ({told}); give some: halo check NAME --set "
        "OPTION=VALUE"
    )


def _check_named(stage: Stage, found: Sequence[tuple[str, str]]) -> None:
    """Checks that mistakes are those of options that exist."""
    options = fields_by_alias(type(stage))
    for name, text in found:
        if name.partition(".")[0] not in options:
            raise AssertionError(
                f"{stage!r}: mistakes() names the option {name!r} ({text}); expected one of "
                f"{', '.join(options)}, at which halo shows the place in the spec"
            )


def _check_sayings(stage: Stage) -> None:
    from halo_core.testing.context import stage_context
    from halo_core.testing.stages.rules import check_sayings

    with tempfile.TemporaryDirectory() as folder:
        check_sayings(stage, stage_context(Path(folder)))


def _check_runs(stage: Stage) -> None:
    from halo_core.testing.stages.rules import check_runs
    from halo_core.testing.stages.stage_shapes import check_shapes

    with _inputs(stage) as context, _suited():
        around = context.folder.parent
        before = {path.name for path in around.iterdir()}
        check_runs(stage, context)
        outside = sorted({path.name for path in around.iterdir()} - before)
        if outside:
            raise AssertionError(
                f"{stage!r}: run() writes {', '.join(outside)} next to its folder; expected all "
                "files in its folder, where halo finds and removes them"
            )
        check_shapes(stage, context)


def _check_passed_on(stage: Stage) -> None:
    from halo_core.testing.stages.stage_passed_on import check_stage_passed_on

    with _inputs(stage) as context, _suited():
        _must_be_quick(stage, context)
        check_stage_passed_on(stage, context)


def _check_seed(stage: Stage) -> None:
    from halo_core.testing.stages.rules import check_seed
    from halo_core.testing.stages.stage_rows import mixed_data

    with _inputs(stage) as context, _suited():
        begun = time.monotonic()
        check_seed(stage, context)
        if not context.models and time.monotonic() - begun < QUICK_S:
            folder = context.folder.with_name("mixed")
            folder.mkdir()
            check_seed(stage, replace(context, data=mixed_data(folder, stage, context)))


def _check_elsewhere(stage: Stage, *, full: bool) -> None:
    from halo_core.testing.circumstances.elsewhere import check_elsewhere
    from halo_core.testing.circumstances.told import stage_told

    with _inputs(stage) as context, _suited():
        _must_be_quick(stage, context)
        if "torch" in sys.modules and not full:
            raise NotHereError(
                "another process would have to import torch, which takes long; --full checks it"
            )
        check_elsewhere(stage, stage_told, context.folder)


def _check_options(stage: Stage) -> None:
    from halo_core.testing.circumstances.other_options import check_stage_options
    from halo_core.testing.options.option_refusals import NotTriedError

    with _inputs(stage) as context, _suited():
        _must_be_quick(stage, context)
        try:
            check_stage_options(stage)
        except NotTriedError as error:
            raise NotHereError(str(error)) from error


def _must_be_quick(stage: Stage, context: StageContext) -> None:
    """Raises if a run with a few rows takes so long that one with all of the kit takes minutes.

    A stage that makes a model, or uses one, gets a few rows only.
    """
    from halo_core.testing.context import stage_context
    from halo_core.testing.processes.busy_machine import own_time

    if stage.produces == "model" or context.models:
        return
    with tempfile.TemporaryDirectory() as folder:
        own = stage_context(Path(folder) / "stage", inputs=context.inputs, data=context.data)
        begun = own_time()
        with suppress(Exception):  # The rule `runs` reports it.
            stage.run(own)
        took = own_time() - begun
    if took > SLOW_S:
        raise NotHereError(
            f"run() takes {took:.1f} s for the few rows of the rule 'runs', so this rule, which "
            "has more than a hundred rows, would take minutes"
        )


@contextmanager
def _inputs(stage: Stage) -> Iterator[StageContext]:
    """Yields a context with inputs of the kit, if the stage does not refuse them."""
    from halo_core.testing.stages.stage_inputs import given_context

    with tempfile.TemporaryDirectory() as folder:
        context = given_context(stage, Path(folder))
        inputs = Inputs(
            models=context.models,
            there=list(context.models),
            data=context.data,
            sketch=Path(folder) / "sketch",
        )
        try:
            problems = [f"{option}: {text}" for option, text in stage.check_inputs(inputs)]
        except UserError as error:
            problems = [str(error)]
        if problems:
            raise NotHereError(_unsuited("; ".join(problems)), refused=True)
        yield context


@contextmanager
def _suited() -> Iterator[None]:
    """Turns a refusal of the kit's inputs, or a library that is missing, into a skipped rule."""
    from halo_core.testing.component import HEAVY

    try:
        yield
    except UserError as error:
        raise NotHereError(_unsuited(str(error)), refused=True) from error
    except AssertionError as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise NotHereError(_unsuited(str(cause)), refused=True) from error
        while cause is not None:
            library = isinstance(cause, ModuleNotFoundError) and (cause.name or "").split(".")[0]
            if library in HEAVY:
                raise NotHereError(f"the package {library} is not installed") from error
            cause = cause.__cause__
        raise


def _unsuited(reason: str) -> str:
    return (
        f"it refuses the inputs of the kit ({reason}); give other "
        "options: halo check NAME --set OPTION=VALUE; or call halo_core.testing.check_stage in a "
        "test, with inputs of its own"
    )
