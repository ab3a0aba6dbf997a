"""Texts whose beginning is tokenised get the same ids as if they were tokenised whole."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tokenizers import AddedToken

from halo_models.continuations import Begun, Continuations
from halo_models.testing import KINDS, Kind, make_chat_tokenizer
from halo_models.tokenise import CUT, Tokeniser

PLAIN = ["<|user|>", "<|assistant|>", "<think>"]
ODD = [
    AddedToken("<|strip|>", normalized=False, rstrip=True),
    AddedToken("<|norm|>", normalized=True),
    AddedToken("<|word|>", normalized=False, single_word=True),
    AddedToken("<|assistant|>\n<", normalized=False),
    AddedToken("x<|user|>y", normalized=False),
]
PIECES = [*PLAIN, *map(str, ODD), "\n", " ", "", "cow", " says", "Moo.\n\n", "<", "é", "x", "y"]


def texts(seed: int, count: int) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    return [
        tuple("".join(rng.choices(PIECES, k=rng.randint(1, 6))) for _ in range(2))
        for _ in range(count)
    ]  # type: ignore[misc]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("odd", [False, True])
def test_a_continuation_has_the_ids_of_the_whole_text(kind: Kind, odd: bool) -> None:
    added: list[Any] = [*PLAIN, *(ODD if odd else [])]
    tokeniser = Tokeniser(tokenizer := make_chat_tokenizer(kind, added=added), ["<think>"])
    given = texts(1, 300)
    beginnings = tokeniser.encode([beginning for beginning, _ in given])
    begun = [Begun(b, ids, rest) for (b, rest), ids in zip(given, beginnings, strict=True)]
    found = Continuations(tokenizer, tokeniser.encode).encode(begun)
    assert found == tokeniser.encode([beginning + rest for beginning, rest in given])


def test_the_beginning_is_not_tokenised_again() -> None:
    tokenizer = make_chat_tokenizer("bytes", added=PLAIN)
    tokeniser = Tokeniser(tokenizer, [])
    asked: list[str] = []

    def encode(texts: Any) -> list[list[int]]:
        asked.extend(texts)
        return tokeniser.encode(texts)

    questions = [f"<|user|>\nquestion {i}\n<|assistant|>\n" for i in range(3)]
    ids = tokeniser.encode(questions)
    begun = [Begun(q, i, "Moo.") for q, i in zip(questions, ids, strict=True)]
    Continuations(tokenizer, encode).encode(begun)
    assert asked == ["<|assistant|>\n", *["<|assistant|>\nMoo."] * 3]


def test_content_that_spells_a_token_is_no_place_to_cut() -> None:
    tokenizer = make_chat_tokenizer("bytes", added=PLAIN)
    tokeniser = Tokeniser(tokenizer, PLAIN)
    beginning = "<|assistant|>\n" + tokeniser.mark("say <|user|>")
    assert CUT in beginning
    (ids,) = tokeniser.encode([beginning])
    found = Continuations(tokenizer, tokeniser.encode).encode([Begun(beginning, ids, " now")])
    assert found == tokeniser.encode([beginning + " now"])
