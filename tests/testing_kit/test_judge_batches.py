"""Large batches for judges: the time of slow ones, calls of few prompts, seeds of shared chance."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from halo_core import Comparison, Judge, JudgeContext, Verdict
from halo_core.testing.advice import advised
from halo_core.testing.circumstances.elsewhere import check_elsewhere
from halo_core.testing.circumstances.told import judge_told
from halo_core.testing.judges import judge_batch_checks
from halo_core.testing.judges.judge_batch_checks import (
    LONG,
    _advise_on_growth,
    affordable,
    check_batches,
)
from halo_core.testing.judges.judge_batches import (
    GROUPS,
    both_orders,
    pairs,
    pairs_with_words_of_prompts,
)
from halo_core.testing.judges.judge_replies import judge_context
from halo_core.testing.processes.global_chance import seeds_chance

CALLS: list[int] = []


class TwoPrompts(Judge):
    """Takes two prompts at a time, and waits for each comparison."""

    prompts_at_once: ClassVar[int] = 2
    waits: ClassVar[float] = 0.0

    def open(self, context: JudgeContext) -> Any:
        return nullcontext(self)

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        CALLS.append(len({repr(each.prompt) for each in comparisons}))
        for each in comparisons:
            time.sleep(self.waits)
            yield Verdict(each.id, "tie" if each.a == each.b else "A" if each.a < each.b else "B")


class Waits(TwoPrompts):
    waits: ClassVar[float] = 0.02


class HashDecides(TwoPrompts):
    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for each in comparisons:
            yield Verdict(each.id, "A" if hash(each.a) > hash(each.b) else "B")


@pytest.mark.slow  # It starts processes.
def test_a_judge_that_decides_by_hash_is_found_in_another_process(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="in a new process, the reply to"):
        check_elsewhere(HashDecides(), judge_told, tmp_path)


def test_a_judge_that_looks_at_other_words_of_a_prompt_says_something_else() -> None:
    asked = both_orders(pairs_with_words_of_prompts())

    def winners(seed: int) -> tuple[str, ...]:
        rng, found = random.Random(seed), []
        for each in asked:
            words = sorted(set(str(each.prompt[-1]["content"]).split()))
            few = rng.sample(words, 5)
            a, b = (sum(text.split().count(word) for word in few) for text in (each.a, each.b))
            found.append("tie" if a == b else "A" if a > b else "B")
        return tuple(found)

    assert len({winners(seed) for seed in range(30)}) == 30


def test_each_prompt_has_pairs_of_all_groups_and_new_messages() -> None:
    by_prompt: dict[int, set[str]] = {}
    for pair in pairs():
        by_prompt.setdefault(pair.prompt, set()).add(pair.group)
    assert all(groups == {*GROUPS} for groups in by_prompt.values())
    first, second = both_orders(pairs()), both_orders(pairs())
    assert first == second
    assert first[0].prompt is not second[0].prompt
    assert len({each.id for turn in range(3) for each in both_orders(pairs(), turn)}) == 108


@pytest.mark.parametrize(
    ("short_s", "long_s", "is_advised"),
    [(0.02, 0.32, True), (0.08, 0.32, False), (0.0005, 0.008, False)],
    ids=["square", "length", "square but short"],
)
def test_a_time_like_the_square_of_the_length_gets_advice(
    short_s: float, long_s: float, is_advised: bool
) -> None:
    # Given times: on a busy machine, measured ones say nothing about a judge.
    with advised() as advice:
        _advise_on_growth(TwoPrompts(), {LONG // 4: short_s, LONG: long_s})
    assert ("square of the length" in "".join(advice)) == is_advised


def test_a_call_has_as_many_prompts_as_the_judge_takes(tmp_path: Path) -> None:
    CALLS.clear()
    check_batches(TwoPrompts(), tmp_path)
    assert max(CALLS) == 2


def test_a_slow_judge_gets_advice_and_fewer_comparisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_batch_checks, "SLOW_S", 0.01)
    with advised() as advice:
        chosen = affordable(Waits(), judge_context(tmp_path), seconds=0.6)
    assert {pair.group for pair in chosen} == {*GROUPS}
    assert len(chosen) < 6
    assert "s for a comparison of short texts" in advice[0]


@pytest.mark.parametrize(
    ("block", "seeded"),
    [
        (lambda: random.seed(3), "random"),
        (random.random, ""),
        (lambda: random.Random(3).random(), ""),
        (lambda: torch.manual_seed(3), "torch"),
    ],
)
def test_a_seed_of_shared_chance_is_found(block: Callable[[], object], seeded: str) -> None:
    before = random.getstate()
    assert seeds_chance(block) == seeded
    assert random.getstate() == before
