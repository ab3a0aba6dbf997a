"""The groups of rows that a hold-out keeps together."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from halo_core.feedback import prompt_id
from halo_core.run.groups import group_id, opening, opening_id
from halo_core.spec.data_sets import Part

SYSTEM = {"role": "system", "content": "s"}
FIRST, ANSWER, SECOND = (
    {"role": role, "content": text}
    for role, text in (("user", "q"), ("assistant", "a"), ("user", "r"))
)


@pytest.mark.parametrize("prompt", [[FIRST], [SYSTEM, FIRST], [SYSTEM], [ANSWER, FIRST]])
def test_a_prompt_of_one_turn_is_its_own_group(prompt: list[dict[str, str]]) -> None:
    assert opening_id(prompt) == prompt_id(prompt)  # type: ignore[arg-type]


def test_a_dialogue_is_one_group_at_every_turn() -> None:
    whole: list[Any] = [SYSTEM, FIRST, ANSWER, SECOND]
    assert opening(whole) == [SYSTEM, FIRST]
    assert group_id({}, whole) == group_id({}, whole[:2]) == prompt_id(whole[:2])
    assert group_id({}, whole) != group_id({}, whole[1:])


def test_what_a_row_names_as_its_group_comes_first() -> None:
    prompts: list[Any] = [[FIRST], [SECOND]]
    assert len({group_id({"group": 7}, prompt) for prompt in prompts}) == 1
    assert group_id({"group": "7"}, prompts[0]) == group_id({"group": 7}, prompts[0])
    assert group_id({"group": None}, prompts[0]) == group_id({}, prompts[0])


def test_how_rows_are_grouped_is_in_the_identity_of_a_hold_out() -> None:
    assert asdict(Part("held", 0.1)) == {"side": "held", "fraction": 0.1, "by": "opening"}
