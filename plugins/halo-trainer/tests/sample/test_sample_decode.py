"""Completions without padding: what is computed, in which order, and within which memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from halo_core.errors import UserError
from halo_core.sampling import Sampling
from halo_models.testing import make_model
from halo_trainer.sample.key_blocks import ROOM, Decoding, use_decoding_attention
from halo_trainer.sample.sampler import Room, Sampler

END = 1
PROMPTS = [(f"p{i}", list(range(2, 2 + n))) for i, n in enumerate((5, 40, 9, 5, 22))]
TOKENS = sum(len(ids) for _, ids in PROMPTS)


@pytest.fixture
def model() -> Any:
    model = make_model(60)
    assert use_decoding_attention(model)
    return model


def watched(model: Any, check: Callable[[bool, int], None] = lambda *_: None) -> list[int]:
    """Returns a list that receives the number of tokens of each pass: prompts, then next tokens."""
    passes: list[int] = []
    forward = model.forward

    def watch(**inputs: Any) -> Any:
        passes.append(inputs["input_ids"].shape[1])
        check(isinstance(inputs["packed"], Decoding), passes[-1])
        return forward(**inputs)

    model.forward = watch
    return passes


def sampler(model: Any, **options: Any) -> Sampler:
    given = {"choice": Sampling(), "max_new_tokens": 8, "seed": 1, "route": "packed"} | options
    return Sampler(model, [END], **given)


def tokens(sampler: Sampler) -> list[list[int]]:
    return [made.token_ids for made in sampler.batch(PROMPTS) or []]


def test_each_prompt_is_computed_once_whatever_the_number_of_its_samples(model: Any) -> None:
    passes = watched(model)
    made = sampler(model, samples=4).batch(PROMPTS) or []
    assert passes[0] == TOKENS
    assert passes[1] <= len(made) == 4 * len(PROMPTS)


def test_a_pass_computes_one_token_of_each_completion_that_has_not_ended(model: Any) -> None:
    passes = watched(model)
    made = sampler(model, samples=8, max_new_tokens=40).batch(PROMPTS) or []
    lengths = [len(one.token_logps) for one in made]
    assert min(lengths) < max(lengths)
    assert passes[1:] == [sum(n > done for n in lengths) for done in range(1, max(lengths))]


def test_tokens_are_those_of_generate_also_when_the_room_for_keys_has_grown() -> None:
    plain = make_model(60)
    expected = tokens(sampler(plain, route="padded", max_new_tokens=2 * ROOM + 5, samples=2))
    assert use_decoding_attention(plain)
    found = sampler(plain, max_new_tokens=2 * ROOM + 5, samples=2)
    assert max(map(len, expected)) > 2 * ROOM
    assert tokens(found) == expected


def test_prompts_beyond_the_limit_wait_and_join_when_others_have_ended(model: Any) -> None:
    expected = tokens(sampler(model, samples=3, max_new_tokens=24))
    kinds: list[tuple[bool, int]] = []
    watched(model, lambda *seen: kinds.append(seen))
    limit = 3 * (40 + 24) + 10
    few = sampler(model, samples=3, max_new_tokens=24, room=Room(limit))
    assert tokens(few) == expected
    assert sum(not is_decoding for is_decoding, _ in kinds) > 1
    assert max(count for is_decoding, count in kinds if is_decoding) < 3 * len(PROMPTS)
    # The first joined while others were still being written.
    joined = [i for i, (is_decoding, _) in enumerate(kinds) if not is_decoding]
    assert any(kinds[i + 1][1] > 3 for i in joined[1:])


@pytest.mark.parametrize("route", ["packed", "padded"])
def test_half_as_much_is_computed_at_once_when_memory_runs_out(route: Any) -> None:
    model = make_model(60)
    if route == "packed":
        use_decoding_attention(model)
    expected = tokens(sampler(model, route=route))
    forward = model.forward

    def within(**inputs: Any) -> Any:
        if inputs["input_ids"].numel() > (TOKENS - 20 if route == "packed" else 3 * 40):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(**inputs)

    model.forward = within
    warnings: list[str] = []
    room = Room(None, warnings.append)
    again = sampler(model, route=route, room=room)
    assert tokens(again) == expected
    total = TOKENS + 8 * len(PROMPTS)
    assert warnings == [
        f"out of memory with {total} tokens of prompts and completions at once; repeated with "
        f"{total // 2}, which this sampling keeps. Set tokens_at_once to begin with it"
    ]
    assert tokens(again) == expected
    assert len(warnings) == 1


def test_memory_that_lacks_for_a_single_completion_is_an_error(model: Any) -> None:
    def check(is_decoding: bool, count: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    watched(model, check)
    with pytest.raises(UserError, match="a prompt and a completion of 48 tokens"):
        sampler(model).batch(PROMPTS)


def test_the_number_of_an_end_token_that_is_not_trained_is_left_out(model: Any) -> None:
    ends = Sampler(model, [END, 7], choice=Sampling(), max_new_tokens=8, seed=1, route="packed")
    trained, other = ends._ended([3, END, 0], [-1.0, -2.0, 0.0]), ends._ended([3, 7], [-1.0, -2.0])
    assert (trained.token_ids, trained.token_logps) == ([3], [-1.0, -2.0])
    assert (other.token_ids, other.finish, other.token_logps) == ([3], "stop", [-1.0])
    assert ends._ended([3, 4], [-1.0, -2.0]).token_logps == [-1.0, -2.0]
