from __future__ import annotations

import io
import json
import os
import pty
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halo_core.cli import call
from halo_core.sampling import Sampling
from halo_core.stage import ModelInput
from halo_trainer.chat.chat_model import ChatModel

GREEDY = ["--temperature", "0", "--max-new-tokens", "8"]


def load(source: ModelInput, warnings: list[str], **options: Any) -> ChatModel:
    return ChatModel(
        source,
        choice=Sampling(**options),
        max_new_tokens=12,
        precision="float32",
        device="cpu",
        warn=warnings.append,
    )


def test_an_answer_is_shown_as_it_is_written_and_repeats_with_the_seed(
    tiny_model: ModelInput,
) -> None:
    model = load(tiny_model, [])
    replies = []
    for _ in range(2):
        shown: list[str] = []
        numbers = np.random.Generator(np.random.PCG64(3))
        messages = [{"role": "user", "content": "tell me"}]
        reply = model.reply(messages, numbers, shown.append, lambda: False)  # type: ignore[arg-type]
        assert "".join(shown) == reply.content
        assert len(shown) > 2
        replies.append(reply)
    assert replies[0] == replies[1]


def test_the_most_probable_answer_is_that_of_the_stage_sample(
    tiny_model: ModelInput, make_data: Any, make_context: Any
) -> None:
    from halo_trainer.sample.options import Sample

    prompt = [{"role": "user", "content": "tell me a story"}]
    rows = [{"id": "1", "prompt": prompt, "completion": "x", "desirable": True}]
    context = make_context(data={"prompts": make_data("binary", rows)}, models={"from": tiny_model})
    Sample(prompts="rows", temperature=0, max_new_tokens=12, precision="float32").run(context)
    (sample,) = map(json.loads, (context.folder / "samples.jsonl").read_text().splitlines())
    model = load(tiny_model, [], temperature=0)
    numbers = np.random.Generator(np.random.PCG64(0))
    reply = model.reply(prompt, numbers, lambda _: None, lambda: False)  # type: ignore[arg-type]
    assert (reply.content, reply.finish) == (sample["completion"], sample["finish"])


def test_a_conversation_that_is_too_long_loses_its_beginning_with_a_word(
    tiny_model: ModelInput,
) -> None:
    warnings: list[str] = []
    model = load(tiny_model, warnings)
    messages = [{"role": "user", "content": "word " * model.limit}]
    numbers = np.random.Generator(np.random.PCG64(0))
    model.reply(messages, numbers, lambda _: None, lambda: False)  # type: ignore[arg-type]
    assert len(warnings) == 1
    assert "so its beginning is left out; /reset begins a new one" in warnings[0]


def test_an_answer_stops_when_the_person_asks(tiny_model: ModelInput) -> None:
    model = load(tiny_model, [])
    shown: list[str] = []
    numbers = np.random.Generator(np.random.PCG64(0))
    messages = [{"role": "user", "content": "tell me"}]
    reply = model.reply(messages, numbers, shown.append, lambda: True)  # type: ignore[arg-type]
    assert reply.finish in ("stopped", "stop")
    assert len(shown) <= 2


def test_without_a_terminal_each_line_is_a_message_or_a_command(
    tiny_model: ModelInput,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["chat", tiny_model.path, *GREEDY, "--workspace", str(tmp_path)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("tell me\n/up\n/quit\nmore\n"))
    assert call(arguments) == 0
    out = capsys.readouterr().out
    assert "added to chat.binary.jsonl" in out
    (row,) = map(json.loads, (tmp_path / "chat.binary.jsonl").read_text().splitlines())
    assert row["prompt"] == [{"role": "user", "content": "tell me"}]
    assert out.startswith(row["completion"])
    monkeypatch.setattr("sys.stdin", io.StringIO("/upp\n"))
    assert call(arguments) == 2
    assert "unknown command /upp. Did you mean '/up'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing"], "no run or suite 'nothing'"),
        (["a", "b", "c"], "got 3 models; expected one, or two to compare"),
        (["a", "--json"], "a conversation is text"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["chat", *arguments, "--workspace", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert told in captured.out + captured.err


@pytest.mark.slow(seconds=5)
def test_in_a_terminal_ctrl_c_stops_an_answer_and_ctrl_d_ends(
    warm: Any, tiny_model: ModelInput, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "halo_core.cli", "chat", tiny_model.path]
    options = ["--workspace", str(tmp_path), "--max-new-tokens", "100"]
    process = warm.start(
        [*command, *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env=os.environ | {"TERM": "dumb"},
        start_new_session=True,
    )
    os.close(theirs)
    screen = Reader(ours)
    try:
        screen.until("> ")
        os.write(ours, b"/nonsense\n")
        screen.until("error: unknown command /nonsense")
        screen.until("> ")
        os.write(ours, b"tell me\n")
        screen.more(20)
        # A terminal sends it to all processes of the command.
        os.killpg(process.pid, signal.SIGINT)
        screen.until("> ")
        os.write(ours, b"/down\n")
        screen.until("added to chat.binary.jsonl")
        screen.until("> ")
        os.write(ours, b"\x04")
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        os.close(ours)
    assert (tmp_path / "chat.binary.jsonl").exists()


class Reader:
    """Reads what a process shows on a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._text = ""

    def until(self, wanted: str) -> None:
        """Reads up to the end of a text."""
        deadline = time.monotonic() + 90
        while wanted not in self._text:
            assert time.monotonic() < deadline, self._text
            self._text += os.read(self._terminal, 1000).decode(errors="replace")
        self._text = self._text.partition(wanted)[2]

    def more(self, characters: int) -> None:
        """Reads some more characters."""
        while len(self._text) < characters:
            self._text += os.read(self._terminal, 1000).decode(errors="replace")
