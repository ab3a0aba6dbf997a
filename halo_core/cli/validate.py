"""`halo validate SPEC`: every mistake of a spec, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from halo_core.cli.output import Output, output_options
from halo_core.cli.spec_options import parse_overrides, spec_options


@click.command()
@spec_options
@output_options
def validate(spec_file: str, overrides: Sequence[str], output: Output) -> None:
    """Check a spec: names, options, references, paths. Nothing is trained, torch is not used."""
    from halo_core.run_record import resolved_tree, to_yaml
    from halo_core.spec.spec import load_spec

    spec = load_spec(Path(spec_file), parse_overrides(overrides))
    if output.json:
        stages = [{"id": s.id, "use": s.resolved.name} for s in spec.stages]
        output.emit({"name": spec.name, "stages": stages, "resolved": resolved_tree(spec)})
        return
    output.say(to_yaml(resolved_tree(spec)).rstrip())
    output.say()
    output.say(f"{spec_file} is valid: {len(spec.stages)} stages. Next: halo plan {spec_file}")
