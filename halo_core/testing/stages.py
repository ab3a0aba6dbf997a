"""Checks the promises of every stage: valid answers, and an output where it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.errors import Interrupted, UserError
from halo_core.guarded.stage_calls import (
    check_inputs_of,
    check_product,
    checked_result,
    command_of,
    feedback_given_of,
    feedback_wanted_of,
    forecast_of,
    mistakes_of,
    tidy_folder,
    work_of,
)
from halo_core.hashing import file_hash
from halo_core.stage import Inputs, Known, Stage, StageContext, StageResult, StopFlag
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.products import check_content, results_in


def check_stage(stage: Stage, context: StageContext) -> None:
    """Runs `check_component`, `check_sayings` and `check_runs`.

    Args:
        stage: A stage with compatible options whose work takes seconds.
        context: Its inputs, in an empty folder; see `stage_context` and `data_set`.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(stage)
    rules = {"sayings": check_sayings, "runs": check_runs}
    check_rules(stage, {name: partial(each, context=context) for name, each in rules.items()})


def check_sayings(stage: Stage, context: StageContext) -> None:
    """Checks the stage's answers before it runs.

    Args:
        stage: A stage with compatible options.
        context: The context whose folders it gets.

    Raises:
        AssertionError: When it finds mistakes in its options, or an answer has the wrong type.
    """
    with must_not_raise(stage, "what it says before it runs"):
        problems = mistakes_of(stage)
        feedback_wanted_of(stage)
        command_of(stage, context.folder)
        if stage.produces == "feedback":
            feedback_given_of(stage)
    expect(not problems, stage, f"mistakes() finds {problems}; expected compatible options")
    _check_looking_ahead(stage, context)
    rows = {option: len(data) for option, data in context.data.items()}
    more = Known(
        weights=10**9,
        learned=100,
        rows=rows,
        row_bytes=dict.fromkeys(rows, 100.0),
        inputs=context.inputs,
        cache=context.cache,
    )
    for known in (Known(cache=context.cache), more, replace(more, done=True)):
        with must_not_raise(stage, f"forecast({known})"):
            try:
                forecast_of(stage, known)
            except UserError:
                pass  # The plan then says which inputs cannot be used.
        with must_not_raise(stage, f"work({known})"):
            work_of(stage, known)


def _check_looking_ahead(stage: Stage, context: StageContext) -> None:
    """Checks that the stage accepts its inputs, and also the absence of all inputs."""
    with TemporaryDirectory() as folder:
        none = Inputs(sketch=Path(folder) / "none")
        there = Inputs(
            models=context.models,
            there=list(context.models),
            data=context.data,
            sketch=Path(folder) / "all",
        )
        for inputs in (none, there, replace(there, sketch=Path(folder) / "now", begins=True)):
            with must_not_raise(stage, f"check_inputs({inputs})"):
                problems = check_inputs_of(stage, inputs)
            what = f"check_inputs({inputs}) finds {problems}; expected nothing"
            expect(not problems, stage, what)


def check_runs(stage: Stage, context: StageContext) -> None:
    """Runs the stage three times in one folder: asked to stop at once, to its end, and again.

    At the end it calls `tidy`, which must leave the promised output.

    Args:
        stage: The stage.
        context: Its inputs.

    Raises:
        AssertionError: When a run raises, returns numbers that are not finite, or does not write
            the promised output with valid lines and finite numbers (see `check_content`), or when
            the same work gives other numbers the second time. Metrics whose names end in ``_s`` or
            ``_gb`` are times, speeds or memory, and may differ. Also when a file that it reads is
            changed.
    """
    results: list[StageResult] = []
    inputs = _input_files(context)
    stop = StopFlag()
    stop.set(2)
    with must_not_raise(stage, "run() when it was asked to stop at once"):
        try:
            results.append(checked_result(stage, stage.run(replace(context, stop=stop))))
        except Interrupted:
            pass
    results += [_run(stage, context, time) for time in ("after a stop", "once more")]
    for before, after in pairwise(results_in(result.metrics) for result in results):
        expect(before == after, stage, f"run() gave {before}, and in the same folder {after}")
    left = _input_files(context)
    changed = sorted(name for name, digest in inputs.items() if left.get(name) != digest)
    expect(
        not changed,
        stage,
        f"run() changes or removes its inputs {', '.join(changed)}, which other stages use too",
    )
    complaint = tidy_folder(stage, context.folder)
    expect(complaint is None, stage, f"after run(): {complaint}")
    with must_not_raise(stage, "tidy() after run()"):
        check_product(stage, context.folder)


def _input_files(context: StageContext) -> Mapping[str, str]:
    """Returns the hash of each file of the stages, data and local models that a stage reads."""
    folders = [*context.inputs.values(), *(Path(m.path) for m in context.models.values())]
    files = [file for data in context.data.values() for file in data.files]
    files += [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    own = context.folder
    read = [path for path in files if path.is_file() and not path.is_relative_to(own)]
    return {str(path): file_hash(path) for path in read}


def _run(stage: Stage, context: StageContext, time: str) -> StageResult:
    with must_not_raise(stage, f"run() {time}"):
        result = checked_result(stage, stage.run(context))
        check_product(stage, context.folder)
    check_content(stage, context.folder)
    return result


__all__ = ["check_runs", "check_sayings", "check_stage"]
