from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halo_core.errors import DiskError, PathError, UserError
from halo_core.feedback import Message
from halo_data.components import Jsonl
from halo_trainer.chat.chat_model import Reply
from halo_trainer.chat.feedback_file import FeedbackFiles
from halo_trainer.chat.session import ChatSession


class Screen:
    def __init__(self) -> None:
        self.text = ""

    def say(self, text: str) -> None:
        self.text += text + "\n"

    def write(self, text: str) -> None:
        self.text += text

    @contextmanager
    def answering(self) -> Iterator[Callable[[], bool]]:
        yield lambda: False


class Parrot:
    """A model that counts the messages it got."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[list[Message]] = []

    def reply(
        self,
        messages: Sequence[Message],
        numbers: np.random.Generator,
        show: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> Reply:
        self.seen.append(list(messages))
        show(f"{self.name} {len(messages)}")
        return Reply(f"{self.name} {len(messages)}", "stop")


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., tuple[ChatSession, Screen, list[Parrot]]]:
    def make(*names: str, system: str | None = None, seed: int = 0) -> Any:
        models, screen = [Parrot(name) for name in names], Screen()
        files = FeedbackFiles(tmp_path / "chat")
        return ChatSession(models, files, screen, system=system, seed=seed), screen, models

    return make


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_conversation_keeps_its_history_and_its_system_message(start: Any) -> None:
    session, screen, (model,) = start("m", system="be kind")
    for text in ("hello", "  ", "again"):
        assert session.line(text)
    assert screen.text == "m 2\nm 4\n"
    assert [message["role"] for message in model.seen[1]] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert model.seen[1][2]["content"] == "m 2"


def test_reset_and_system_begin_a_new_conversation(start: Any) -> None:
    session, _, (model,) = start("m")
    for text in ("hello", "/reset", "again", "/system be brief", "third", "/system", "fourth"):
        session.line(text)
    assert [len(seen) for seen in model.seen] == [1, 1, 2, 1]
    assert model.seen[2][0] == {"role": "system", "content": "be brief"}


def test_thumbs_are_rows_that_the_data_source_reads_back(start: Any, tmp_path: Path) -> None:
    session, _, _ = start("m", system="be kind")
    for text in ("hello", "/up", "again", "/down"):
        session.line(text)
    file = tmp_path / "chat.binary.jsonl"
    rows = list(Jsonl(path=str(file)).load("train").rows)
    assert [row["desirable"] for row in rows] == [True, False]
    assert [row["completion"] for row in rows] == ["m 2", "m 4"]
    assert [len(row["prompt"]) for row in rows] == [2, 4]


def test_an_answer_is_rated_once(start: Any, tmp_path: Path) -> None:
    session, _, _ = start("m")
    with pytest.raises(UserError, match="no answer to rate"):
        session.line("/up")
    session.line("hello")
    session.line("/up")
    with pytest.raises(UserError, match="it has been rated"):
        session.line("/down")
    assert len(lines(tmp_path / "chat.binary.jsonl")) == 1


def test_two_models_answer_without_names_in_a_drawn_order(start: Any) -> None:
    orders = set()
    for seed in range(8):
        session, screen, _ = start("x", "y", seed=seed)
        session.line("hello")
        orders.add(screen.text)
    assert orders == {"A: x 1\nB: y 1\n", "A: y 1\nB: x 1\n"}


def test_a_choice_is_a_pair_and_two_labels_and_the_history_of_both(
    start: Any, tmp_path: Path
) -> None:
    session, screen, models = start("x", "y")
    session.line("hello")
    first = screen.text[3]
    second = "y" if first == "x" else "x"
    session.line("/b")
    pairs = list(Jsonl(path=str(tmp_path / "chat.paired.jsonl")).load("train").rows)
    assert [(row["chosen"], row["rejected"]) for row in pairs] == [(f"{second} 1", f"{first} 1")]
    labels = lines(tmp_path / "chat.binary.jsonl")
    assert [(row["completion"], row["label"]) for row in labels] == [
        (f"{second} 1", True), (f"{first} 1", False),
    ]  # fmt: skip
    session.line("again")
    for model in models:
        assert model.seen[-1][1]["content"] == f"{second} 1"
    session.line("/tie")
    assert session.summary() == [int(second == "x"), int(second == "y"), 1]
    assert len(lines(tmp_path / "chat.paired.jsonl")) == 1


@pytest.mark.parametrize("choice", ["a", "B", "tie"])
def test_a_choice_needs_no_slash(choice: str, start: Any) -> None:
    session, _, _ = start("x", "y")
    session.line("hello")
    session.line(choice)
    assert sum(session.summary()) == 1
    assert session.asks == "> "


def test_a_message_before_the_choice_is_refused(start: Any) -> None:
    session, _, models = start("x", "y")
    session.line("hello")
    with pytest.raises(UserError, match="say first which answer is better"):
        session.line("again")
    assert len(models[0].seen) == 1
    session.line("/a")
    with pytest.raises(UserError, match="no two answers"):
        session.line("/a")


@pytest.mark.parametrize(
    ("names", "text", "told"),
    [
        (["m"], "/upp", "unknown command /upp. Did you mean"),
        (["m"], "/a", "unknown command /a"),
        (["x", "y"], "/up", "unknown command /up"),
        (["m"], "/save", "expected the name of a file"),
    ],
)
def test_a_wrong_command_is_named(start: Any, names: list[str], text: str, told: str) -> None:
    session, _, _ = start(*names)
    with pytest.raises(UserError, match=told):
        session.line(text)


def test_a_secret_in_a_message_is_left_out_of_the_rows_and_this_is_said(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", 'open"sesame/1')
    session, screen, _ = start("m")
    session.line('my key is open"sesame/1')
    session.line("/up")
    session.line(f"/save {tmp_path / 'talk.jsonl'}")
    assert lines(tmp_path / "chat.binary.jsonl")[0]["prompt"][0]["content"] == "my key is ***"
    assert lines(tmp_path / "talk.jsonl")[0]["messages"][0]["content"] == "my key is ***"
    assert screen.text.count("; a password or key in it is written as ***\n") == 2


def test_a_file_without_room_has_whole_rows_only_and_the_answer_can_be_rated_again(
    start: Any, tmp_path: Path
) -> None:
    session, _, _ = start("m")
    for text in ("hello", "/up", "a longer message than before"):
        session.line(text)
    file = tmp_path / "chat.binary.jsonl"
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"cannot be written: .*File too large"):
            session.line("/up")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    session.line("/up")
    assert len(lines(file)) == 2
    with pytest.raises(DiskError, match="the disk is full"):
        session.line("/save /dev/full")


def test_save_adds_the_conversation_to_a_file(start: Any, tmp_path: Path) -> None:
    session, _, _ = start("m", system="be kind")
    session.line("hello")
    for _ in range(2):
        session.line(f"/save {tmp_path / 'talk.jsonl'}")
    saved = lines(tmp_path / "talk.jsonl")
    assert saved[0] == saved[1]
    assert [message["content"] for message in saved[0]["messages"]] == ["be kind", "hello", "m 2"]
    with pytest.raises(PathError, match="name another file"):
        session.line(f"/save {tmp_path}")


def test_help_lists_the_commands_and_quit_ends(start: Any) -> None:
    session, screen, _ = start("m")
    assert session.line("/help")
    assert "/down" in screen.text
    assert "/tie" not in screen.text
    assert not session.line("/quit")
