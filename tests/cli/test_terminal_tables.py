"""Tables for people: aligned, wrapped if there is no room, and never read as markup."""

from __future__ import annotations

import click
import pytest

from halo_core.cli.terminal import drawn, fitting, grid, hanging, listing, table


def test_a_plain_table_is_aligned_and_has_no_trailing_spaces() -> None:
    assert table(["cell", "done"], [["small/kto", ""], ["a", "b"]]) == (
        "CELL       DONE\nsmall/kto\na          b"
    )


def test_a_plain_table_may_have_no_header() -> None:
    assert table([], [["a", "b"]]) == "a  b"


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_numbers_stand_to_the_right_under_their_titles() -> None:
    shown = drawn(grid("Rates", ["run", "rate"], [["kto", "0.5"], ["a-longer-name", "12.25"]]))
    assert lines(shown) == [
        "Rates",
        "run             rate",
        "────────────────────",
        "kto              0.5",
        "a-longer-name  12.25",
    ]


def test_what_looks_like_a_mark_is_text() -> None:
    shown = drawn(grid("[b]x[/b]", ["[a]"], [["[red]kto and more"]]), listing("", [("[b]", "[c]")]))
    for text in ("[b]x[/b]", "[a]", "[red]kto and more", "[b]", "[c]"):
        assert text in shown


def test_no_row_is_broken_in_a_file_and_texts_are_folded_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [["a name of many words that takes room", "0.123456789"]]
    assert len(drawn(grid("", ["run", "rate"], rows)).splitlines()) == 3
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    narrow = drawn(grid("", ["run", "rate"], rows)).splitlines()
    assert len(narrow) > 3
    assert any("0.123456789" in line for line in narrow)


def test_no_column_of_numbers_is_cut_off_if_the_terminal_is_too_narrow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = [f"0.12345678{place}" for place in range(6)]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    shown = click.unstyle(drawn(grid("", ["run", *"abcdef"], [["a-long-name", *numbers]])))
    assert all(number in shown for number in numbers)
    assert max(map(len, lines(shown))) == 9 + 6 * (2 + 11)


def test_a_long_text_is_folded_below_itself_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "win rate 0.125 [0.044, 0.264] against the SFT target, n=32"
    assert hanging("  base-win  ", text) == f"  base-win  {text}"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "44")
    assert hanging("  base-win  ", text) == (
        "  base-win  win rate 0.125 [0.044, 0.264]\n            against the SFT target, n=32"
    )


def test_a_table_of_texts_is_folded_only_if_the_terminal_is_too_narrow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header, rows = ["cell", "result"], [["small/kto", "win rate 0.125 against the SFT target"]]
    plain = table(header, rows)
    assert fitting(header, rows) == plain
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert fitting(header, rows) == plain
    monkeypatch.setenv("COLUMNS", "30")
    folded = lines(click.unstyle(fitting(header, rows)))
    assert max(map(len, folded)) <= 30
    assert " ".join(" ".join(folded).split()).count("SFT") == 1
