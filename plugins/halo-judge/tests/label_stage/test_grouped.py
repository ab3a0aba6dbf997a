"""Completions by prompt in a file are those of a recomputation with lists."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from halo_core.completion import Completion
from halo_core.errors import DataError
from halo_judge.label_stage import grouped
from halo_judge.label_stage.grouped import AGAIN, CUT, EMPTY, Ids, by_prompt
from halo_judge.label_stage.said import Found, Said


def some(count: int) -> list[Found]:
    rng = random.Random(count)
    made = []
    for _ in range(count):
        name = rng.choice("abcdefgh")
        text = rng.choice(["", " ", "x", "y", "z", "\ud83d"])
        whole = Completion(text, finish=rng.choice(["stop", "length", None]))
        prompt = [{"role": "user", "content": name}]
        said = Said(whole, rng.choice([None, "digest"]))
        made.append(Found(name, prompt, said, None, rng.random() < 0.5))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("count", [0, 1, 3, 9, 40])
@pytest.mark.parametrize(("drop_cut", "draws"), [(False, False), (True, False), (False, True)])
def test_groups_are_those_of_a_recomputation_with_lists(
    count: int, drop_cut: bool, draws: bool
) -> None:
    found = some(count)
    wanted: dict[str, list[Said]] = {}
    reasons = Counter[str]()
    for each in found:
        group = wanted.setdefault(each.prompt_id, [])
        if not each.said.text.strip():
            reasons[EMPTY] += 1
        elif drop_cut and each.said.completion.finish == "length":
            reasons[CUT] += 1
        elif each.said.text in [said.text for said in group] and not (draws and each.is_draw):
            reasons[AGAIN] += 1
        else:
            group.append(each.said)
    dropped = Counter[str]()
    groups = by_prompt(found, dropped, drop_cut=drop_cut, draws=draws)
    assert [(g.prompt_id, [*g.said]) for g in groups] == [(i, s) for i, s in wanted.items() if s]
    assert dropped == reasons
    assert [*groups.sizes()] == [len(said) for said in wanted.values() if said]
    assert groups.cut == sum(said.is_cut for group in wanted.values() for said in group)
    for that_ended in (False, True):
        kept = [group.that_ended() if that_ended else group for group in groups]
        answers = {g.answer_id(said): g.answer(said) for g in kept for said in g.said}
        if that_ended and draws:
            continue  # No stage has both.
        asked = groups.answers(that_ended=that_ended)
        assert [*asked] == [*answers.values()]
        assert [*Ids(asked)] == [*answers]


def test_two_prompts_with_the_same_digest_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped, "digest_of", lambda id_: len(id_))
    groups = by_prompt([each for each in some(9) if each.said.text.strip()], Counter(), draws=True)
    with pytest.raises(DataError, match="have the same digest; expected different ones"):
        list(groups)
