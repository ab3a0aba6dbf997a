"""Checks the promises of every stage: valid answers, and an output where it should be."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.errors import Interrupted, UserError
from halo_core.events import EventLog
from halo_core.guarded.stage_calls import (
    PROMISED,
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
from halo_core.testing.advice import advise
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.left_running import leaves_nothing_running
from halo_core.testing.own_variables import keeps_variables
from halo_core.testing.processes.effects import caches
from halo_core.testing.stages.products import (
    check_content,
    check_tokenizer,
    hashes_of,
    results_in,
)
from halo_core.testing.stages.stage_contents import AskedFlag, check_rows_of, lines_of
from halo_core.testing.stages.stage_draws import check_drawn, draws_alone
from halo_core.testing.stages.stage_events import check_events_of, check_no_drafts
from halo_core.testing.stages.torch_modes import keeps_torch_modes
from halo_core.testing.stateless import does_only
from halo_core.workspace.records import EVENTS

LIBRARIES_SET = (
    "changes the filters of warnings",
    "sets the environment variable",
    "removes the variable",
    "changes the random state of numpy",
    "changes torch's",
)
"""Effects that a stage may have: it runs alone, and sets its libraries as it needs them."""


def check_stage(stage: Stage, context: StageContext) -> None:
    """Runs `check_component`, `check_sayings`, `check_runs` and `check_seed`.

    Args:
        stage: A stage with compatible options whose work takes seconds.
        context: Its inputs, in an empty folder; see `stage_context` and `data_set`.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(stage)
    rules = {"sayings": check_sayings, "runs": check_runs, "seed": check_seed}
    check_rules(stage, {name: partial(each, context=context) for name, each in rules.items()})


def check_sayings(stage: Stage, context: StageContext) -> None:
    """Checks the stage's answers before it runs.

    Args:
        stage: A stage with compatible options.
        context: The context whose folders it gets.

    Raises:
        AssertionError: When it finds mistakes in its options, an answer has the wrong type, or
            torch is imported for an answer that `halo plan` shows.
    """
    with_torch = "torch" in sys.modules
    with must_not_raise(stage, "what it says before it runs"):
        problems = mistakes_of(stage)
        feedback_wanted_of(stage)
        command_of(stage, context.folder)
        if stage.produces == "feedback":
            feedback_given_of(stage)
    expect(not problems, stage, f"mistakes() finds {problems}; expected compatible options")
    _check_forecasts(stage, context)
    expect(
        with_torch or "torch" not in sys.modules,
        stage,
        "mistakes(), forecast() or work() imports torch, which makes `halo plan` slow; import it "
        "in check_inputs() or run()",
    )
    _check_looking_ahead(stage, context)


def _check_forecasts(stage: Stage, context: StageContext) -> None:
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
            changed, an event is wrong (see `check_events_of`), or a draft, a thread or a process is
            left.
    """
    results: list[StageResult] = []
    inputs = _input_files(context)
    stop, asked = StopFlag(), AskedFlag()
    stop.set(2)
    with _alone(stage, context, "run() when it was asked to stop at once"):
        try:
            results.append(checked_result(stage, stage.run(replace(context, stop=stop))))
        except Interrupted:
            pass
    results.append(_run(stage, replace(context, stop=asked), "after a stop"))
    check_events_of(stage, context, results[-1])
    lines = lines_of(stage, context.folder)
    check_rows_of(stage, context, results[-1].metrics)
    check_tokenizer(stage, context)
    try:
        results.append(_run(stage, context, "once more"))
    except AssertionError as error:  # It has just taken these inputs, so it does not refuse them.
        raise AssertionError(str(error)) from None
    for before, after in pairwise(results_in(result.metrics) for result in results):
        expect(before == after, stage, f"run() gave {before}, and in the same folder {after}")
    expect(
        lines == lines_of(stage, context.folder),
        stage,
        f"run() once more in the same folder changes {PROMISED[stage.produces]}; expected the same "
        "content. Does it append to the file of an earlier run, or keep something between calls?",
    )
    if not asked.asked:
        advise(
            stage,
            "run() never asks context.stop, so Ctrl-C waits for its end; ask is_set() in each "
            "round, or put the work into `with context.stop.at_once(...)`",
        )
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
    check_no_drafts(stage, context.folder)


def _input_files(context: StageContext) -> Mapping[str, str]:
    """Returns the hash of each file of the stages, data and local models that a stage reads."""
    folders = [*context.inputs.values(), *(Path(m.path) for m in context.models.values())]
    files = [file for data in context.data.values() for file in data.files]
    files += [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    own = context.folder
    read = [path for path in files if path.is_file() and not path.is_relative_to(own)]
    return {str(path): file_hash(path) for path in read}


def _run(stage: Stage, context: StageContext, time: str) -> StageResult:
    with _alone(stage, context, f"run() {time}"):
        result = checked_result(stage, stage.run(context))
        check_product(stage, context.folder)
    check_content(stage, context.folder)
    return result


@contextmanager
def _alone(stage: Stage, context: StageContext, doing: str) -> Iterator[None]:
    """Checks that a run raises nothing, writes in its folders, and leaves all else as it is."""
    inside = [context.folder, context.cache, *caches()]
    with (
        must_not_raise(stage, doing),
        does_only(stage, doing, inside=inside, ignored=LIBRARIES_SET),
        leaves_nothing_running(stage, doing),
        keeps_variables(stage, doing),
        keeps_torch_modes(stage, doing),
    ):
        yield


def check_seed(stage: Stage, context: StageContext) -> None:
    """Checks that samples depend on the seed of the run, and that nothing else does by mistake.

    It runs the stage three times in new folders, with two seeds, if it makes samples, says that
    its output does not depend on the seed, or makes a generator without the seed of the run. Other
    outputs may or may not depend on it.

    Args:
        stage: The stage.
        context: Its inputs. Its folder is not used, but others next to it.

    Raises:
        AssertionError: When an output differs with the same seed; when samples are the same with
            both seeds, although the class does not set `seeded` to False; when another output is,
            and the stage draws with a constant; or when an output differs with them, although
            `seeded` is False.
    """
    if stage.seeded and stage.produces != "samples" and not draws_alone(stage):
        return
    contents = []
    for seed in (1, 2, 1):
        with TemporaryDirectory() as name:
            folder = Path(name)
            own = replace(
                context,
                folder=folder,
                seed=seed,
                cache=folder / "cache",
                events=EventLog(folder / EVENTS.name),
            )
            with _alone(stage, own, f"run() with the seed {seed}"):
                checked_result(stage, stage.run(own))
                check_product(stage, folder)
            contents.append(hashes_of(stage, folder))
    expect(
        contents[0] == contents[2],
        stage,
        "run() gives another output with the same seed and the same inputs; expected the same, "
        "because a run must be repeatable",
    )
    same = contents[0] == contents[1]
    check_drawn(stage, same=same)
    expect(
        not (stage.seeded and same and stage.produces == "samples"),
        stage,
        "run() gives the same samples with the seeds 1 and 2; draw them with context.seed, or set "
        "the class variable `seeded` to False, so that runs with other seeds use them again",
    )
    expect(
        stage.seeded or same,
        stage,
        "run() gives another output with the seeds 1 and 2, although `seeded` is False; runs with "
        "other seeds would use the output of the first one",
    )


__all__ = ["check_runs", "check_sayings", "check_seed", "check_stage"]
