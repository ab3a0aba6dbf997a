"""The conditions under which models were judged, and the differences between them.

Win rates can be compared if the judge, orders, rival, prompts and sampling are the same. All of
them come from the stages' own records. Nothing is known about a stage without a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo_core.overview.spec_difference import difference_text, differences
from halo_core.workspace.recorded_roles import option_with, started_from, taken_from
from halo_core.workspace.records import RUN, STAGE, RunRecord, RunStage
from halo_report.compare.judged_models import JudgedModel


@dataclass(frozen=True)
class Conditions:
    """The conditions under which one model was judged.

    Attributes:
        judge: The judge with its options, template and version; {} if not known.
        orders: The orders in which both texts were shown.
        against: The rival: ``target`` or a sampling stage.
        sampler: The stage that sampled the judged completions: its options, its seed and the data
            of the prompts.
        method: The loss that trained the judged model; "" if none or not known.
        trained: The id of the stage that trained the model, or "".
    """

    judge: Mapping[str, Any] = field(default_factory=dict)
    orders: str = ""
    against: str = ""
    sampler: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    trained: str = ""


def conditions_of(model: JudgedModel) -> Conditions:
    """Returns the conditions under which a model was judged, as far as its stages recorded them."""
    workspace = model.run.folder.parent.parent
    stages = {stage["id"]: stage for stage in _run_record(model.run.folder).get("stages", ())}
    judge = stages.get(model.judge.id)
    record = _stage_record(workspace, judge)
    options = _mapping(record.get("stage"))
    sampler = stages.get(taken_from(judge)) if judge else None
    trainer = stages.get(started_from(sampler)) if sampler else None
    method = (trainer.get("loss") if trainer else None) or ""
    # Options are found by their role, not by name, because a plugin's stage may use other names.
    by, rival = (option_with(judge, role) if judge else "" for role in ("judge", "rival"))
    return Conditions(
        judge=_component(_options(record).get(by)),
        orders=str(options.get("orders") or ""),
        against=str(options.get(rival) or ""),
        sampler=_sampler(_stage_record(workspace, sampler)),
        method=method,
        trained=trainer["id"] if trainer and method else "",
    )


def unlike_conditions(models: Sequence[JudgedModel]) -> list[str]:
    """Returns a sentence for each condition in which the models differ."""
    conditions = {model.label: conditions_of(model) for model in models}
    return [
        *_differ("the judge", {label: own.judge for label, own in conditions.items()}),
        *_differ("the choice of orders", {label: own.orders for label, own in conditions.items()}),
        *_differ("the rival", {label: own.against for label, own in conditions.items()}),
        *_differ("the sampling", {label: own.sampler for label, own in conditions.items()}),
        *_prompts(models),
        *_rivals_texts(models),
    ]


def _differ(what: str, values: Mapping[str, Any]) -> list[str]:
    # Older runs recorded less. An unknown condition of one model says nothing about the others.
    known = {label: value for label, value in values.items() if value not in ("", {})}
    return [f"{what} differs: {difference_text(own)}" for own in differences(known)]


def _prompts(models: Sequence[JudgedModel]) -> list[str]:
    sets = [frozenset(model.cell.results) for model in models]
    if len(set(sets)) == 1:
        return []
    shared = len(frozenset.intersection(*sets))
    counts = ", ".join(f"{len(s)} ({model.label})" for s, model in zip(sets, models, strict=True))
    return [f"the test prompts differ: {counts}; all of them share {shared}"]


def _rivals_texts(models: Sequence[JudgedModel]) -> list[str]:
    """Returns a sentence if completions of the same prompt were judged against different texts."""
    texts: dict[str, set[str]] = {}
    for model in models:
        for verdict in model.judge.verdicts:
            if verdict.get("baseline") is not None:
                texts.setdefault(verdict["prompt_id"], set()).add(verdict["baseline"])
    changed = sum(len(of_prompt) > 1 for of_prompt in texts.values())
    if not changed:
        return []
    return [f"the rival's texts differ: on {changed} of {len(texts)} prompts"]


def _run_record(run: Path) -> RunRecord:
    return RUN.read(run) or RunRecord()


def _stage_record(workspace: Path, stage: RunStage | None) -> Mapping[str, Any]:
    return (STAGE.read(workspace / stage["folder"]) if stage else None) or {}


def _options(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the options that are part of a stage's identity. Components have their versions."""
    stage = _mapping(_mapping(record.get("identity")).get("stage"))
    return _mapping(stage.get("options"))


def _component(tree: Any) -> Mapping[str, Any]:
    """Returns a component's identity with its options on the same level as its name."""
    if not isinstance(tree, Mapping):
        return {}
    rest = {key: value for key, value in tree.items() if key != "options"}
    return {**rest, **_mapping(tree.get("options"))}


def _sampler(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if not record:
        return {}
    return {**_options(record), "seed": record.get("seed"), "prompts": _data(record)}


def _data(record: Mapping[str, Any]) -> list[str]:
    """Returns the sources of the prompts. The prompts themselves are compared one by one."""
    data = _mapping(_mapping(record.get("identity")).get("data"))
    sources = [source for of_option in data.values() for source in of_option]
    return [f"{source['component']['use']} {source['split']}" for source in sources]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
