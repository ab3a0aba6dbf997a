"""Under which circumstances a model was judged, and where those of two models differ.

Win rates can be compared when judge, orders, rival, prompts and sampler are the same. All of it is
read from what the stages recorded of themselves; of a stage without a record nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo_core.workspace.recorded_roles import option_with, started_from, taken_from
from halo_core.workspace.records import RUN, STAGE, RunRecord, RunStage
from halo_report.compare.judged_models import Entry
from halo_report.compare.spec_difference import difference_text, differences


@dataclass(frozen=True)
class Circumstances:
    """How one model was judged.

    Attributes:
        judge: The judge with its options, template and version; {} if not known.
        orders: In which orders both texts were shown.
        against: What with: ``target``, or the sampling stage.
        sampler: Of the judged completions: options, seed and the data of the prompts.
        method: The loss that trained the judged model; "" if none or not known.
        trained: The id of the stage that trained it, or "".
    """

    judge: Mapping[str, Any] = field(default_factory=dict)
    orders: str = ""
    against: str = ""
    sampler: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    trained: str = ""


def circumstances(entry: Entry) -> Circumstances:
    """Returns how an entry's model was judged, as far as its stages recorded it."""
    workspace = entry.run.folder.parent.parent
    stages = {stage["id"]: stage for stage in _run_record(entry.run.folder).get("stages", ())}
    judge = stages.get(entry.judge.id)
    told = _stage_record(workspace, judge)
    options = _mapping(told.get("stage"))
    sampler = stages.get(taken_from(judge)) if judge else None
    model = stages.get(started_from(sampler)) if sampler else None
    method = (model.get("loss") if model else None) or ""
    by, rival = (option_with(judge, role) if judge else "" for role in ("judge", "rival"))
    return Circumstances(
        judge=_component(_options(told).get(by)),
        orders=str(options.get("orders") or ""),
        against=str(options.get(rival) or ""),
        sampler=_sampler(_stage_record(workspace, sampler)),
        method=method,
        trained=model["id"] if model and method else "",
    )


def unlike(entries: Sequence[Entry]) -> list[str]:
    """Returns a sentence for each circumstance in which the entries differ."""
    found = {entry.label: circumstances(entry) for entry in entries}
    told = _differ("the judge", {label: each.judge for label, each in found.items() if each.judge})
    told += _differ("the choice of orders", {label: each.orders for label, each in found.items()})
    told += _differ("the rival", {label: each.against for label, each in found.items()})
    told += _differ("the sampler", {n: each.sampler for n, each in found.items() if each.sampler})
    return [*told, *_prompts(entries), *_rivals_texts(entries)]


def _differ(what: str, values: Mapping[str, Any]) -> list[str]:
    known = {label: value for label, value in values.items() if value not in ("", {})}
    return [f"{what} differs: {difference_text(each)}" for each in differences(known)]


def _prompts(entries: Sequence[Entry]) -> list[str]:
    sets = [frozenset(entry.cell.results) for entry in entries]
    if len(set(sets)) == 1:
        return []
    shared = len(frozenset.intersection(*sets))
    counts = ", ".join(f"{len(s)} ({entry.label})" for s, entry in zip(sets, entries, strict=True))
    return [f"the test prompts differ: {counts}; all of them share {shared}"]


def _rivals_texts(entries: Sequence[Entry]) -> list[str]:
    """Returns a sentence where a prompt's completions were judged against other texts."""
    texts: dict[str, set[str]] = {}
    for entry in entries:
        for verdict in entry.judge.verdicts:
            if verdict.get("baseline") is not None:
                texts.setdefault(verdict["prompt_id"], set()).add(verdict["baseline"])
    changed = sum(len(each) > 1 for each in texts.values())
    if not changed:
        return []
    return [f"the rival's texts differ: on {changed} of {len(texts)} prompts"]


def _run_record(run: Path) -> RunRecord:
    return RUN.read(run) or RunRecord()


def _stage_record(workspace: Path, stage: RunStage | None) -> Mapping[str, Any]:
    return (STAGE.read(workspace / stage["folder"]) if stage else None) or {}


def _options(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the options that are part of a stage's identity, components with versions."""
    stage = _mapping(_mapping(record.get("identity")).get("stage"))
    return _mapping(stage.get("options"))


def _component(tree: Any) -> Mapping[str, Any]:
    """Returns a component's identity with its options beside its name."""
    if not isinstance(tree, Mapping):
        return {}
    rest = {key: value for key, value in tree.items() if key != "options"}
    return {**rest, **_mapping(tree.get("options"))}


def _sampler(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if not record:
        return {}
    return {**_options(record), "seed": record.get("seed"), "prompts": _data(record)}


def _data(record: Mapping[str, Any]) -> list[str]:
    """Returns the sources of the prompts; their contents are compared prompt by prompt."""
    data = _mapping(_mapping(record.get("identity")).get("data"))
    sources = [source for found in data.values() for source in found]
    return [f"{each['component']['use']} {each['split']}" for each in sources]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
