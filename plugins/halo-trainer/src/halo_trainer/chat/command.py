"""`halo chat`: a conversation with one model, or with two that answer without their names."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.errors import HaloError, UserError
from halo_core.printing import say

if TYPE_CHECKING:
    from halo_core.workspace.find_model import FoundModel
    from halo_trainer.chat.session import ChatSession, Model

MOST = 2
"""Largest number of models that answer."""


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="RUN[:STAGE]|FOLDER...",
                type=RunName())  # fmt: skip
@click.option("--system", metavar="TEXT", help="System message of the conversation.")
@click.option("--feedback", default="chat", metavar="NAME", show_default=True,
              help="Write feedback to NAME.binary.jsonl and NAME.paired.jsonl.")  # fmt: skip
@click.option("--max-new-tokens", type=click.IntRange(min=1), metavar="N",
              help="Largest number of tokens of an answer.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True,
              help="Divisor of the logits. 0 takes the most probable token.")  # fmt: skip
@click.option("--top-p", type=click.FloatRange(min=0, max=1, min_open=True), default=1.0,
              show_default=True,
              help="Keep the fewest tokens that have this probability together.")  # fmt: skip
@click.option("--top-k", type=click.IntRange(min=0), default=0, show_default=True,
              help="Keep this number of most probable tokens. 0 keeps all.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the answers.")
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto",
              show_default=True, help="Precision of weights and computation.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto",
              show_default=True, help="Device to compute on.")  # fmt: skip
@workspace_option
@output_options
def chat(
    models: Sequence[str],
    system: str | None,
    feedback: str,
    workspace: str,
    output: Output,
    seed: int,
    **options: Any,
) -> None:
    """Talk with a model of a run, or compare two.

    RUN is the last model of a run that is done, and RUN:STAGE another one. The model answers as in
    the stage `sample`: with its chat template and its end tokens. /up and /down write feedback.
    Two models answer without their names, and the choice between them is written as feedback.
    /help lists all commands. Without a terminal, each line of the input is a message or a command.
    """
    if output.json:
        raise UserError("expected no --json: a conversation is text", location="halo chat")
    if len(models) > MOST:
        raise UserError(
            f"got {len(models)} models; expected one, or two to compare", location="halo chat"
        )
    from halo_core.workspace.find_model import find_model

    root = Path(workspace).expanduser().resolve()
    found = [find_model(text, root) for text in models]
    session = _session([_load(model, options, output) for model in found], system, feedback, seed)
    if sys.stdin.isatty():
        _talk(session)
    else:
        for line in sys.stdin:
            if not session.line(line):
                break
    if len(found) > 1:
        *chosen, ties = session.summary()
        counts = [f"{model.name} {n}" for model, n in zip(found, chosen, strict=True)]
        output.say(f"chosen: {', '.join(counts)}; ties {ties}")


def _load(model: FoundModel, options: dict[str, Any], output: Output) -> Model:
    from halo_core.sampling import Sampling
    from halo_core.stage import ModelInput
    from halo_trainer.chat.chat_model import ChatModel

    choice = Sampling(options["temperature"], options["top_p"], options["top_k"])
    precision: Literal["auto", "float32", "bfloat16"] = options["precision"]
    return ChatModel(
        ModelInput(str(model.folder), None, model.name),
        choice=choice,
        max_new_tokens=options["max_new_tokens"],
        precision=precision,
        device=options["device"],
        warn=output.warn,
    )


def _session(models: Sequence[Model], system: str | None, feedback: str, seed: int) -> ChatSession:
    from halo_trainer.chat.feedback_file import FeedbackFiles
    from halo_trainer.chat.session import ChatSession

    files = FeedbackFiles(Path(feedback).expanduser())
    return ChatSession(models, files, Terminal(), system=system, seed=seed)


def _talk(session: ChatSession) -> None:
    """Reads lines from the terminal until the person ends the conversation."""
    with _editing():
        while True:
            try:
                text = input(session.asks)
            except EOFError:
                say()
                return
            try:
                if not session.line(text):
                    return
            except HaloError as error:
                say(f"error: {error}", err=True)


@contextmanager
def _editing() -> Iterator[None]:
    """Lets the person edit lines and get earlier ones back, where Python has readline."""
    try:
        import readline  # noqa: F401
    except ImportError:
        pass
    yield


class Terminal:
    """Shows a conversation on standard output. Ctrl-C stops an answer."""

    def say(self, text: str) -> None:
        """Shows a line."""
        say(text)

    def write(self, text: str) -> None:
        """Shows a part of a line."""
        say(text, end="")

    @contextmanager
    def answering(self) -> Iterator[Callable[[], bool]]:
        """Lets Ctrl-C stop an answer, and yields whether it was pressed."""
        pressed: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
        try:
            yield lambda: bool(pressed)
        finally:
            signal.signal(signal.SIGINT, before)
