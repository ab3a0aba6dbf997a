"""The files of a run: the spec as given, the resolved spec, and the record `run.json`."""

from __future__ import annotations

import importlib.metadata
import io
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from halo_core.known_secrets import hide_known_in
from halo_core.plugins.entry_points import normalised
from halo_core.run.execute import component_record
from halo_core.run.identity import set_identity
from halo_core.run.plan import Plan, PlannedStage
from halo_core.spec.data_sets import SetSpec
from halo_core.spec.resolved import Resolved
from halo_core.spec.spec import Spec
from halo_core.spec.stages import BASE_MODEL
from halo_core.tracking.descriptions import kept
from halo_core.tracking.send import trackers_of
from halo_core.workspace.check_values import check_value
from halo_core.workspace.files import write_text
from halo_core.workspace.records import (
    RESOLVED_SPEC,
    RUN,
    SPEC,
    ComponentRecord,
    RunCell,
    RunRecord,
    RunStage,
)
from halo_core.workspace.run_title import new_title


def write_run(plan: Plan, command: Sequence[str]) -> None:
    """Writes the spec as given, the resolved spec, and `run.json` into the run's folder."""
    folder = plan.run_folder
    write_text(folder / SPEC, to_yaml(plan.spec.document.given))
    resolved = resolved_tree(plan.spec)
    record = _record(plan, command)
    # Before the resolved spec is written again: the title of an older halo's run comes from it.
    record["title"] = new_title(record, resolved, folder)
    write_text(folder / RESOLVED_SPEC, to_yaml(resolved))
    record["files"] = {name: check_value(folder / name) for name in (SPEC, RESOLVED_SPEC)}
    RUN.write(folder, record)


def to_yaml(tree: Any) -> str:
    """Returns a tree of plain values as YAML."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    yaml.dump(tree, text)
    return text.getvalue()


def resolved_tree(spec: Spec) -> dict[str, Any]:
    """Returns the spec with every default, name, reference and conversion written out."""
    return {
        "name": spec.name,
        "seed": spec.seed,
        "model": _model(spec),
        "data": {name: set_tree(data) for name, data in spec.sets.items()},
        # Left out if it is the default, so that finished cells of earlier suites are still found.
        **({"overlap": spec.overlap} if spec.overlap != "error" else {}),
        "stages": {
            stage.id: {
                **stage.resolved.tree(),
                **{option: id_ for option, id_ in stage.models.items() if "." not in option},
                **stage.inputs,
                **_data_options(stage.data),
            }
            for stage in spec.stages
        },
        "tracking": [tracker.tree() for tracker in spec.tracking],
        "reports": [report.tree() for report in spec.reports],
    }


def _data_options(data: Mapping[str, SetSpec]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option, data_set in data.items():
        name, _, within = option.partition(".")
        if within:
            options.setdefault(name, {})[within] = set_tree(data_set)
        else:
            options[name] = set_tree(data_set)
    return options


def set_tree(data: SetSpec) -> list[dict[str, Any] | str]:
    """Returns a data set's sources with their options, splits and held-out parts.

    The feedback of an earlier stage is written as the stage's id.
    """
    trees: list[dict[str, Any] | str] = []
    for source in data.sources:
        if source.resolved.written:
            trees.append(source.resolved.written)
            continue
        tree = {**source.resolved.tree(), "split": source.split}
        if source.part:
            tree["part"] = f"{source.part.side} {source.part.fraction}"
        trees.append(tree)
    return trees


def _model(spec: Spec) -> dict[str, Any]:
    model = spec.model
    if model.hub is not None:
        return {"hub": model.hub, "revision": model.revision}
    return {"path": str(model.path)} if model.path is not None else {"stage": BASE_MODEL}


def _record(plan: Plan, command: Sequence[str]) -> RunRecord:
    return RunRecord(
        name=plan.run_name,
        recipe=plan.spec.name,
        suite=_suite(plan),
        seed=plan.spec.seed,
        command=hide_known_in(list(command)),
        stages=[_stage(plan, stage) for stage in plan.stages],
        data={name: set_identity(data) for name, data in plan.spec.sets.items()},
        tracking=[tracker.tree() for tracker in plan.spec.tracking],
        # The links stay until trackers report them again, so that a killed run keeps its links.
        trackers=kept(RUN, plan.run_folder, trackers_of(plan.spec.tracking)),
        components=_components(plan.spec),
        versions=_versions(plan.spec),
    )


def _stage(plan: Plan, stage: PlannedStage) -> RunStage:
    record = RunStage(
        id=stage.id,
        use=stage.spec.resolved.name,
        folder=plan.workspace.relative(stage.folder),
        key=stage.key,
        product=stage.spec.component.produces,
        models=dict(stage.spec.models),
        inputs=dict(stage.spec.inputs),
        feedback=list(stage.spec.feedback_from),
        loss=loss_title(stage.spec.loss) if stage.spec.loss else None,
        roles=dict(stage.spec.roles),
    )
    if (made := plan.spec.document.made.get(stage.id)) is not None:
        record["round"], record["repeats"] = made.number, made.name
    return record


def loss_title(loss: Resolved) -> str:
    """Returns a loss's name with the names of its inner losses: ``humanline(kto)``."""
    held = [child for _, child in loss.children() if child.registration.kind == "loss"]
    return f"{loss.name}({', '.join(map(loss_title, held))})" if held else loss.name


def _suite(plan: Plan) -> RunCell | None:
    """Returns the suite's folder, relative to the workspace, and the run's cell in it."""
    cell = plan.spec.cell
    if cell is None:
        return None
    folder = plan.workspace.relative(plan.workspace.suite(cell.suite))
    return RunCell(folder=folder, cell=cell.id, axes=dict(cell.axes))


def used_components(spec: Spec) -> list[Resolved]:
    """Returns all components of a spec, including those inside others."""
    roots = [stage.resolved for stage in spec.stages]
    roots += [source.resolved for data in spec.sets.values() for source in data.sources]
    roots += [*spec.tracking, *spec.reports]
    return [part for root in roots for part in root.all()]


def _components(spec: Spec) -> list[ComponentRecord]:
    records = [component_record(part) for part in used_components(spec)]
    return list({str(record): record for record in records}.values())


def _versions(spec: Spec) -> dict[str, str]:
    """Returns the versions of the core and of the requirements of the used distributions.

    They are only recorded. An identity contains the versions of the components themselves.
    """
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    used = {part.registration.distribution for part in used_components(spec)}
    needed = {normalised(name) for distribution in used for name in _requirements(distribution)}
    for name in ("halo-core", *sorted(needed - {"halo-core"})):
        try:
            versions[name] = _version(importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _version(distribution: importlib.metadata.Distribution) -> str:
    """Returns a distribution's version. Python parses its whole description for that, in 1 ms."""
    headers, _, _ = (distribution.read_text("METADATA") or "").partition("\n\n")
    found = re.search(r"^Version:[ \t]*(\S+)[ \t]*$", headers, re.MULTILINE)
    return found[1] if found else distribution.version


def _requirements(distribution: str) -> list[str]:
    """Returns the names of a distribution's requirements, including extras not installed."""
    try:
        listed = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:  # a component in a local file
        return []
    return [re.split(r"[^\w.-]", text.strip(), maxsplit=1)[0] for text in listed]
