"""`halo export`: writes a model of a run as a folder to share, and uploads it if asked to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.errors import UserError

if TYPE_CHECKING:
    from halo_trainer.export.weights import Precision
    from halo_trainer.export.write import Exported, Request


@click.command()
@click.argument("run", metavar="RUN[:STAGE]", type=RunName())
@click.argument("folder", metavar="DIR", type=LocalPath(path_type=Path))
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    help="Precision of the weights. The default is the stored one.",
)
@click.option("--adapter", is_flag=True, help="Write the adapter alone, not the merged model.")
@click.option(
    "--base-model",
    metavar="MODEL",
    help="With --adapter, the hub id or folder of the model that the adapter belongs to.",
)
@click.option(
    "--max-shard-size",
    default="5GB",
    show_default=True,
    metavar="SIZE",
    help="Largest file of weights. A larger model gets several files and an index.",
)
@click.option("--license", "license_id", metavar="ID", help="The hub's id of the licence.")
@click.option("--license-name", metavar="NAME", help="With --license other, its name.")
@click.option("--license-link", metavar="URL", help="With --license other, its address.")
@click.option(
    "--push",
    "repo",
    metavar="OWNER/NAME",
    help="Upload the folder to this repository of the hub, with the token in HF_TOKEN.",
)
@click.option("--public", is_flag=True, help="With --push, make a new repository public.")
@workspace_option
@output_options
def export(
    run: str,
    folder: Path,
    precision: Precision | None,
    adapter: bool,
    base_model: str | None,
    max_shard_size: str,
    license_id: str | None,
    license_name: str | None,
    license_link: str | None,
    repo: str | None,
    public: bool,
    workspace: str,
    output: Output,
) -> None:
    """Write a model of a run as a new folder, with its tokenizer and a model card.

    Without a stage, it is the last one of the run that has made a model. transformers loads the
    folder as it is.
    """
    from halo_trainer.export.card import license_given
    from halo_trainer.export.push import push, token_for
    from halo_trainer.export.source import find_source
    from halo_trainer.export.write import Request, check_folder, export as write

    _check_options(adapter, base_model, max_shard_size, repo, public)
    request = Request(
        folder=folder.absolute(),
        precision=precision,
        adapter=adapter,
        base_model=base_model,
        max_shard_size=max_shard_size,
        license=license_given(license_id, license_name, license_link),
        name=repo or ".",
    )
    token = token_for(repo) if repo is not None else ""
    check_folder(request.folder)
    source = find_source(run, Path(workspace))
    exported = write(source, request)
    answer = _answer(request, exported) | {"run": source.run.name, "stage": source.id}
    output.attach(**answer)
    _say(f"{source.run.name}:{source.id}", request, exported, output)
    if repo is not None:
        answer["pushed"] = push(request.folder, repo, token, public=public)
        output.say(f"uploaded to {answer['pushed']}")
    output.emit(answer)


def _check_options(
    adapter: bool, base_model: str | None, max_shard_size: str, repo: str | None, public: bool
) -> None:
    import re

    if base_model is not None and not adapter:
        raise UserError("only adapters have a base model; add --adapter", location="--base-model")
    if public and repo is None:
        raise UserError("nothing is uploaded; add --push OWNER/NAME", location="--public")
    if not re.fullmatch(r"[1-9]\d*[KMG]B", max_shard_size):
        raise UserError(
            f"got {max_shard_size!r}; expected a whole number with KB, MB or GB, as in 5GB",
            location="--max-shard-size",
        )


def _answer(request: Request, exported: Exported) -> dict[str, Any]:
    files = sorted(path for path in request.folder.rglob("*") if path.is_file())
    return {
        "folder": str(request.folder),
        "precision": exported.precision,
        "adapter": request.adapter,
        "base_model": exported.base_model,
        "license": request.license.id,
        "files": {
            path.relative_to(request.folder).as_posix(): path.stat().st_size for path in files
        },
        "checked": exported.checked,
        "pushed": None,
    }


def _say(name: str, request: Request, exported: Exported, output: Output) -> None:
    what = "the adapter of" if request.adapter else "the model of"
    stored = exported.stored
    from_ = f", converted from {stored.dtype}" if stored.dtype != exported.precision else ""
    size = stored.size(exported.precision)
    output.say(
        f"{request.folder}: {what} {name}, {stored.count:,} weights in {exported.precision}"
        f"{from_}, {size / 1e6:,.1f} MB"
    )
    output.say(f"base model: {exported.base_model}")
    if not exported.checked:
        output.say(
            "An older halo wrote the model, without check values: its files were not compared"
        )
    if request.license.id == "unknown":
        output.say("The card says that the licence is unknown; --license ID sets it")
