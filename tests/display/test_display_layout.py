"""The display at each width has all facts with their labels; nothing is wider than the terminal."""

from __future__ import annotations

import pytest

from halo_core.display.layout import drawn_bar, lines
from halo_core.display.texts import plain_line
from halo_core.display.view import BarView, Later, View, view_from

NOW = 1_000_000.0
WORK = BarView(
    "kto",
    100,
    47,
    "step",
    {
        "loss": "0.432",
        "reference point": "0.012",
        "tokens/s": "12,345",
        "peak GPU memory": "41.2 of 139.8 GB",
    },
    NOW - 30,
    NOW - 1,
    1.1,
)
RUN = View("", 7, 10, "kto", "train", NOW - 41, WORK, None, Later(10.0, 2))
LOADING = View(
    "cell 2 of 6, rate=1e-4",
    1,
    10,
    "sft",
    "train",
    NOW - 4,
    None,
    BarView("encoding train", 3967, 1024, "row", {}, NOW - 3, NOW - 1, None),
    Later(),
)


def drawn(view: View, width: int) -> str:
    return "\n".join(line.text for line in lines([view], width, NOW))


def test_a_training_at_60_columns() -> None:
    assert (
        drawn(RUN, 60)
        == """\
stage 7 of 10, kto (train)
  ━━━━━━━━━━━━━━━━━━━───────────────────────  step 47 of 100
  loss 0.432   reference point 0.012   tokens/s 12,345
  peak GPU memory 41.2 of 139.8 GB   stage running 41 s
  left of the stage about 57 s
  left of the run at least 1 min 07 s (unknown for 2 stages)"""
    )


def test_a_training_at_80_columns() -> None:
    assert (
        drawn(RUN, 80)
        == """\
stage 7 of 10, kto (train)
  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────────────  step 47 of 100
  loss 0.432   reference point 0.012   tokens/s 12,345
  peak GPU memory 41.2 of 139.8 GB   stage running 41 s
  left of the stage about 57 s
  left of the run at least 1 min 07 s (unknown for 2 stages)"""
    )


def test_a_training_at_200_columns() -> None:
    assert (
        drawn(RUN, 200)
        == """\
stage 7 of 10, kto (train)
  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────────────  step 47 of 100
  loss 0.432   reference point 0.012   tokens/s 12,345   peak GPU memory 41.2 of 139.8 GB   \
stage running 41 s   left of the stage about 57 s
  left of the run at least 1 min 07 s (unknown for 2 stages)"""
    )


def test_a_phase_before_the_first_step_has_a_bar_too() -> None:
    assert (
        drawn(LOADING, 60)
        == """\
cell 2 of 6, rate=1e-4: stage 1 of 10, sft (train)
  ━━━━━─────────────────  encoding train: row 1,024 of 3,967
  stage running 4 s   left of the stage unknown
  left of the run unknown"""
    )


@pytest.mark.parametrize("view", [RUN, LOADING], ids=["run", "loading"])
def test_no_width_loses_a_fact_or_is_overrun(view: View) -> None:
    facts = plain_line(view, NOW).replace(": ", ", ").split(", ")
    for width in range(60, 201):
        made = drawn(view, width)
        assert max(map(len, made.splitlines())) <= width
        for fact in facts:
            assert fact in made, (width, fact)


def test_even_a_narrow_terminal_gets_everything_in_folded_lines() -> None:
    made = drawn(RUN, 24)
    assert max(map(len, made.splitlines())) <= 24
    words = " ".join(made.split())
    assert "left of the run at least 1 min 07 s (unknown for 2 stages)" in words


def test_cells_that_run_at_the_same_time_have_a_line_each() -> None:
    cells = [View("2 cells are running"), LOADING, RUN]
    made = [line.text for line in lines(cells, 160, NOW)]
    assert made == [
        "2 cells are running",
        "cell 2 of 6, rate=1e-4: stage 1 of 10, sft: encoding train: row 1,024 of 3,967   "
        "stage running 4 s   left of the stage unknown   left of the run unknown",
        "stage 7 of 10, kto: step 47 of 100   loss 0.432   reference point 0.012   "
        "tokens/s 12,345   peak GPU memory 41.2 of 139.8 GB   stage running 41 s",
        "  left of the stage about 57 s   "
        "left of the run at least 1 min 07 s (unknown for 2 stages)",
    ]


def test_the_end_of_what_is_done_shows_without_colours_and_without_unicode() -> None:
    assert drawn_bar(WORK, 10, NOW) == ("━━━━──────", 4)
    assert drawn_bar(WORK, 10, NOW, plain=True) == ("####------", 4)


def test_a_bar_without_a_known_end_moves() -> None:
    loading = BarView("loading the model", None, 0, "", {}, NOW, NOW, None)
    bars = [drawn_bar(loading, 12, NOW + second / 2)[0] for second in range(4)]
    assert len(set(bars)) == 4
    assert {bar.count("━") for bar in bars} == {2}


def test_a_time_left_is_told_only_if_it_is_known() -> None:
    known = View("", 9, 9, "kto", "train", NOW, WORK)
    assert plain_line(known, NOW).endswith("left of the run about 57 s")
    unmeasured = BarView("kto", 100, 0, "step", {}, NOW, NOW, None)
    unknown = View("", 9, 9, "kto", "train", NOW, unmeasured)
    assert plain_line(unknown, NOW) == (
        "stage 9 of 9, kto: step 0 of 100, stage running 0 s, left of the stage unknown, "
        "left of the run unknown"
    )
    # The sum of the known times is a lower bound.
    later = View("", 8, 9, "kto", "train", NOW, unmeasured, None, Later(60.0, 0))
    assert "left of the run at least 1 min 00 s (unknown for 1 stage)" in plain_line(later, NOW)


def test_control_characters_of_names_are_text() -> None:
    bar = BarView("a\x1b[2J", 2, 1, "step", {"lo\x07ss": "\u202e1"}, NOW, NOW, None)
    view = View("cell \x9b1m", 1, 1, "id\x1b]0;title\x07", "use", NOW, bar, bar)
    for text in (drawn(view, 80), plain_line(view, NOW)):
        assert not set(text) & set("\x1b\x07\x9b\u202e")
        assert "id\\x1b]0;title\\x07" in text


def test_a_view_is_the_same_after_it_was_sent_to_another_process() -> None:
    for view in (RUN, LOADING, View()):
        assert view_from(view.as_json()) == view
