"""Calls a stage's methods, and turns unexpected errors and wrong results into errors that name it.

Each function here calls one method and returns a result that the core can rely on. An error that a
stage raises on purpose (any `HaloError`) is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from halo_core.component import Component
from halo_core.errors import HaloError, PluginError
from halo_core.feedback import COLUMNS, Feedback
from halo_core.fit import Fit
from halo_core.guarded.blame import blaming, is_number, is_text, plugin_error
from halo_core.option_fields import fields_by_alias, refers_to
from halo_core.sampling import Sampling
from halo_core.stage import Forecast, Inputs, Known, ModelInput, Product, Stage, StageResult, Work
from halo_core.token_view import TokenView
from halo_core.workspace.records import FEEDBACK, SAMPLES, VERDICTS

if TYPE_CHECKING:
    from halo_core.judge import Judge

PROMISED: Mapping[Product, str] = {
    "model": "model",
    "samples": SAMPLES.name,
    "verdicts": VERDICTS.name,
    "feedback": FEEDBACK.name,
}
"""Files that a stage writes into its folder, by its product."""


def mistakes_of(stage: Stage) -> list[tuple[str, str]]:
    """Returns the options that contradict each other, each with a message."""
    return _pairs(stage, "mistakes", stage.mistakes)


def check_inputs_of(component: Stage | Judge, inputs: Inputs) -> list[tuple[str, str]]:
    """Returns the options of a stage or a judge that do not suit its inputs, with a message."""
    return _pairs(component, "check_inputs", lambda: component.check_inputs(inputs))


def _pairs(component: Component, method: str, call: Callable[[], object]) -> list[tuple[str, str]]:
    with blaming(component, method):
        returned = call()
        pairs: list[object] = list(returned) if isinstance(returned, Iterable) else [returned]
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and _are_texts(pair)):
            raise _wrong(component, method, repr(pair), "pairs of an option and a message")
    return [(option, message) for option, message in cast(list[tuple[str, str]], pairs)]


def feedback_wanted_of(stage: Stage) -> Mapping[str, Feedback]:
    """Returns the kind of feedback that each data option needs."""
    with blaming(stage, "feedback_wanted"):
        wanted: object = stage.feedback_wanted()
    if not isinstance(wanted, Mapping):
        raise _wrong(stage, "feedback_wanted", repr(wanted), "option to kind of feedback")
    options = [a for a, info in fields_by_alias(type(stage)).items() if refers_to(info) == "data"]
    for option, kind in wanted.items():
        if str(option).partition(".")[0] not in options:
            what = f"names {option!r}, which is not a data option; expected {', '.join(options)}"
            raise plugin_error(stage, "feedback_wanted", what)
        if not (isinstance(kind, str) and kind in COLUMNS):
            what = f"names {kind!r} for {option!r}; expected one of {', '.join(COLUMNS)}"
            raise plugin_error(stage, "feedback_wanted", what)
    return wanted


def feedback_given_of(stage: Stage) -> Feedback:
    """Returns the kind of the rows of a stage that makes feedback."""
    with blaming(stage, "feedback_given"):
        kind = stage.feedback_given()
    if not (isinstance(kind, str) and kind in COLUMNS):
        what = f"returned {kind!r}, but it makes feedback; expected one of {', '.join(COLUMNS)}"
        raise plugin_error(stage, "feedback_given", what)
    return kind


def forecast_of(stage: Stage, known: Known) -> Forecast:
    """Returns a stage's forecast."""
    with blaming(stage, "forecast"):
        forecast: object = stage.forecast(known)
    if not isinstance(forecast, Forecast):
        raise _wrong(stage, "forecast", repr(forecast), "Forecast(...)")
    for name in ("weights", "disk", "left"):
        number: object = getattr(forecast, name)
        if number is not None and not (
            isinstance(number, int) and is_number(number) and number >= 0
        ):
            expected = "a whole number of at least 0, or None"
            raise _wrong(stage, "forecast", f"{name}={number!r}", expected)
    for name, lines in (("size", forecast.size), ("ahead", forecast.ahead)):
        if not (isinstance(lines, Mapping) and _are_texts([*lines, *lines.values()])):
            raise _wrong(stage, "forecast", f"{name}={lines!r}", "label to text")
    for name, value, kind in (
        ("config", forecast.config, Mapping),
        ("fit", forecast.fit, Fit),
    ):
        if not (value is None or isinstance(value, kind)):
            expected = f"{kind.__name__}(...), or None"
            raise _wrong(stage, "forecast", f"{name}={value!r}", expected)
    return forecast


