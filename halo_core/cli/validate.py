"""`halo validate SPEC`: finds every mistake of a spec without a heavy import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from halo_core.cli.options import (
    RunRequest,
    cell_option,
    parse_overrides,
    refuse_for_spec,
    spec_options,
)
from halo_core.cli.output import Output, output_options


@click.command()
@spec_options
@cell_option
@output_options
def validate(
    spec_file: str, overrides: Sequence[str], cells: Sequence[str], output: Output
) -> None:
    """Check a spec, or every cell of a suite: names, options, references, paths.

    This trains nothing and does not use torch.
    """
    request = RunRequest(Path(spec_file), parse_overrides(overrides), cells=cells)
    if request.is_suite():
        _validate_suite(request, output)
        return
    refuse_for_spec(cell=cells)
    _validate_spec(request, output)


def _validate_spec(request: RunRequest, output: Output) -> None:
    from halo_core.run.run_files import resolved_tree, to_yaml

    spec = request.spec()
    if output.json:
        stages = [{"id": s.id, "use": s.resolved.name} for s in spec.stages]
        output.emit({"name": spec.name, "stages": stages, "resolved": resolved_tree(spec)})
        return
    output.say(to_yaml(resolved_tree(spec)).rstrip())
    output.say()
    file = request.spec_file
    output.say(f"{file} is valid: {len(spec.stages)} stages. Next: halo plan {file}")


def _validate_suite(request: RunRequest, output: Output) -> None:
    from halo_core.run.run_files import resolved_tree, to_yaml

    suite = request.suite()
    checked: list[dict[str, Any]] = []
    for spec in suite.specs:
        assert spec.cell is not None
        stages = [{"id": s.id, "use": s.resolved.name} for s in spec.stages]
        checked.append({"id": spec.cell.id, "axes": dict(spec.cell.axes), "stages": stages})
    if output.json:
        resolved = [resolved_tree(spec) for spec in suite.specs]
        both = [{**cell, "resolved": tree} for cell, tree in zip(checked, resolved, strict=True)]
        output.emit({"name": suite.name, "axes": dict(suite.matrix.axes), "cells": both})
        return
    if len(suite.specs) == 1:
        output.say(to_yaml(resolved_tree(suite.specs[0])).rstrip())
        output.say()
    for cell in checked:
        output.say(f"  {cell['id']}: {', '.join(stage['id'] for stage in cell['stages'])}")
    file = request.spec_file
    output.say(f"{file} is valid: {len(checked)} cells. Next: halo plan {file}")


@click.command()
@output_options
def schema(output: Output) -> None:
    """Print the JSON schema of specs with the installed components."""
    import json

    from halo_core.spec.json_schema import spec_schema

    spec = spec_schema()
    if output.json:
        output.emit({"spec": spec})
    else:
        output.say(json.dumps(spec, indent=2, ensure_ascii=False))
