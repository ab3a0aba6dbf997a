"""`halo init`: writes a first spec from three answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, TypeVar

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.output import Output, output_options
from halo_core.errors import HaloError, PathError, UserError, renewed
from halo_core.printing import say
from halo_core.workspace.records import SPEC

if TYPE_CHECKING:
    from halo_core.plugins.registry import Registry

AnswerT = TypeVar("AnswerT")
MODEL = "Model: a folder, a GGUF file, an id on the hub (owner/name), or new for a small new model"
DATA = "Data: a file or folder with feedback, a data source (halo plugins), or an id on the hub"


@click.command()
@click.argument("spec_file", metavar="[FILE]", default=SPEC, type=LocalPath())
@click.option(
    "--model",
    metavar="MODEL",
    help="The model to align: a folder, a GGUF file, an id on the hub, or new for a small new one.",
)
@click.option(
    "--data",
    metavar="DATA",
    help="The feedback: a file, a folder, a data source, or an id on the hub.",
)
@click.option("--method", metavar="LOSS", help="The loss that aligns the model, such as kto.")
@click.option("--lora", is_flag=True, help="Train low-rank factors instead of all weights.")
@output_options
def init(
    spec_file: str,
    model: str | None,
    data: str | None,
    method: str | None,
    lora: bool,
    output: Output,
) -> None:
    """Write a commented spec to FILE (spec.yaml). Asks for the options that are left out.

    It never overwrites a file.
    """
    from halo_core.plugins.discovery import discover
    from halo_core.spec.document import parse_document
    from halo_core.spec.draft import (
        NEW,
        draft_data,
        draft_model,
        draft_spec,
        fitting_methods,
        method_slug,
    )
    from halo_core.spec.spec import check_spec

    path = Path(spec_file)
    _refuse_existing(path)
    _refuse_without_terminal({"--model": model, "--data": data, "--method": method}, output)
    folder, registry = path.resolve().parent, discover()
    model, model_value = _answer(model, MODEL, lambda text: draft_model(text, folder, registry))
    _, source = _answer(data, DATA, lambda text: draft_data(text, folder, registry))
    methods = fitting_methods(source.feedback, registry)
    kind = f"{source.feedback} feedback" if source.feedback else "feedback of a kind not known yet"
    question = f"Method for {kind}: {', '.join(methods) or 'a loss'}"
    method, _ = _answer(method, question, lambda text: _check_method(text, kind, methods, registry))
    slug, new = method_slug(method), model == NEW
    text = draft_spec(str(path), model_value, source, method, new=new, slug=slug, lora=lora)
    check_spec(parse_document(text, name=path.name, folder=folder), registry)
    _write(path, text)
    output.emit({"file": str(path), "model": model, "feedback": source.feedback, "method": method})
    start = "a new model" if new else f"the model{model_value}"
    typed = quote(str(path))
    output.say(f"wrote {path}: {method} on {kind}, from {start}. Next: halo plan {typed}")


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise PathError(
            "this exists already, and halo init overwrites nothing; name another file, as in halo "
            "init other.yaml",
            location=str(path),
        )
    if not path.resolve().parent.is_dir():
        raise PathError("no such folder; make it first", location=str(path.parent))


def _refuse_without_terminal(options: dict[str, str | None], output: Output) -> None:
    missing = [name for name, value in options.items() if value is None]
    if missing and (output.json or not sys.stdin.isatty()):
        why = "--json asks no questions" if output.json else "there is no terminal to ask in"
        raise UserError(
            f"no {' and no '.join(missing)}, and {why}; expected all three, as in halo init "
            "--model owner/name --data pairs.jsonl --method dpo",
            location="halo init",
        )


def _answer(
    given: str | None, question: str, read: Callable[[str], AnswerT]
) -> tuple[str, AnswerT]:
    """Returns an option, or the answer to a question, as text and as read.

    A question is asked again after an answer that cannot be used.
    """
    if given is not None:
        return given, read(given)
    while True:
        text = click.prompt(question, type=str).strip()
        try:
            return text, read(text)
        except HaloError as error:
            say(str(error), err=True)


def _check_method(method: str, kind: str, fitting: Sequence[str], registry: Registry) -> None:
    where = f"--method {method}"
    try:
        registry.find("loss", method)
    except HaloError as error:
        raise renewed(error, error.message, where) from None
    if kind.endswith("not known yet") or method in fitting:
        return
    if not fitting:
        raise UserError(
            f"no method fits {kind} without a conversion; write the spec by hand, with a "
            "conversion as on the page 'Data' of the docs",
            location=where,
        )
    raise UserError(
        f"{method} does not fit {kind}, makes no model that answers, or needs options; expected "
        f"one of {', '.join(fitting)}. For another one, write the spec by hand",
        location=where,
    )


def _write(path: Path, text: str) -> None:
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        _refuse_existing(path)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        with file:
            file.write(text)
    except BaseException as error:  # Half a spec would keep the next `halo init` from writing one.
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritten(path, error) from error
        raise


def _unwritten(path: Path, error: OSError) -> PathError:
    return PathError(f"cannot be written: {error.strerror or error}", location=str(path))