def draws_with_of(stage: Stage) -> Sampling | None:
    """Returns how a stage draws its samples; None if it is unknown."""
    with blaming(stage, "draws_with"):
        sampling: object = stage.draws_with()
    if sampling is not None and not isinstance(sampling, Sampling):
        raise _wrong(stage, "draws_with", repr(sampling), "Sampling(...), or None")
    return sampling


def work_of(stage: Stage, known: Known) -> Work | None:
    """Returns the amount of a stage's work; None if it is unknown."""
    with blaming(stage, "work"):
        work: object = stage.work(known)
    if work is None:
        return None
    if not (
        isinstance(work, Work)
        and isinstance(work.kind, str)
        and is_number(work.amount)
        and work.amount >= 0
    ):
        raise _wrong(stage, "work", repr(work), "Work(kind, amount) with an amount >= 0, or None")
    return work


def tidy_folder(stage: Stage, folder: Path) -> str | None:
    """Lets a finished stage remove its files; returns what went wrong, or None.

    The output is complete, so an error here does not make the stage fail.
    """
    try:
        with blaming(stage, "tidy"):
            stage.tidy(folder)
    except HaloError as error:
        return f"not all files that only an interrupted stage needs are removed: {error}"
    return None


def view_rows_of(stage: Stage, option: str, inputs: Inputs) -> Sequence[TokenView]:
    """Returns rows as the model of a stage sees them."""
    with blaming(stage, "view_rows"):
        views: object = stage.view_rows(option, inputs)
    if not (isinstance(views, Sequence) and all(isinstance(view, TokenView) for view in views)):
        raise _wrong(stage, "view_rows", repr(views), "a list of TokenView")
    return views


def preflight_of(stage: Stage, models: Mapping[str, ModelInput]) -> None:
    """Lets a stage check the models that exist."""
    with blaming(stage, "preflight"):
        returned: object = stage.preflight(models)  # type: ignore[func-returns-value]
    if returned is not None:
        expected = "None; a problem must be raised as a UserError"
        raise _wrong(stage, "preflight", repr(returned), expected)


def command_of(stage: Stage, folder: Path) -> Sequence[str] | None:
    """Returns the command that runs a stage in workers; None to run it in place."""
    with blaming(stage, "command"):
        command: object = stage.command(folder)
    if command is None:
        return None
    words = command if isinstance(command, Sequence) and not isinstance(command, str) else ()
    if not words or not _are_texts(words):
        raise _wrong(stage, "command", repr(command), "a program and its arguments, or None")
    return words


def machines_of(stage: Stage) -> int:
    """Returns the number of machines that run a stage's command."""
    with blaming(stage, "machines_needed"):
        count: object = stage.machines_needed()
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise _wrong(stage, "machines_needed", repr(count), "a number of at least 1")
    return count


def checked_result(stage: Stage, result: object) -> StageResult:
    """Returns the result of a stage's `run` after checking it.

    Raises:
        PluginError: When it is not a `StageResult` with finite numbers.
    """
    if not isinstance(result, StageResult):
        raise _wrong(stage, "run", repr(result), "StageResult(...)")
    if not is_text(result.headline):
        raise _wrong(stage, "run", f"headline={result.headline!r}", "a sentence")
    if not isinstance(result.metrics, Mapping):
        raise _wrong(stage, "run", f"metrics={result.metrics!r}", "name to number")
    for name, value in result.metrics.items():
        if not (isinstance(name, str) and is_number(value)):
            raise _wrong(stage, "run", f"the metric {name!r}: {value!r}", "a finite number")
    return result


def check_product(stage: Stage, folder: Path) -> None:
    """Checks that a stage wrote the files that other stages use.

    Raises:
        PluginError: When it did not.
    """
    promised = folder / PROMISED[stage.produces]
    there = any(promised.iterdir()) if promised.is_dir() else promised.is_file()
    if there and promised.is_dir() == (stage.produces == "model"):
        return
    name = f"{promised.name}/" if stage.produces == "model" else promised.name
    what = f"ended without {name} in its folder; a stage that makes {stage.produces} writes it"
    raise plugin_error(stage, "run", what)


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _wrong(stage: Component, method: str, came: str, expected: str) -> PluginError:
    return plugin_error(stage, method, f"returned {came}; expected {expected}")
