"""`halo validate SPEC`: finds every mistake of a spec without a heavy import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.options import (
    RunRequest,
    cell_option,
    parse_overrides,
    refuse_for_spec,
    spec_options,
)
from halo_core.cli.output import Output, output_options
from halo_core.printing import counted

if TYPE_CHECKING:
    from halo_core.spec.spec import Spec
    from halo_core.spec.suite import Suite


@click.command()
@click.option(
    "--resolved", is_flag=True, help="Print the spec with all defaults, names and conversions."
)
@spec_options
@cell_option
@output_options
def validate(
    spec_file: str, overrides: Sequence[str], cells: Sequence[str], resolved: bool, output: Output
) -> None:
    """Check a spec, or every cell of a suite: names, options, references, paths.

    This trains nothing and does not use torch.
    """
    request = RunRequest(Path(spec_file), parse_overrides(overrides), cells=cells)
    specs: Sequence[Spec]
    if request.is_suite():
        suite = request.suite()
        specs, size = suite.specs, counted(len(suite.specs), "cell")
    else:
        refuse_for_spec(cell=cells)
        suite, spec = None, request.spec()
        specs, size = [spec], counted(len(spec.stages), "stage")
    for warning in _warnings(specs):
        output.warn(warning)
    if output.json:
        output.emit(_suite_fields(suite) if suite else {"name": specs[0].name, **_fields(specs[0])})
        return
    answer = f"{spec_file} is valid: {size}. Next: halo plan {quote(spec_file)}"
    output.say(_resolved_text(specs, answer) if resolved else answer)


def _warnings(specs: Sequence[Spec]) -> list[str]:
    """Returns the warnings about all specs, each once."""
    from halo_core.spec.sampling_checks import sampling_warnings

    return list(dict.fromkeys(text for spec in specs for text in sampling_warnings(spec)))


def _fields(spec: Spec) -> dict[str, Any]:
    from halo_core.run.run_files import resolved_tree

    stages = [{"id": s.id, "use": s.resolved.name} for s in spec.stages]
    return {"stages": stages, "resolved": resolved_tree(spec)}


def _suite_fields(suite: Suite) -> dict[str, Any]:
    cells = [
        {"id": spec.cell.id, "axes": dict(spec.cell.axes), **_fields(spec)}
        for spec in suite.specs
        if spec.cell is not None
    ]
    return {"name": suite.name, "axes": dict(suite.matrix.axes), "cells": cells}


def _resolved_text(specs: Sequence[Spec], answer: str) -> str:
    """Returns the resolved specs as documents of one YAML text, which begins with a comment."""
    from halo_core.run.run_files import resolved_tree, to_yaml

    documents = []
    for spec in specs:
        cell = f"# {spec.cell.id}\n" if spec.cell is not None else ""
        documents.append(cell + to_yaml(resolved_tree(spec)).rstrip())
    return f"# {answer}\n" + "\n---\n".join(documents)


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
