"""A conversation with one model, or with two that answer without their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from halo_core.errors import UserError, did_you_mean
from halo_core.feedback import Message
from halo_core.uri_credentials import HIDDEN
from halo_trainer.chat.chat_model import Reply
from halo_trainer.chat.feedback_file import FeedbackFiles, add_rows

ONE: dict[str, str] = {
    "/up": "the last answer is desirable; adds a row of feedback",
    "/down": "the last answer is undesirable; adds a row of feedback",
}
TWO: dict[str, str] = {
    "/a": "answer A is better; adds a pair and two labelled rows, and continues with A",
    "/b": "answer B is better; adds a pair and two labelled rows, and continues with B",
    "/tie": "neither is better; adds nothing, and continues with A",
}
CHOICES = ("a", "b", "tie")
"""The choices between two answers, which need no slash while one is asked for."""
ALWAYS: dict[str, str] = {
    "/system TEXT": "sets the system message and begins a new conversation",
    "/reset": "begins a new conversation with the same system message",
    "/save FILE": "adds the conversation to a file, one line of JSON each",
    "/help": "lists these commands",
    "/quit": "ends, like Ctrl-D",
}
"""Commands and what they do."""


class Model(Protocol):
    """A model that answers."""

    def reply(
        self,
        messages: Sequence[Message],
        numbers: np.random.Generator,
        show: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> Reply:
        """Returns the answer to a conversation, and shows it while it is written."""


class Screen(Protocol):
    """The place where a conversation is shown."""

    def say(self, text: str) -> None:
        """Shows a line."""

    def write(self, text: str) -> None:
        """Shows a part of a line."""

    def answering(self) -> AbstractContextManager[Callable[[], bool]]:
        """Returns a context for an answer, and a function that says whether to stop it."""


@dataclass(frozen=True)
class Answered:
    """The answers to the last message.

    Attributes:
        prompt: The conversation up to the message.
        models: Numbers of the models, in the order of their answers.
        answers: The answers.
    """

    prompt: tuple[Message, ...]
    models: tuple[int, ...]
    answers: tuple[str, ...]


class ChatSession:
    """A conversation, changed line by line.

    Args:
        models: One or two models.
        files: Files for feedback.
        screen: The place where the conversation is shown.
        system: The system message; None for none.
        seed: Seed of the answers and of the order of two models.
    """

    def __init__(
        self,
        models: Sequence[Model],
        files: FeedbackFiles,
        screen: Screen,
        *,
        system: str | None,
        seed: int,
    ) -> None:
        self._models = models
        self._files = files
        self._screen = screen
        self._numbers = np.random.Generator(np.random.PCG64(seed))
        self._system = system
        self._messages: list[Message] = []
        self._last: Answered | None = None
        self._open = False
        self._choices: Counter[int] = Counter()
        self._ties = 0

    @property
    def asks(self) -> str:
        """The beginning of the line that is read next."""
        return "better (/a, /b, /tie): " if self._open else "> "

    def line(self, text: str) -> bool:
        """Does what a line says; returns whether to read another line.

        Raises:
            UserError: When a command cannot be followed. The conversation is as before.
        """
        text = text.strip()
        if not text:
            return True
        if text.startswith("/"):
            return self._command(text)
        if self._open and text.lower() in CHOICES:
            return self._command(f"/{text.lower()}")
        if self._open:
            raise UserError("say first which answer is better: /a, /b or /tie")
        self._answer(text)
        return True

    def summary(self) -> Sequence[int]:
        """Returns how many times each model was chosen, and the number of ties."""
        return [*(self._choices[i] for i in range(len(self._models))), self._ties]

    def _answer(self, text: str) -> None:
        system: list[Message] = []
        if self._system:
            system = [{"role": "system", "content": self._system}]
        prompt = (*system, *self._messages, Message(role="user", content=text))
        order = self._numbers.permutation(len(self._models)).tolist()
        answers = []
        for place, number in enumerate(order):
            if len(order) > 1:
                self._screen.write(f"{'AB'[place]}: ")
            with self._screen.answering() as stopped:
                model = self._models[number]
                reply = model.reply(prompt, self._numbers, self._screen.write, stopped)
            cut = {"stop": "", "length": " [cut off]", "stopped": " [stopped]"}[reply.finish]
            self._screen.say(cut)
            answers.append(reply.content)
        self._last = Answered(prompt, tuple(order), tuple(answers))
        self._messages.append({"role": "user", "content": text})
        self._open = len(order) > 1
        if not self._open:
            self._messages.append({"role": "assistant", "content": answers[0]})

    def _command(self, text: str) -> bool:
        name, _, rest = text.partition(" ")
        rest = rest.strip()
        match name:
            case "/quit":
                return False
            case "/help":
                for command, meaning in self._commands().items():
                    self._screen.say(f"{command:13} {meaning}")
            case "/reset":
                self._reset()
            case "/system":
                self._system = rest or None
                self._reset()
            case "/save":
                self._save(rest)
            case "/up" | "/down" if len(self._models) == 1:
                self._rate(desirable=name == "/up")
            case "/a" | "/b" | "/tie" if len(self._models) > 1:
                self._choose(name)
            case _:
                known = [command.split()[0] for command in self._commands()]
                raise UserError(
                    f"unknown command {name}.{did_you_mean(name, known)} Known: {', '.join(known)}"
                )
        return True

    def _commands(self) -> dict[str, str]:
        return (ONE if len(self._models) == 1 else TWO) | ALWAYS

    def _reset(self) -> None:
        self._messages, self._last, self._open = [], None, False
        self._screen.say("a new conversation begins")

    def _rate(self, *, desirable: bool) -> None:
        if self._last is None:
            raise UserError("there is no answer to rate, or it has been rated; write a message")
        hidden = self._files.rate(self._last.prompt, self._last.answers[0], desirable=desirable)
        self._last = None
        self._added(str(self._files.binary), hidden)

    def _choose(self, name: str) -> None:
        if not self._open or self._last is None:
            raise UserError("there are no two answers to choose from; write a message")
        place = {"/a": 0, "/b": 1, "/tie": 0}[name]
        answers = self._last.answers
        if name == "/tie":
            self._ties += 1
        else:
            hidden = self._files.choose(self._last.prompt, answers[place], answers[1 - place])
            self._choices[self._last.models[place]] += 1
            self._added(f"{self._files.paired} and {self._files.binary.name}", hidden)
        self._messages.append({"role": "assistant", "content": answers[place]})
        self._open = False

    def _save(self, name: str) -> None:
        if not name:
            raise UserError("expected the name of a file: /save FILE")
        system: list[Message] = []
        if self._system:
            system = [{"role": "system", "content": self._system}]
        file = Path(name).expanduser()
        hidden = add_rows(file, [{"messages": [*system, *self._messages]}])
        self._added(str(file), hidden)

    def _added(self, files: str, hidden: bool) -> None:
        """Says where rows were added, and whether a secret was left out of them."""
        without = f"; a password or key in it is written as {HIDDEN}" if hidden else ""
        self._screen.say(f"added to {files}{without}")
