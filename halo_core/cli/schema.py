"""`halo schema`: the JSON schema of specs, for editors, from the installed components."""

from __future__ import annotations

import click

from halo_core.cli.output import Output, output_options


@click.command()
@output_options
def schema(output: Output) -> None:
    """Print the JSON schema of specs, made from the installed components."""
    import json

    from halo_core.spec.json_schema import spec_schema

    found = spec_schema()
    if output.json:
        output.emit({"spec": found})
    else:
        output.say(json.dumps(found, indent=2, ensure_ascii=False))
