"""Errors of plugins that have mistakes themselves never look like a success or like halo's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli.output import Output, finish
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import (
    HaloError,
    PluginError,
    SuiteErrors,
    UserError,
    error_text,
    exit_code_of,
    nearest,
    renewed,
)
from halo_core.guarded.blame import blaming
from halo_core.redact import one_line


class Pairs(DataSource):
    def inspect(self) -> DataInfo:
        return DataInfo("paired", (), "1")

    def load(self, split: str) -> Loaded:
        return Loaded([])


class Mute(Exception):
    """An error whose text ends Python."""

    def __str__(self) -> str:
        raise SystemExit(0)


class Odd(UserError):
    """An error with other arguments than those of halo."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(f"{name} {number}")
        self.number = number


class WithoutInit(UserError):
    def __init__(self) -> None:
        pass


def test_a_generator_exit_that_a_function_raises_is_a_mistake_of_the_plugin() -> None:
    def call() -> None:
        raise GeneratorExit

    with (
        pytest.raises(PluginError, match=r"load\(\) raised GeneratorExit"),
        blaming(Pairs(), "load"),
    ):
        call()


def test_a_generator_that_is_closed_is_nobodys_mistake() -> None:
    ended = []

    def rows() -> Iterator[int]:
        try:
            with blaming(Pairs(), "load"):
                yield 1
                yield 2
        except BaseException as error:
            ended.append(type(error))
            raise

    made = rows()
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert ended == [GeneratorExit]


def test_an_error_whose_text_exits_python_is_shown_without_its_text() -> None:
    assert error_text(Mute()) == one_line(Mute()) == "Mute: (its text cannot be shown)"
    with pytest.raises(PluginError, match="raised Mute"), blaming(Pairs(), "load"):
        raise Mute


def test_the_text_of_rows_that_exits_python_is_exit_code_3(
    spec_file: Path, tmp_path: Path, halo: Any
) -> None:
    file = tmp_path / "mute.py"
    file.write_text(
        "from halo_core.data import DataInfo, DataSource\n\n\n"
        "class Mute(Exception):\n    def __str__(self):\n        raise SystemExit(0)\n\n\n"
        "class Odd(DataSource):\n    def inspect(self):\n"
        "        return DataInfo('paired', (), '1')\n\n"
        "    def load(self, split):\n        raise Mute\n"
    )
    override = f"data.train={{use: 'file:{file}:Odd'}}"
    done = halo("run", str(spec_file), "--set", override, "--json")
    assert done.code == 3
    message = json.loads(done.out)["error"]["message"]
    assert "raised Mute: (its text cannot be shown)" in message


@pytest.mark.parametrize("code", [0, 4, 130, "x", True, None])
def test_an_error_class_with_another_exit_code_is_refused(code: object) -> None:
    with pytest.raises(TypeError, match=rf"Own.exit_code is {code!r}; expected 1, 2 .* or 3"):
        type("Own", (UserError,), {"exit_code": code})


@pytest.mark.parametrize("code", [0, -1, 256, "x"])
def test_an_exit_code_that_an_error_sets_itself_is_never_a_success(code: Any) -> None:
    error = HaloError("it failed")
    error.exit_code = code
    assert exit_code_of(error) == 1

    def call() -> None:
        raise error

    assert finish(Output(), call) == 1


def test_a_suite_has_the_largest_exit_code_that_is_one() -> None:
    odd, mistake = HaloError("it failed"), UserError("a mistake")
    odd.exit_code = "x"  # type: ignore[assignment]
    assert SuiteErrors({"a": odd, "b": mistake}, 2).exit_code == 2


def test_an_error_without_a_message_names_its_class() -> None:
    assert str(WithoutInit()).startswith("(WithoutInit has no message")
    assert WithoutInit().location is None


def test_a_renewed_error_keeps_its_class_and_needs_no_constructor() -> None:
    again = renewed(Odd("ten", 10), "another text", "here")
    assert (type(again), str(again), again.args) == (Odd, "here: another text", ("another text",))
    assert isinstance(again, Odd)
    assert again.number == 10
    cells = SuiteErrors({"a": Odd("ten", 10)}, 1)
    assert str(cells.errors[0]) == "a: ten 10"


def test_a_text_in_place_of_a_name_is_similar_to_nothing_and_is_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[list[str]] = []

    def matches(name: str, names: list[str], **_: object) -> list[str]:
        compared.append([name, *names])
        return []

    monkeypatch.setattr("difflib.get_close_matches", matches)
    assert nearest("t" * 1_000_000, ["beta"]) == []
    assert nearest("betta", ["beta", "t" * 1_000_000]) == []
    assert compared == [["betta", "beta"]]
